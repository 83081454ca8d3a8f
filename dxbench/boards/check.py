"""Has anything become worse? Runs of today against a baseline, judged by the spread of training seeds."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isclose

from dxbench.api import Direction, canonical_json
from dxbench.boards.aggregate import label_of, newest_configuration
from dxbench.boards.gate import CostChange, Finding, Gate, NoiseModel, Verdict
from dxbench.boards.stats import TStatistic, benjamini_hochberg, bounded, mean, moments, paired_t, prediction_t, welch_t
from dxbench.boards.tables import differing_fields, protocols_of
from dxbench.errors import unknown
from dxbench.records.entries import Entry
from dxbench.records.index import RecordIndex

PAIRED_FROM = 3
"""Replayed seeds from which pairing is worth its degrees of freedom: at two, t has to exceed 6.3."""
ROW = "row"
"""What the test of all numbers of a row together is called among its metrics."""
_BROKEN = ("failed", "timeout", "out_of_memory")


@dataclass(frozen=True, kw_only=True)
class _Series:
    """One metric of one row by training seed."""

    better: Direction
    values: dict[int, float]
    fingerprints: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class _Test:
    """A finding that waits for its p to be adjusted.

    Attributes:
        counts: whether the change is larger than the tolerance.
    """

    finding: Finding
    statistic: TStatistic
    counts: bool

    @property
    def worsening(self) -> TStatistic:
        """The statistic with up for worse."""
        return self.statistic if self.finding.better == "lower" else -self.statistic


def check(
    baseline: RecordIndex, candidate: RecordIndex, *, task: str | None = None, alpha: float, rel_tol: float
) -> Gate:
    """Judge every metric with a direction, and NFE, of every row of the candidate that the baseline has.

    A regression is a change for the worse with a one-sided p < alpha, adjusted over all tests with spread by
    Benjamini and Hochberg, that also exceeds `rel_tol` of the baseline's mean; or a run that breaks where the
    baseline's did not. Beside the tests of a row's numbers stands one of all of them together (`_together`).

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
        notes += _withdrawn("the baseline", baseline.entries(name))
        notes += _withdrawn("the candidate", candidate.entries(name))
        absent += [f"{name}: {label_of(row[0])}" for key, row in old.items() if key not in new]
        for key, row in new.items():
            before = old.get(key, [])
            done += _judge_row(before, row, rel_tol)
            costs += _cost_changes(before, row)
            notes += _notes(before, row)
    for name in sorted(set(candidate.tasks) - set(baseline.tasks)) if task is None else []:
        for row in _rows(candidate.entries(name)).values():
            done += _judge_row([], row, rel_tol)
    return Gate(
        alpha=alpha,
        rel_tol=rel_tol,
        findings=tuple(_adjust(done, alpha, rel_tol)),
        costs=tuple(costs),
        notes=tuple(notes),
        absent=tuple(absent),
    )


def _rows(entries: Sequence[Entry]) -> dict[tuple[str, str, str], list[Entry]]:
    """The newest runs of what goes by one name, method, preset and overrides, but for those withdrawn."""
    groups: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    for entry in (one for one in entries if one.withdrawn is None and one.external is None):
        groups[entry.method, entry.preset, canonical_json(entry.overrides)].append(entry)
    return {key: newest_configuration(group) for key, group in groups.items()}


def _judge_row(before: Sequence[Entry], row: Sequence[Entry], rel_tol: float) -> Iterator[Finding | _Test]:
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
        yield from _judge_metrics(old, new, rel_tol)
    else:
        ends = ", ".join(sorted({f"{entry.status}: {entry.failure or 'no reason given'}" for entry in row}))
        yield replace(about_run, verdict=Verdict.NOT_MEASURED, reason=f"no run that finished ({ends})")


