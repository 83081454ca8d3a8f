"""Has anything become worse? Runs of today against a baseline, judged by the spread of training seeds."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from dxbench.api import Direction, canonical_json
from dxbench.boards.aggregate import label_of, newest_configuration
from dxbench.boards.entries import Entry
from dxbench.boards.gate import CostChange, Finding, Gate, NoiseModel, Verdict
from dxbench.boards.index import RecordIndex
from dxbench.boards.tables import differing_fields, protocols_of
from dxbench.errors import unknown
from dxbench.stats import TStatistic, holm, paired_t, prediction_t, welch_t

PAIRED_FROM = 3
"""Common seeds from which pairing is worth its degrees of freedom: at two, t has to exceed 12.7."""
_BROKEN = ("failed", "timeout", "out_of_memory")


@dataclass(frozen=True, kw_only=True)
class _Series:
    """One metric of one row by training seed."""

    better: Direction
    values: dict[int, float]
    fingerprints: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class _Test:
    """A finding that waits for its p to be adjusted."""

    finding: Finding
    statistic: TStatistic


def check(
    baseline: RecordIndex, candidate: RecordIndex, *, task: str | None = None, alpha: float, rel_tol: float
) -> Gate:
    """Judge every metric with a direction, and NFE, of every row of the candidate that the baseline has.

    A regression is a change for the worse with p < alpha, Holm-adjusted over all tests with spread, that also
    exceeds `rel_tol` of the baseline's mean; or a run that breaks where the baseline's did not.

    Raises:
        UsageError: for a task the baseline does not have.
    """
    if task is not None and task not in baseline.tasks:
        raise unknown("task", task, baseline.tasks, remedy="The baseline has no record of it.")
    done: list[Finding | _Test] = []
    costs: list[CostChange] = []
    notes: list[str] = []
    absent: list[str] = []
    for name in baseline.tasks if task is None else [task]:
        old, new = _rows(baseline.entries(name)), _rows(candidate.entries(name))
        absent += [f"{name}: {label_of(row[0])}" for key, row in old.items() if key not in new]
        for key, row in new.items():
            before = old.get(key, [])
            done += _judge_row(before, row)
            costs += _cost_changes(before, row)
            notes += _notes(before, row)
    for name in sorted(set(candidate.tasks) - set(baseline.tasks)) if task is None else []:
        for row in _rows(candidate.entries(name)).values():
            done += _judge_row([], row)
    return Gate(
        alpha=alpha,
        rel_tol=rel_tol,
        findings=tuple(_adjust(done, alpha, rel_tol)),
        costs=tuple(costs),
        notes=tuple(notes),
        absent=tuple(absent),
    )


def _rows(entries: Sequence[Entry]) -> dict[tuple[str, str, str], list[Entry]]:
    """The newest runs of what goes by one name: method, preset and overrides."""
    groups: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry.method, entry.preset, canonical_json(entry.overrides)].append(entry)
    return {key: newest_configuration(group) for key, group in groups.items()}


def _judge_row(before: Sequence[Entry], row: Sequence[Entry]) -> Iterator[Finding | _Test]:
    first = row[0]
    about_run = Finding(task=first.task, row=label_of(first), metric="run", verdict=Verdict.NO_BASELINE)
    old = [entry for entry in before if entry.status == "ok"]
    if not old:
        yield replace(about_run, reason="the baseline has no finished run of this row")
        return
    if old[0].task_version != first.task_version:
        versions = f"version {old[0].task_version} of the task in the baseline, {first.task_version} now"
        yield replace(about_run, verdict=Verdict.NOT_COMPARABLE, reason=versions)
        return
    broken_before = {entry.seed for entry in before if entry.status in _BROKEN}
    for entry in row:
        if entry.status in _BROKEN and entry.seed not in broken_before:
            ended = f"ended as {entry.status.replace('_', ' ')}: {entry.failure or 'no reason given'}"
            yield replace(about_run, metric=f"run, seed {entry.seed}", verdict=Verdict.REGRESSION, reason=ended)
    new = [entry for entry in row if entry.status == "ok"]
    if new:
        yield from _judge_metrics(old, new)
    else:
        ends = ", ".join(sorted({f"{entry.status}: {entry.failure or 'no reason given'}" for entry in row}))
        yield replace(about_run, verdict=Verdict.NOT_MEASURED, reason=f"no run that finished ({ends})")


def _judge_metrics(old: Sequence[Entry], new: Sequence[Entry]) -> Iterator[Finding | _Test]:
    then, now = _series(old), _series(new)
    for metric in dict.fromkeys([*then, *now]):
        blank = Finding(task=new[0].task, row=label_of(new[0]), metric=metric, verdict=Verdict.NO_BASELINE)
        if metric not in then:
            yield replace(blank, reason="the baseline has not measured it")
        elif metric not in now:
            yield replace(
                blank,
                verdict=Verdict.NOT_MEASURED,
                baseline=fmean(then[metric].values.values()),
                seeds=(len(then[metric].values), 0),
                reason="the baseline has measured it",
            )
        else:
            yield _judge_metric(blank, then[metric], now[metric], [*old, *new])
            lost = sorted({entry.seed for entry in new} - set(now[metric].values))
            if lost and len(then[metric].values) == len(old):
                named = f"{metric}, seed {', '.join(map(str, lost))}"
                reason = "every run of the baseline has measured it"
                yield replace(blank, metric=named, verdict=Verdict.NOT_MEASURED, reason=reason)


def _judge_metric(blank: Finding, then: _Series, now: _Series, entries: Sequence[Entry]) -> Finding | _Test:
    finding = replace(
        blank,
        baseline=fmean(then.values.values()),
        candidate=fmean(now.values.values()),
        seeds=(len(then.values), len(now.values)),
        better=now.better,
    )
    fingerprints = sorted(then.fingerprints) + sorted(now.fingerprints - then.fingerprints)
    if len(fingerprints) > 1:
        fields = differing_fields(*protocols_of(entries, finding.metric, fingerprints[:2]))
        reason = "; ".join(f"{field}: {a!r} in the baseline, {b!r} now" for field, (a, b) in fields.items())
        return replace(finding, verdict=Verdict.NOT_COMPARABLE, reason=reason or "the protocols are not on record")
    noise = noise_model(now.values, then.values)
    if noise is None:
        reason = "one seed in the baseline tells nothing of the spread; measure it with more"
        return replace(finding, verdict=Verdict.NO_NOISE_MODEL, reason=reason)
    return _Test(finding=replace(finding, noise=noise[0], change=noise[1].effect), statistic=noise[1])


def noise_model(now: dict[int, float], then: dict[int, float]) -> tuple[NoiseModel, TStatistic] | None:
    """What seeds allow to be said of the difference; the choice looks at seeds and never at what comes out.

    * exact: no side varies, so that any difference is one; such a test needs no adjustment.
    * paired: over the seeds that both have, from `PAIRED_FROM` of them.
    * Welch: both have several seeds, but too few in common.
    * prediction: one seed now, held against the spread of the baseline.
    * None: one seed in the baseline.
    """
    new, old = list(now.values()), list(then.values())
    if len(old) < 2:
        return None
    if np.ptp(new) == 0 and np.ptp(old) == 0:
        return "exact", TStatistic(effect=new[0] - old[0], standard_error=0.0, dof=len(old) - 1)
    common = sorted(set(now) & set(then))
    if len(common) >= PAIRED_FROM:
        return "paired", paired_t([now[seed] for seed in common], [then[seed] for seed in common])
    if len(new) > 1:
        return "Welch", welch_t(new, old)
    return "prediction", prediction_t(new[0], old)


def _adjust(found: Sequence[Finding | _Test], alpha: float, rel_tol: float) -> Iterator[Finding]:
    """Verdicts of all tests together, in the order found."""
    noisy = [one for one in found if isinstance(one, _Test) and one.finding.noise != "exact"]
    adjusted = iter(holm([one.statistic.p_value for one in noisy]))
    for one in found:
        if isinstance(one, Finding):
            yield one
            continue
        finding, statistic = one.finding, one.statistic
        p_value = statistic.p_value if finding.noise == "exact" else next(adjusted)
        assert finding.baseline is not None
        verdict = Verdict.UNCHANGED
        if p_value < alpha and abs(statistic.effect) > rel_tol * abs(finding.baseline):
            better = (statistic.effect < 0) == (finding.better == "lower")
            verdict = Verdict.IMPROVED if better else Verdict.REGRESSION
        detectable = 0.0 if finding.noise == "exact" else statistic.detectable(alpha / len(noisy))
        yield replace(
            finding,
            verdict=verdict,
            p_value=p_value,
            detectable=max(detectable, rel_tol * abs(finding.baseline)),
        )


def _series(entries: Sequence[Entry]) -> dict[str, _Series]:
    """NFE and every metric with a direction, by name."""
    found: dict[str, _Series] = {}
    for name in dict.fromkeys(name for entry in entries for name in entry.scores):
        estimates = {entry.seed: entry.scores[name] for entry in entries if name in entry.scores}
        better = next(iter(estimates.values())).better
        if better != "none":
            values = {seed: estimate.value for seed, estimate in estimates.items()}
            prints = frozenset(estimate.fingerprint for estimate in estimates.values())
            found[name] = _Series(better=better, values=values, fingerprints=prints)
    nfe = {entry.seed: entry.nfe for entry in entries if entry.nfe is not None}
    if nfe:
        found["nfe"] = _Series(better="lower", values=nfe, fingerprints=frozenset())
    return found


def _cost_changes(before: Sequence[Entry], row: Sequence[Entry]) -> Iterator[CostChange]:
    for cost in ("parameters", "sampling_flops", "peak_memory_bytes", "train_seconds", "eval_seconds"):
        then, now = ([v for e in runs if e.status == "ok" and (v := getattr(e, cost))] for runs in (before, row))
        if then and now and fmean(then) != fmean(now):
            yield CostChange(
                task=row[0].task, row=label_of(row[0]), cost=cost, baseline=fmean(then), candidate=fmean(now)
            )


def _notes(before: Sequence[Entry], row: Sequence[Entry]) -> Iterator[str]:
    if not before:
        return
    old, new = before[0], row[0]
    where = f"{new.task}: {label_of(new)}"
    if old.method_version != new.method_version:
        yield f"{where}: version {old.method_version} of the method in the baseline, {new.method_version} now"
    for key in dict.fromkeys([*old.config, *new.config]):
        if old.config.get(key) != new.config.get(key):
            yield f"{where}: {key} is {old.config.get(key)!r} in the baseline, {new.config.get(key)!r} now"
    if any(entry.dirty for entry in before):
        yield f"{where}: the baseline was measured with uncommitted changes"
