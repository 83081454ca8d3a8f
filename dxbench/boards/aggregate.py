"""Records to rows: mean and std over training seeds."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev

from pydantic import JsonValue

from dxbench.api import Direction, Estimate, ResultRecord
from dxbench.records import config_id, iter_records


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A metric over training seeds.

    Attributes:
        std: over seeds, ddof 1; None for a single seed.
        seeds: how many training seeds.
    """

    value: float
    std: float | None
    seeds: int
    better: Direction
    unit: str = ""
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table.

    Attributes:
        kind: "measured" by us, "reference" (floor or ideal), or "published" by a paper.
        remarks: what a reader has to know: failed seeds, uncommitted code, disputes.
    """

    label: str
    kind: str
    config_id: str | None = None
    nfe: float | None = None
    scores: dict[str, Summary] = field(default_factory=dict)
    seconds: float | None = None
    remarks: tuple[str, ...] = ()


def config_id_of(record: ResultRecord) -> str:
    """The id that the runs of one configuration share."""
    return config_id(record.task, record.task_version, record.method, record.method_version, record.config)


def newest_configuration(records: Sequence[ResultRecord]) -> list[ResultRecord]:
    """Of records that go by one name, those of the newest version and recipe; the others are of the past."""
    if not records:
        return []
    newest = config_id_of(max(records, key=lambda r: (r.task_version, r.method_version, r.provenance.created)))
    return [record for record in records if config_id_of(record) == newest]


def label_of(record: ResultRecord) -> str:
    """Method, preset and what was set beside it."""
    preset = "" if record.preset == "default" else f" [{record.preset}]"
    changes = ", ".join(f"{key}={value}" for key, value in sorted(record.overrides.items()))
    return f"{record.method}{preset}{' (' + changes + ')' if changes else ''}"


def summarise(estimates: Sequence[Estimate]) -> Summary:
    """Mean and std over the seeds' estimates, which share one fingerprint."""
    values = [estimate.value for estimate in estimates]
    return Summary(
        value=fmean(values),
        std=stdev(values) if len(values) > 1 else None,
        seeds=len(values),
        better=estimates[0].better,
        unit=estimates[0].unit,
        fingerprint=estimates[0].fingerprint,
    )


def rows_of(records: Iterable[ResultRecord], *, labels: Mapping[str, str] | None = None) -> list[Row]:
    """One row per configuration, in order of first appearance; failures stay visible as remarks."""
    groups: dict[str, list[ResultRecord]] = defaultdict(list)
    for record in records:
        groups[config_id_of(record)].append(record)
    return [_row(key, group, (labels or {}).get(key)) for key, group in groups.items()]


def _row(key: str, group: list[ResultRecord], label: str | None) -> Row:
    by_metric: dict[str, list[Estimate]] = defaultdict(list)
    for record in group:
        for name, estimate in record.scores.items():
            by_metric[name].append(estimate)
    remarks = []
    scores = {}
    for name, estimates in by_metric.items():
        if len({estimate.fingerprint for estimate in estimates}) > 1:
            remarks.append(f"{name}: seeds measured by different protocols, not averaged")
        else:
            scores[name] = summarise(estimates)
    for status in sorted({record.status for record in group} - {"ok"}):
        count = sum(record.status == status for record in group)
        remarks.append(f"{count} of {len(group)} seeds {status.replace('_', ' ')}")
    if any(record.provenance.git_dirty for record in group):
        remarks.append("measured with uncommitted changes")
    nfe = [record.nfe for record in group if record.nfe is not None]
    seconds = [record.cost.train_seconds for record in group if record.cost and record.status == "ok"]
    return Row(
        label=label or label_of(group[0]),
        kind="reference" if group[0].reference else "measured",
        config_id=key,
        nfe=fmean(nfe) if nfe else None,
        scores=scores,
        seconds=fmean(seconds) if seconds else None,
        remarks=tuple(remarks),
    )


def known_seconds(folders: Sequence[Path]) -> dict[str, float]:
    """Mean seconds of finished runs by configuration."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for record in iter_records(folders):
        if isinstance(record, ResultRecord) and record.status == "ok" and record.cost:
            seconds[config_id_of(record)].append(record.cost.train_seconds + record.cost.eval_seconds)
    return {key: fmean(values) for key, values in seconds.items()}


def matches(record_method: str, config: Mapping[str, JsonValue], match: Mapping[str, JsonValue] | None) -> bool:
    """Whether a published row's `match` describes this method and configuration."""
    if match is None or match.get("method") != record_method:
        return False
    wanted = match.get("config", {})
    assert isinstance(wanted, dict)
    return all(config.get(key) == value for key, value in wanted.items())