def _judge_metrics(old: Sequence[Entry], new: Sequence[Entry], rel_tol: float) -> Iterator[Finding | _Test]:
    then, now = _series(old), _series(new)
    replayed = replayed_seeds(old, new)
    noisy: list[_Test] = []
    for metric in dict.fromkeys([*then, *now]):
        blank = Finding(task=new[0].task, row=label_of(new[0]), metric=metric, verdict=Verdict.NO_BASELINE)
        if metric not in then:
            yield replace(blank, reason="the baseline has not measured it")
        elif metric not in now:
            yield replace(
                blank,
                verdict=Verdict.NOT_MEASURED,
                baseline=mean(then[metric].values.values()),
                seeds=(len(then[metric].values), 0),
                reason="the baseline has measured it",
            )
        else:
            judged = _judge_metric(blank, then[metric], now[metric], [*old, *new], replayed, rel_tol)
            if isinstance(judged, _Test) and judged.finding.noise != "exact":
                noisy.append(judged)
            yield judged
            lost = sorted({entry.seed for entry in new} - set(now[metric].values))
            if lost and len(then[metric].values) == len(old):
                named = f"{metric}, seed {', '.join(map(str, lost))}"
                reason = "every run of the baseline has measured it"
                yield replace(blank, metric=named, verdict=Verdict.NOT_MEASURED, reason=reason)
    if len(noisy) > 1:
        yield from _together(noisy, then, now, replayed)


def _judge_metric(
    blank: Finding,
    then: _Series,
    now: _Series,
    entries: Sequence[Entry],
    replayed: frozenset[int],
    rel_tol: float,
) -> Finding | _Test:
    finding = replace(
        blank,
        baseline=mean(then.values.values()),
        candidate=mean(now.values.values()),
        seeds=(len(then.values), len(now.values)),
        better=now.better,
    )
    fingerprints = sorted(then.fingerprints) + sorted(now.fingerprints - then.fingerprints)
    if len(fingerprints) > 1:
        fields = differing_fields(*protocols_of(entries, finding.metric, fingerprints[:2]))
        reason = "; ".join(f"{field}: {a!r} in the baseline, {b!r} now" for field, (a, b) in fields.items())
        return replace(finding, verdict=Verdict.NOT_COMPARABLE, reason=reason or "the protocols are not on record")
    noise = noise_model(now.values, then.values, replayed)
    if noise is None:
        reason = "one seed in the baseline tells nothing of the spread; measure it with more"
        return replace(finding, verdict=Verdict.NO_NOISE_MODEL, reason=reason)
    model, statistic = noise
    assert finding.baseline is not None
    counts = abs(statistic.effect) > rel_tol * abs(finding.baseline)
    return _Test(finding=replace(finding, noise=model, change=statistic.effect), statistic=statistic, counts=counts)


def _together(
    tests: Sequence[_Test], then: dict[str, _Series], now: dict[str, _Series], replayed: frozenset[int]
) -> Iterator[_Test]:
    """One test of all of a row's numbers with spread: what is a little worse in every one is worse.

    Each number in units of its spread around the mean of both sides together, up for worse; then the mean over the
    numbers, seed by seed, tested as a number of its own (O'Brien 1984, doi:10.2307/2531158), so that numbers that go
    together count as the seeds show. The seeds are those that have every number.
    """
    names = [one.finding.metric for one in tests]
    scaled: tuple[list[dict[int, float]], list[dict[int, float]]] = ([], [])
    for name in names:
        both = [*then[name].values.values(), *now[name].values.values()]
        found, sign = moments(both), 1 if now[name].better == "lower" else -1
        for side, series in zip(scaled, (then[name], now[name]), strict=True):
            side.append({s: sign * bounded(v - found.mean) / found.std for s, v in series.values.items()})
    old, new = (
        {seed: mean(one[seed] for one in side) for seed in side[0] if all(seed in one for one in side)}
        for side in scaled
    )
    noise = noise_model(new, old, replayed) if new and old else None
    if noise is not None and noise[0] != "exact":
        first = tests[0].finding
        finding = Finding(
            task=first.task,
            row=first.row,
            metric=ROW,
            verdict=Verdict.UNCHANGED,
            baseline=mean(old.values()),
            candidate=mean(new.values()),
            seeds=(len(old), len(new)),
            better="lower",
            noise=noise[0],
            change=noise[1].effect,
        )
        same_way = (one.counts for one in tests if one.worsening.effect * noise[1].effect > 0)
        yield _Test(finding=finding, statistic=noise[1], counts=any(same_way))


