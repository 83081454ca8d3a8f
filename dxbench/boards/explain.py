"""Explain why two numbers differ: by fields, and by scoring kept samples again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isclose
from pathlib import Path

from pydantic import JsonValue

from dxbench.api import Direction, Metric, MetricProtocol, NotApplicable, ResultRecord, Task
from dxbench.boards.compare import Selection
from dxbench.boards.rescore import KeptSamples, Way, change_fields
from dxbench.boards.stats import bounded, mean
from dxbench.boards.tables import differing_fields
from dxbench.errors import NothingMeasured
from dxbench.threads import fix_threads

TRAINING = "samples / training"
AGAIN = "kept samples scored again"
Differences = dict[str, tuple[JsonValue, JsonValue]]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One bar of a waterfall: what changes, and the number before and after."""

    name: str
    before: float
    after: float

    @property
    def change(self) -> float:
        return bounded(self.after - self.before)


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The explanation of one metric's difference between A and B.

    Attributes:
        a: A's number, the mean over the pairs of runs; `b` likewise.
        pairs: pairs of runs behind them.
        fields: of the two protocols, those that differ, as field -> (A's, B's).
        steps: from a to b, each beginning where the last one ended.
        note: why fields are not told apart; "" where all are.
    """

    metric: str
    better: Direction
    a: float
    b: float
    pairs: int
    fields: Differences
    steps: tuple[Step, ...]
    note: str = ""

    @property
    def gap(self) -> float:
        return bounded(self.b - self.a)


def made_differently(a: ResultRecord, b: ResultRecord) -> Differences:
    """The differences in how two runs came to be: configuration, code, machine; seeds and times left out."""
    flat: list[dict[str, JsonValue]] = []
    for record in (a, b):
        dump = record.model_dump(mode="json")
        facts: dict[str, JsonValue] = {
            key: dump[key] for key in ("task_version", "method", "method_version", "preset", "nfe")
        }
        facts |= {f"config.{key}": value for key, value in record.config.items()}
        origin = dump["provenance"]
        facts |= {f"packages.{key}": value for key, value in origin["packages"].items()}
        left_out = ("packages", "command", "created", "resumed")
        facts |= {key: value for key, value in origin.items() if key not in left_out}
        facts |= {key: getattr(record.cost, key) for key in ("device", "threads") if record.cost}
        flat.append(facts)
    keys = dict.fromkeys([*flat[0], *flat[1]])
    return {key: (flat[0].get(key), flat[1].get(key)) for key in keys if flat[0].get(key) != flat[1].get(key)}


def pair_up(a: Selection, b: Selection) -> list[tuple[ResultRecord, ResultRecord]]:
    """Runs of the seeds that both have; two single runs are a pair whatever their seeds.

    Raises:
        NothingMeasured: if there is no pair, or the two are of different tasks.
    """
    of_a, of_b = list(a.by_seed.values()), list(b.by_seed.values())
    if of_a[0].task != of_b[0].task:
        raise NothingMeasured(
            f"A is of task {of_a[0].task!r}, B of {of_b[0].task!r}: their numbers "
            "cannot be compared; name two rows of one task"
        )
    common = sorted(set(a.by_seed) & set(b.by_seed))
    pairs = [(a.by_seed[seed], b.by_seed[seed]) for seed in common]
    if len(of_a) == len(of_b) == 1:
        pairs = [(of_a[0], of_b[0])]
    if not pairs:
        raise NothingMeasured(f"no training seed is common to A ({sorted(a.by_seed)}) and B ({sorted(b.by_seed)})")
    return [(one.record(), other.record()) for one, other in pairs]


def explain(
    pairs: Sequence[tuple[ResultRecord, ResultRecord]],
    *,
    task: Task,
    home: Path,
    metrics: Sequence[str],
    progress: Callable[[str], None],
) -> list[Explanation]:
    """An explanation per metric that every run of the pairs has measured.

    Args:
        home: where runs keep their samples; those of A are scored again, else those of B.
    """
    fix_threads(task.threads)
    kept = KeptSamples(home)
    known: dict[str, Metric] = {metric.name: metric for metric in task.metrics}

    def score(metric: Metric, record: ResultRecord) -> float:
        progress(f"scoring {record.run_id} by {metric.name} again")
        return metric.measure(task.inputs_of(kept.of(record))).value

    of_all = [name for name in metrics if all(name in record.scores for pair in pairs for record in pair)]
    return [_explain_metric(name, known.get(name), pairs, score) for name in of_all]


def _explain_metric(
    name: str,
    metric: Metric | None,
    pairs: Sequence[tuple[ResultRecord, ResultRecord]],
    score: Callable[[Metric, ResultRecord], float],
) -> Explanation:
    one, other = (record.scores[name] for record in pairs[0])
    first_a, first_b = pairs[0]
    protocols = first_a.protocols.get(one.fingerprint), first_b.protocols.get(other.fingerprint)
    names, levels, note = [TRAINING], [_mean(name, pairs, 0), _mean(name, pairs, 1)], ""
    if len({record.scores[name].fingerprint for pair in pairs for record in pair}) > 1:
        try:
            names, levels, note = _waterfall(name, metric, protocols, pairs, score)
        except NotApplicable as reason:
            names, note = [f"protocol, {TRAINING}"], str(reason)
    return Explanation(
        metric=name,
        better=other.better,
        a=levels[0],
        b=levels[-1],
        pairs=len(pairs),
        fields=differing_fields(*protocols),
        steps=tuple(Step(name=n, before=x, after=y) for n, (x, y) in zip(names, pairwise(levels), strict=True)),
        note=note,
    )


def _waterfall(
    name: str,
    metric: Metric | None,
    protocols: tuple[MetricProtocol | None, MetricProtocol | None],
    pairs: Sequence[tuple[ResultRecord, ResultRecord]],
    score: Callable[[Metric, ResultRecord], float],
) -> tuple[list[str], list[float], str]:
    """Names of the steps, the levels between them, and what could not be told apart.

    Raises:
        NotApplicable: if neither A's samples can be scored again nor B's, with the reason.
    """
    a, b = protocols
    if metric is None or a is None or b is None:
        raise NotApplicable(f"{name} has no protocol on record, or is no metric of the task any more")
    for pair in pairs:
        if tuple(record.scores[name].fingerprint for record in pair) != (a.fingerprint, b.fingerprint):
            raise NotApplicable("the seeds of one row were measured by different protocols")
    order = list(dict.fromkeys([*a.fields, *b.fields]))
    reasons = []
    for side, find in enumerate(
        (lambda: change_fields(metric, a, b, order), lambda: change_fields(metric, b, a, order[::-1]).reversed())
    ):
        try:
            way = find()
            scored = [[score(one, pair[side]) for one in way.metrics] for pair in pairs]
        except NotApplicable as reason:
            reasons.append(f"{'AB'[side]}: {reason}")
            continue
        between = [mean(values) for values in zip(*scored, strict=True)]
        return _between(side, way, [_mean(name, pairs, 0), *between, _mean(name, pairs, 1)])
    raise NotApplicable("; ".join(reasons))


def _between(side: int, way: Way, levels: list[float]) -> tuple[list[str], list[float], str]:
    """The whole way from A's number to B's, where samples of one side were scored again by the metrics of `way`.

    Scoring again what was scored before is a step of its own only where it does not give the number on record.
    """
    rest = ", ".join([TRAINING, *way.fixed])
    names = [AGAIN, *way.names, rest] if side == 0 else [rest, *way.names, AGAIN]
    on_record, again = (0, 1) if side == 0 else (-1, -2)
    if isclose(levels[on_record], levels[again], rel_tol=1e-9):
        del names[on_record], levels[again]
    return names, levels, "; ".join(f"{field}: {reason}" for field, reason in way.fixed.items())


def _mean(name: str, pairs: Sequence[tuple[ResultRecord, ResultRecord]], side: int) -> float:
    return mean(pair[side].scores[name].value for pair in pairs)
