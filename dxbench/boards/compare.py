"""Are two rows different? Paired over training seeds, metric by metric."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from dxbench.api import Direction, Estimate, ResultRecord
from dxbench.boards.aggregate import config_id_of, label_of, newest_configuration
from dxbench.configure import DEFAULT_PRESET, parse_assignments
from dxbench.errors import UsageError, unknown
from dxbench.stats import PairedDifference, holm, paired_difference

Verdict = Literal["better", "worse", "not separable", "not comparable", "too few seeds"]
_SELECTOR = re.compile(r"(?P<method>[^:\[\]]+)(:(?P<preset>[^:\[\]]+))?(\[(?P<set>[^\[\]]*)\])?")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The records of one configuration, by seed."""

    label: str
    by_seed: dict[int, ResultRecord]


@dataclass(frozen=True, kw_only=True)
class MetricComparison:
    """What one metric says of A against B.

    Attributes:
        difference: A - B over the seeds that both have; None where none could be taken.
        p_value: adjusted over the metrics compared (Holm).
        differing: protocol fields that differ, as field -> (A's, B's), of a pair that is not comparable.
    """

    metric: str
    better: Direction
    verdict: Verdict
    difference: PairedDifference | None = None
    p_value: float | None = None
    differing: dict[str, tuple[JsonValue, JsonValue]] | None = None


def select(records: Sequence[ResultRecord], selector: str) -> Selection:
    """Records named by `method`, `method:preset`, `method[key=value,...]` or the ten digits of a configuration.

    Raises:
        UsageError: if nothing or no such form matches; of several versions the newest counts.
    """
    scored = [record for record in records if record.status == "ok"]
    named = [record for record in scored if config_id_of(record) == selector]
    if not named:
        match = _SELECTOR.fullmatch(selector)
        if match is None:
            raise UsageError(f"cannot read {selector!r}; use method, method:preset, method[key=value] or a config id")
        overrides = parse_assignments([part for part in (match["set"] or "").split(",") if part])
        wanted = (match["method"], match["preset"] or DEFAULT_PRESET, overrides)
        named = [record for record in scored if (record.method, record.preset, record.overrides) == wanted]
    if not named:
        raise unknown("row", selector, {selector_of(record) for record in scored})
    chosen = newest_configuration(named)
    return Selection(label=label_of(chosen[0]), by_seed={record.seed: record for record in chosen})


def selector_of(record: ResultRecord) -> str:
    """What to type for the row of a record."""
    preset = "" if record.preset == DEFAULT_PRESET else f":{record.preset}"
    changes = ",".join(f"{key}={value}" for key, value in record.overrides.items())
    return f"{record.method}{preset}{f'[{changes}]' if changes else ''}"


def compare(a: Selection, b: Selection, *, alpha: float = 0.05) -> list[MetricComparison]:
    """One comparison per metric that both have measured on some seed, in A's order."""
    found: list[MetricComparison] = []
    of_b = {name for record in b.by_seed.values() for name in record.scores}
    for name in dict.fromkeys(name for record in a.by_seed.values() for name in record.scores):
        if name in of_b:
            found.append(_compare_metric(name, a, b))
    tested = [one for one in found if one.difference is not None]
    adjusted = holm([one.difference.p_value for one in tested if one.difference is not None])
    judged = [_judge(one, p, alpha) for one, p in zip(tested, adjusted, strict=True)]
    verdicts: dict[str, MetricComparison] = {one.metric: one for one in judged}
    return [verdicts.get(one.metric, one) for one in found]


def _compare_metric(name: str, a: Selection, b: Selection) -> MetricComparison:
    of_a, of_b = _estimates(name, a), _estimates(name, b)
    first_a, first_b = next(iter(of_a.values())), next(iter(of_b.values()))
    fingerprints = {estimate.fingerprint for estimate in (*of_a.values(), *of_b.values())}
    if len(fingerprints) > 1:
        fields = _protocol_difference(a, b, first_a, first_b)
        return MetricComparison(metric=name, better=first_a.better, verdict="not comparable", differing=fields)
    seeds = sorted(set(of_a) & set(of_b))
    if len(seeds) < 2:
        return MetricComparison(metric=name, better=first_a.better, verdict="too few seeds")
    difference = paired_difference([of_a[s].value for s in seeds], [of_b[s].value for s in seeds])
    return MetricComparison(metric=name, better=first_a.better, verdict="not separable", difference=difference)


def _estimates(name: str, selection: Selection) -> dict[int, Estimate]:
    return {seed: record.scores[name] for seed, record in selection.by_seed.items() if name in record.scores}


def _judge(one: MetricComparison, p_value: float, alpha: float) -> MetricComparison:
    assert one.difference is not None
    effect = one.difference.effect.point
    verdict: Verdict = "not separable"
    if p_value < alpha and one.better != "none":
        verdict = "better" if (effect < 0) == (one.better == "lower") else "worse"
    return MetricComparison(
        metric=one.metric, better=one.better, verdict=verdict, difference=one.difference, p_value=p_value
    )


def _protocol_difference(
    a: Selection, b: Selection, one: Estimate, other: Estimate
) -> dict[str, tuple[JsonValue, JsonValue]]:
    """Fields of two protocols that are not equal; the name and version count as fields."""
    protocols = {key: p for s in (a, b) for record in s.by_seed.values() for key, p in record.protocols.items()}
    flat = []
    for estimate in (one, other):
        protocol = protocols.get(estimate.fingerprint)
        fields: dict[str, JsonValue] = {"fingerprint": estimate.fingerprint}
        flat.append(fields if protocol is None else {"version": protocol.version, **protocol.fields})
    return {
        key: (flat[0].get(key), flat[1].get(key)) for key in flat[0] | flat[1] if flat[0].get(key) != flat[1].get(key)
    }
