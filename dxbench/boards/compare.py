"""Are two rows different? Paired over training seeds, metric by metric."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from dxbench.api import Direction, Estimate
from dxbench.boards.aggregate import label_of, newest_configuration, selector_of
from dxbench.boards.entries import Entry
from dxbench.boards.tables import differing_fields, protocols_of
from dxbench.configure import DEFAULT_PRESET, parse_assignments
from dxbench.errors import UsageError, unknown
from dxbench.stats import PairedDifference, holm, paired_difference

Verdict = Literal["better", "worse", "not separable", "not comparable", "too few seeds"]
_SELECTOR = re.compile(r"(?P<method>[^:\[\]]+)(:(?P<preset>[^:\[\]]+))?(\[(?P<set>[^\[\]]*)\])?")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The runs of one configuration, by seed."""

    label: str
    by_seed: dict[int, Entry]


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


def select(entries: Sequence[Entry], selector: str) -> Selection:
    """Runs named by `method`, `method:preset`, `method[key=value,...]` or the ten digits of a configuration.

    Raises:
        UsageError: if nothing or no such form matches; of several versions the newest counts.
    """
    scored = [entry for entry in entries if entry.status == "ok"]
    named = [entry for entry in scored if entry.config_id == selector]
    if not named:
        match = _SELECTOR.fullmatch(selector)
        if match is None:
            raise UsageError(f"cannot read {selector!r}; use method, method:preset, method[key=value] or a config id")
        overrides = parse_assignments([part for part in (match["set"] or "").split(",") if part])
        wanted = (match["method"], match["preset"] or DEFAULT_PRESET, overrides, "32")
        named = [entry for entry in scored if (entry.method, entry.preset, entry.overrides, entry.precision) == wanted]
    if not named:
        raise unknown("row", selector, {selector_of(entry) for entry in scored})
    chosen = newest_configuration(named)
    return Selection(label=label_of(chosen[0]), by_seed={entry.seed: entry for entry in chosen})


def compare(a: Selection, b: Selection, *, alpha: float = 0.05) -> list[MetricComparison]:
    """One comparison per metric that both have measured on some seed, in A's order."""
    found: list[MetricComparison] = []
    of_b = {name for entry in b.by_seed.values() for name in entry.scores}
    for name in dict.fromkeys(name for entry in a.by_seed.values() for name in entry.scores):
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
        runs = [*a.by_seed.values(), *b.by_seed.values()]
        prints = (
            first_a.fingerprint,
            next(f for f in (first_b.fingerprint, *fingerprints) if f != first_a.fingerprint),
        )
        fields = differing_fields(*protocols_of(runs, name, prints))
        return MetricComparison(metric=name, better=first_a.better, verdict="not comparable", differing=fields)
    seeds = sorted(set(of_a) & set(of_b))
    if len(seeds) < 2:
        return MetricComparison(metric=name, better=first_a.better, verdict="too few seeds")
    difference = paired_difference([of_a[s].value for s in seeds], [of_b[s].value for s in seeds])
    return MetricComparison(metric=name, better=first_a.better, verdict="not separable", difference=difference)


def _estimates(name: str, selection: Selection) -> dict[int, Estimate]:
    return {seed: entry.scores[name] for seed, entry in selection.by_seed.items() if name in entry.scores}


def _judge(one: MetricComparison, p_value: float, alpha: float) -> MetricComparison:
    assert one.difference is not None
    effect = one.difference.effect.point
    verdict: Verdict = "not separable"
    if p_value < alpha and one.better != "none":
        verdict = "better" if (effect < 0) == (one.better == "lower") else "worse"
    return MetricComparison(
        metric=one.metric, better=one.better, verdict=verdict, difference=one.difference, p_value=p_value
    )
