"""Running a list of metrics over one body of evidence."""

from collections.abc import Callable, Sequence

from dxbench.api import Estimate, Evidence, Metric, MetricProtocol, NotApplicable


def score(
    metrics: Sequence[Metric], evidence: Evidence, *, progress: Callable[[str], None]
) -> tuple[dict[str, Estimate], dict[str, str], dict[str, MetricProtocol]]:
    """Scores by metric name, notes for metrics that do not apply, protocols by fingerprint."""
    scores: dict[str, Estimate] = {}
    notes: dict[str, str] = {}
    protocols: dict[str, MetricProtocol] = {}
    for metric in metrics:
        progress(f"measuring {metric.name}")
        try:
            scores[metric.name] = metric.measure(evidence)
        except NotApplicable as reason:
            notes[metric.name] = str(reason)
            continue
        protocols[metric.protocol.fingerprint] = metric.protocol
    return scores, notes, protocols
