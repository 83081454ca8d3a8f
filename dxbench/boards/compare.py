"""Are two rows different? Over their training seeds, metric by metric."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import JsonValue

from dxbench.api import Direction, Estimate
from dxbench.boards.aggregate import label_of, located, name_of, newest_configuration
from dxbench.boards.stats import Interval, TStatistic, welch_t
from dxbench.boards.tables import differing_fields, protocols_of
from dxbench.errors import UsageError, unknown
from dxbench.plugins.rows import RowName
from dxbench.records.entries import Entry

Verdict = Literal["better", "worse", "higher", "lower", "not separable", "not comparable", "too few seeds"]


_OLD_ID = (
    "An id is of a configuration and changes with its form: name the row by its method, and let `dxbench records "
    "migrate` bring records of earlier versions into today's form."
)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The runs of one configuration, by seed."""

    label: str
    by_seed: dict[int, Entry]


@dataclass(frozen=True, kw_only=True)
class MetricComparison:
    """One metric's comparison of A with B.

    Attributes:
        verdict: of A; "higher" and "lower" of a metric of which neither is better.
        difference: mean of A minus mean of B, with the simultaneous interval of all metrics compared; None where
            either has fewer than two seeds.
        p_value: adjusted over the metrics compared (Bonferroni), so that it is below alpha where the interval, of
            level 1 - alpha, leaves 0 out, and nowhere else.
        seeds: of A and of B.
        differing: protocol fields that differ, as field -> (A's, B's), of a pair that is not comparable.
    """

    metric: str
    better: Direction
    verdict: Verdict
    difference: Interval | None = None
    p_value: float | None = None
    seeds: tuple[int, int] = (0, 0)
    differing: dict[str, tuple[JsonValue, JsonValue]] | None = None


def select(entries: Sequence[Entry], selector: str) -> Selection:
    """Runs named by `method:preset[key=value,...]` (`RowName`) or by the ten digits of a configuration.

    `@yours` behind any of these takes your own, `@FOLDER` those of another folder. Runs of several folders are not
    mixed: without it the first folder's count, which are the reference's where it has any.

    Of several versions the newest counts; what is withdrawn does not.

    Raises:
        UsageError: if nothing or no such form matches, or all that does is withdrawn.
    """
    row = RowName.parse(selector)
    scored = [entry for entry in entries if entry.status == "ok" and row.origin in ("", entry.origin)]
    named = [entry for entry in scored if entry.config_id == row.method]
    named = named or [entry for entry in scored if replace(name_of(entry), origin=row.origin) == row]
    if not named:
        known = {str(name_of(entry)): entry.method for entry in entries if entry.status == "ok"}
        of_task = f" --task {entries[0].task}" if entries else ""
        remedy = _OLD_ID if re.fullmatch("[0-9a-f]{10}", row.method) else f"See `dxbench table{of_task}`."
        same = [name for name, method in known.items() if method == row.method]
        raise unknown("row", selector, same or known, remedy=remedy)
    reasons = dict.fromkeys(entry.withdrawn for entry in named if entry.withdrawn is not None)
    named = [entry for entry in named if entry.withdrawn is None]
    if not named:
        raise UsageError(f"{selector!r} is withdrawn ({'; '.join(reasons)}); run it again, and its new numbers count")
    newest = newest_configuration(named)
    origin = newest[0].origin
    chosen = [entry for entry in newest if entry.origin == origin]
    label = located(label_of(chosen[0]), origin)
    if (passes := chosen[0].external) is not None:
        label = f"{label}, from outside, passes {passes}"
    return Selection(label=label, by_seed={entry.seed: entry for entry in chosen})


def compare(a: Selection, b: Selection, *, alpha: float = 0.05) -> list[MetricComparison]:
    """One comparison per metric that both have measured on some seed, in A's order.

    Welch's t tests: rows share their seeds' names and next to none of their random numbers, for they draw them
    differently.
    """
    of_b = {name for entry in b.by_seed.values() for name in entry.scores}
    names = dict.fromkeys(name for entry in a.by_seed.values() for name in entry.scores)
    found = [_compare_metric(name, a, b) for name in names if name in of_b]
    count = sum(test is not None for _, test in found)
    return [one if test is None else _judge(one, test, alpha, count) for one, test in found]


def _compare_metric(name: str, a: Selection, b: Selection) -> tuple[MetricComparison, TStatistic | None]:
    """A comparison that waits for its verdict, and its test where there can be one."""
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
        apart = MetricComparison(metric=name, better=first_a.better, verdict="not comparable", differing=fields)
        return apart, None
    seeds = (len(of_a), len(of_b))
    if min(seeds) < 2:
        return MetricComparison(metric=name, better=first_a.better, verdict="too few seeds", seeds=seeds), None
    test = welch_t(*([estimate.value for estimate in side.values()] for side in (of_a, of_b)))
    return MetricComparison(metric=name, better=first_a.better, verdict="not separable", seeds=seeds), test


def _estimates(name: str, selection: Selection) -> dict[int, Estimate]:
    return {seed: entry.scores[name] for seed, entry in selection.by_seed.items() if name in entry.scores}


def _judge(one: MetricComparison, test: TStatistic, alpha: float, count: int) -> MetricComparison:
    """The verdict of one of `count` tests."""
    p_value = min(1.0, count * test.p_value)
    verdict: Verdict = "not separable"
    if p_value < alpha and one.better == "none":
        verdict = "lower" if test.effect < 0 else "higher"
    elif p_value < alpha:
        verdict = "better" if (test.effect < 0) == (one.better == "lower") else "worse"
    interval = replace(test.interval(1 - alpha / count), level=1 - alpha)
    return replace(one, verdict=verdict, difference=interval, p_value=p_value)
