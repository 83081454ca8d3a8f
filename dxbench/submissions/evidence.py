"""The samples that a bundle shows: are they those committed to, and do they give the numbers claimed?"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dxbench.api import ResultRecord, Task
from dxbench.errors import InvalidFile
from dxbench.metrics.scoring import spot_check
from dxbench.records import array_sha256
from dxbench.submissions.archive import Archive, parse_npy
from dxbench.submissions.challenge import block_sizes, chosen_blocks
from dxbench.submissions.claims import PACK, RUN_AGAIN
from dxbench.submissions.defects import Defect
from dxbench.submissions.manifest import RunEntry, SampleCommitment, samples_member


@dataclass(frozen=True, kw_only=True)
class Rechecked:
    """A claim beside what the samples shown give; `low` and `high` as of `dxbench.api.Recheck`."""

    run_id: str
    metric: str
    claimed: float
    measured: float
    low: float
    high: float | None

    @property
    def holds(self) -> bool:
        return self.low <= self.claimed and (self.high is None or self.claimed <= self.high)

    @property
    def range(self) -> str:
        """What may honestly be claimed, in words."""
        return f"at least {self.low:.4f}" if self.high is None else f"{self.low:.4f} to {self.high:.4f}"


def read_samples(
    archive: Archive, entry: RunEntry, record: ResultRecord, *, manifest_sha256: str, task: Task, event_shape: list[int]
) -> tuple[np.ndarray | None, list[Defect]]:
    """The samples that a run shows, [m, *event], or None with the reasons why they cannot be believed."""
    where = samples_member(entry.run_id)
    commitment = entry.samples
    if record.samples_sha256 is None or commitment is None:
        if (record.samples_sha256 is None) == (commitment is None) and record.nfe is None:
            return None, []
        problem = "a run with samples has to name their hash and to show some of them"
        return None, [Defect(where=where, problem=problem, remedy=RUN_AGAIN)]
    sizes = block_sizes(commitment.count)
    problems = _commitment_problems(commitment, record, sizes, event_shape)
    if problems:
        return None, [Defect(where="manifest.json: " + where, problem=problem, remedy=PACK) for problem in problems]
    blocks = chosen_blocks(manifest_sha256, entry.run_id, total=len(sizes), wanted=task.challenge_blocks)
    shape = (sum(sizes[block] for block in blocks), *commitment.event_shape)
    try:
        samples = parse_npy(archive.read(where), dtype=commitment.dtype, shape=shape)
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
    if len(blocks) == len(sizes) and array_sha256(samples) != record.samples_sha256:
        return None, [Defect(where=where, problem="not the samples of the record (samples_sha256)", remedy=RUN_AGAIN)]
    return samples, []


def _commitment_problems(
    commitment: SampleCommitment, record: ResultRecord, sizes: list[int], event_shape: list[int]
) -> list[str]:
    problems = []
    if commitment.array_sha256 != record.samples_sha256:
        problems.append(f"array_sha256 {commitment.array_sha256}, the record has {record.samples_sha256}")
    if commitment.event_shape != event_shape:
        problems.append(f"event_shape {commitment.event_shape}, the task has {event_shape}")
    if len(commitment.blocks) != len(sizes):
        problems.append(f"{len(commitment.blocks):,} blocks, {commitment.count:,} samples make {len(sizes):,}")
    return problems


def recheck(
    record: ResultRecord, samples: np.ndarray, task: Task, *, progress: Callable[[str], None]
) -> list[Rechecked]:
    """Every claim of a record that the samples shown can confirm or refute."""
    progress(f"measuring {len(samples):,} samples of {record.run_id}")
    return [
        Rechecked(
            run_id=record.run_id,
            metric=name,
            claimed=record.scores[name].value,
            measured=found.value,
            low=found.low,
            high=found.high,
        )
        for name, found in spot_check(task, samples).items()
        if name in record.scores
    ]


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