def replayed_seeds(old: Sequence[Entry], new: Sequence[Entry]) -> frozenset[int]:
    """Seeds whose runs on both sides drew the same random numbers: a curve of their training starts equal.

    A seed gives the same random numbers only to the same code on the same kind of machine, and a record says neither
    for certain; the first loss that a training logs says it. A curve that starts alike at every seed shows nothing.
    """
    then, now = ({entry.seed: _starts(entry) for entry in side} for side in (old, new))
    common = sorted(set(then) & set(now))
    curves = {name for seed in common for name in then[seed]}
    telling = [name for name in curves if len({then[seed].get(name) for seed in common}) > 1]
    return frozenset(
        seed
        for seed in common
        if any(
            name in then[seed] and name in now[seed] and isclose(then[seed][name], now[seed][name], rel_tol=1e-6)
            for name in telling
        )
    )


def _starts(entry: Entry) -> dict[str, float]:
    """The first value of each curve of a run."""
    return {name: curve.value[0] for name, curve in entry.record().curves.items() if curve.value}


def noise_model(
    now: dict[int, float], then: dict[int, float], replayed: frozenset[int]
) -> tuple[NoiseModel, TStatistic] | None:
    """The statement that seeds allow of the difference; the choice looks at how runs began and never at what came out.

    * exact: no side varies, so that any difference is one; such a test needs no adjustment.
    * paired: over the replayed seeds, from `PAIRED_FROM` of them and where no seed is left over.
    * Welch: several on both sides, which share no random numbers.
    * prediction: one seed now, held against the spread of the baseline.
    * None: one seed in the baseline.
    """
    new, old = list(now.values()), list(then.values())
    if len(old) < 2:
        return None
    if min(new) == max(new) and min(old) == max(old):
        return "exact", TStatistic(effect=new[0] - old[0], standard_error=0.0, dof=len(old) - 1)
    if len(now) >= PAIRED_FROM and set(now) <= replayed and set(now) <= set(then):
        return "paired", paired_t(new, [then[seed] for seed in now])
    if len(new) > 1:
        return "Welch", welch_t(new, old)
    return "prediction", prediction_t(new[0], old)


def _adjust(found: Sequence[Finding | _Test], alpha: float, rel_tol: float) -> Iterator[Finding]:
    """Verdicts of all tests together, in the order found; worse and better are tested each for themselves."""
    noisy = [one for one in found if isinstance(one, _Test) and one.finding.noise != "exact"]
    worse = iter(benjamini_hochberg([one.worsening.p_above for one in noisy]))
    better = iter(benjamini_hochberg([(-one.worsening).p_above for one in noisy]))
    for one in found:
        if isinstance(one, Finding):
            yield one
            continue
        exact = one.finding.noise == "exact"
        worsening = one.worsening
        p_worse, p_better = (worsening.p_value, worsening.p_value) if exact else (next(worse), next(better))
        p_value = p_worse if worsening.effect > 0 else p_better
        verdict = Verdict.UNCHANGED
        if p_value < alpha and one.counts:
            verdict = Verdict.REGRESSION if worsening.effect > 0 else Verdict.IMPROVED
        least = 0.0 if one.finding.metric == ROW else bounded(rel_tol * abs(one.finding.baseline or 0.0))
        detectable = 0.0 if exact else worsening.detectable(2 * alpha / len(noisy))
        yield replace(one.finding, verdict=verdict, p_value=p_value, detectable=max(detectable, least))


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
        if then and now and mean(then) != mean(now):
            yield CostChange(
                task=row[0].task, row=label_of(row[0]), cost=cost, baseline=mean(then), candidate=mean(now)
            )


def _withdrawn(side: str, entries: Sequence[Entry]) -> Iterator[str]:
    for entry in entries:
        if entry.withdrawn is not None:
            what = f"seed {entry.seed} of {side} is withdrawn and left out ({entry.withdrawn})"
            yield f"{entry.task}: {label_of(entry)}: {what}"


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
