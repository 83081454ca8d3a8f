"""The samples that a bundle shows: are they those committed to, and do they give the numbers claimed?"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from dxbench.api import Estimate, Problem, Recheck, ResultRecord, Task
from dxbench.errors import InvalidFile, MissingData, NothingMeasured
from dxbench.files.arrays import array_sha256
from dxbench.metrics.scoring import needs_samples, recompute, spot_check
from dxbench.records.sketches import SIZE, copied, row_keys, sketch
from dxbench.submissions.archive import Archive, npy_limit, parse_npy
from dxbench.submissions.challenge import block_sizes, chosen_blocks
from dxbench.submissions.claims import PACK, RUN_AGAIN
from dxbench.submissions.defects import Defect
from dxbench.submissions.manifest import RunEntry, SampleCommitment, samples_member

PRECISION = 1e-3
"""Relative: what is computed again on another processor may differ, by rounding and the odd tie."""
LEAST_SCALE = 0.1
"""Numbers below this may differ by as much as this one."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The shape of a task's samples, as they are kept.

    Attributes:
        count: how many a run is scored on; 0 where a task does not say.
        dtype: NumPy's; None where it is the method's choice.
    """

    count: int
    event_shape: list[int]
    dtype: str | None

    @classmethod
    def of(cls, task: Task) -> "Shape | None":
        """None for a task without samples. Raises MissingData where a task needs its files to say."""
        problem = task.problem(oracle=False)
        if not isinstance(problem, Problem):
            return None
        shape = list(problem.event_shape)
        if task.image_bytes and len(shape) == 3:
            return cls(count=task.num_samples, event_shape=[*shape[1:], shape[0]], dtype="|u1")
        return cls(count=task.num_samples, event_shape=shape, dtype=None)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Samples of a run, [m, *event], that the manifest committed to; `share` of all it has."""

    run_id: str
    samples: np.ndarray
    share: float

    @property
    def whole(self) -> bool:
        return self.share == 1


@dataclass(frozen=True, kw_only=True)
class Rechecked:
    """A claim beside what the samples shown give.

    Attributes:
        low: least value that may honestly be claimed; `high` likewise, None where there is no such bound.
        exact: computed again from all samples.
    """

    run_id: str
    metric: str
    claimed: float
    measured: float
    low: float
    high: float | None
    exact: bool

    @classmethod
    def of(cls, run_id: str, metric: str, claimed: float, found: Recheck, *, exact: bool) -> "Rechecked":
        return cls(
            run_id=run_id,
            metric=metric,
            claimed=claimed,
            measured=found.value,
            low=found.low,
            high=found.high,
            exact=exact,
        )

    @property
    def holds(self) -> bool:
        return self.low <= self.claimed and (self.high is None or self.claimed <= self.high)

    @property
    def range(self) -> str:
        """The range that may honestly be claimed, in words."""
        return f"at least {self.low:.4f}" if self.high is None else f"{self.low:.4f} to {self.high:.4f}"


def read_samples(
    archive: Archive,
    entry: RunEntry,
    record: ResultRecord,
    *,
    manifest_sha256: str,
    task: Task,
    shape: Shape | None,
) -> tuple[Shown | None, list[Defect]]:
    """The samples that a run shows, or None with the reasons why they cannot be believed."""
    where = samples_member(entry.run_id)
    commitment = entry.samples
    if record.samples_sha256 is None or commitment is None:
        if record.samples_sha256 is None and commitment is None and record.nfe is None:
            return None, list(_without_samples(record, task))
        problem = "a run with samples has to name their hash and to show them"
        return None, [Defect(where=where, problem=problem, remedy=RUN_AGAIN)]
    sizes = block_sizes(commitment.count)
    problems = list(_commitment_problems(commitment, record, sizes, shape))
    if problems:
        return None, [Defect(where="manifest.json: " + where, problem=problem, remedy=PACK) for problem in problems]
    blocks = chosen_blocks(manifest_sha256, entry.run_id, total=len(sizes), wanted=task.challenge_blocks)
    wanted = (sum(sizes[block] for block in blocks), *commitment.event_shape)
    try:
        samples = parse_npy(
            archive.read(where, at_most=npy_limit(commitment.dtype, wanted)), dtype=commitment.dtype, shape=wanted
        )
    except InvalidFile as error:
        return None, [Defect(where=where, problem=str(error), remedy=PACK)]
    starts = np.cumsum([0, *(sizes[block] for block in blocks)])
    wrong = [
        block
        for block, start, end in zip(blocks, starts[:-1], starts[1:], strict=True)
        if array_sha256(samples[start:end]) != commitment.blocks[block]
    ]
    if wrong:
        problem = f"{len(wrong)} of {len(blocks)} blocks are not those the manifest commits to (first: {wrong[0]})"
        return None, [Defect(where=where, problem=problem, remedy=PACK)]
    shown = Shown(run_id=entry.run_id, samples=samples, share=len(samples) / commitment.count)
    return shown, list(_named_otherwise(shown, record))


def _without_samples(record: ResultRecord, task: Task) -> Iterator[Defect]:
    """Claims of a run without samples that nothing but samples give."""
    for metric in task.metrics:
        if metric.name in record.scores and needs_samples(metric):
            where, problem = f"records/{record.run_id}: scores.{metric.name}", "a number of samples, and none are shown"
            yield Defect(where=where, problem=problem, remedy=RUN_AGAIN)


def _commitment_problems(
    commitment: SampleCommitment, record: ResultRecord, sizes: list[int], shape: Shape | None
) -> Iterator[str]:
    if commitment.array_sha256 != record.samples_sha256:
        yield f"array_sha256 {commitment.array_sha256}, the record has {record.samples_sha256}"
    if len(commitment.blocks) != len(sizes):
        yield f"{len(commitment.blocks):,} blocks, {commitment.count:,} samples make {len(sizes):,}"
    if shape is None:
        yield "samples, where the task has none"
        return
    if commitment.event_shape != shape.event_shape:
        yield f"event_shape {commitment.event_shape}, the task has {shape.event_shape}"
    if shape.dtype is not None and commitment.dtype != shape.dtype:
        yield f"dtype {commitment.dtype}, the task keeps samples as {shape.dtype}"
    least = max((_needed(record, name) for name in record.scores), default=0)
    if shape.count and commitment.count != shape.count:
        yield f"{commitment.count:,} samples, a run of the task is scored on {shape.count:,}"
    elif commitment.count < least:
        yield f"{commitment.count:,} samples, its own protocols need {least:,}"


def _needed(record: ResultRecord, metric: str) -> int:
    protocol = record.protocols.get(record.scores[metric].fingerprint)
    count = protocol.fields.get("n_samples") if protocol else None
    return count if isinstance(count, int) else 0


def _named_otherwise(shown: Shown, record: ResultRecord) -> Iterator[Defect]:
    """Find samples that the record names otherwise, as far as those shown can tell."""
    where = samples_member(shown.run_id)
    if shown.whole and array_sha256(shown.samples) != record.samples_sha256:
        yield Defect(where=where, problem="not the samples of the record (samples_sha256)", remedy=RUN_AGAIN)
    if not record.samples_sketch:
        problem = "no samples_sketch, by which copied samples are found"
    elif shown.whole and sketch(shown.samples) != record.samples_sketch:
        problem = "not that of the samples (samples_sketch)"
    elif _lacks(record.samples_sketch, shown.samples):
        problem = "lacks samples that are shown (samples_sketch)"
    else:
        return
    yield Defect(where=f"records/{shown.run_id}: samples_sketch", problem=problem, remedy=RUN_AGAIN)


def _lacks(words: list[str], samples: np.ndarray) -> bool:
    """True where a sketch lacks a key that the sketch of all samples would hold: one below its largest."""
    missing = set(row_keys(samples)) - set(words)
    return bool(missing) and (len(words) < SIZE or min(missing) < max(words))


def recheck(
    record: ResultRecord, shown: Shown, task: Task, *, progress: Callable[[str], None]
) -> tuple[list[Rechecked], list[Defect]]:
    """Every claim of a record that the samples shown can confirm or refute, and what they show to be missing."""
    progress(f"measuring {len(shown.samples):,} samples of {record.run_id}")
    try:
        if shown.whole:
            return _recompute(record, shown, task, progress)
        return _spot_check(record, shown, task)
    except MissingData as error:
        problem = f"cannot be measured again here: {error}"
        return [], [Defect(where=samples_member(shown.run_id), problem=problem, remedy="Prepare the task's files.")]
    except NothingMeasured as error:
        return [], [Defect(where=samples_member(shown.run_id), problem=str(error), remedy=RUN_AGAIN)]


def _recompute(
    record: ResultRecord, shown: Shown, task: Task, progress: Callable[[str], None]
) -> tuple[list[Rechecked], list[Defect]]:
    rechecked, defects = [], []
    for name, found in recompute(task, shown.samples, progress=progress).items():
        if name in record.notes and name not in record.scores:
            problem = f"left out ({record.notes[name]}); the samples give {found.value:.4f}"
            defects.append(Defect(where=f"records/{record.run_id}: {name}", problem=problem, remedy=RUN_AGAIN))
        if name not in record.scores:
            continue
        claim, slack = record.scores[name], _slack(found.value)
        bounds = Recheck(value=found.value, low=found.value - slack, high=found.value + slack)
        rechecked.append(Rechecked.of(record.run_id, name, claim.value, bounds, exact=True))
        defects += [
            Defect(where=f"records/{record.run_id}: scores.{name}", problem=problem, remedy=RUN_AGAIN)
            for problem in _differing(claim, found)
        ]
    return rechecked, defects


def _slack(value: float) -> float:
    return PRECISION * max(abs(value), LEAST_SCALE)


def _differing(claim: Estimate, found: Estimate) -> Iterator[str]:
    """The parts of a claim, other than its value, that are not as computed again."""
    for field in ("n", "better", "unit"):
        if getattr(claim, field) != getattr(found, field):
            yield f"{field} = {getattr(claim, field)!r}, computed again {getattr(found, field)!r}"
    if (claim.std is None) != (found.std is None) or not _close({"std": claim.std or 0.0}, {"std": found.std or 0.0}):
        yield f"std = {claim.std}, computed again {found.std}"
    if not _close(claim.parts, found.parts):
        yield "parts that are not as computed again"


def _close(claimed: Mapping[str, float], found: Mapping[str, float]) -> bool:
    return claimed.keys() == found.keys() and all(abs(claimed[k] - found[k]) <= _slack(found[k]) for k in found)


def _spot_check(record: ResultRecord, shown: Shown, task: Task) -> tuple[list[Rechecked], list[Defect]]:
    return [
        Rechecked.of(record.run_id, name, record.scores[name].value, one, exact=False)
        for name, one in spot_check(task, shown.samples).items()
        if name in record.scores
    ], []


def recheck_defects(rechecked: list[Rechecked]) -> list[Defect]:
    return [
        Defect(
            where=f"records/{one.run_id}: scores.{one.metric}",
            problem=f"claims {one.claimed:.4f}, the samples shown give {one.measured:.4f}, which allows {one.range}",
            remedy=RUN_AGAIN,
        )
        for one in rechecked
        if not one.holds
    ]


class Copies:
    """Finds samples that several runs share, one run after the other."""

    def __init__(self) -> None:
        self._seen: dict[str, list[str]] = {}

    def look(self, shown: Shown, known: Mapping[str, list[str]]) -> Iterator[Defect]:
        """`known` are the sketches of runs that are there already."""
        keys = set(row_keys(shown.samples))
        for run_id, words in {**known, **self._seen}.items():
            if run_id != shown.run_id and copied(words, keys, share=shown.share):
                problem = f"the very samples of {run_id}, or most of them, in whatever order"
                yield Defect(where=samples_member(shown.run_id), problem=problem, remedy=RUN_AGAIN)
        self._seen[shown.run_id] = sketch(shown.samples)
