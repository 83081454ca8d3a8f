"""Cells that were submitted to SLURM and are gone: neither a record of them nor a job that could still write one."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dxbench.engine.locks import owner_of
from dxbench.engine.owners import Owner
from dxbench.engine.plan import Cell
from dxbench.errors import DxbenchError, Interrupted, MachineFault
from dxbench.launchers.contract import Launch
from dxbench.launchers.slurm_arrays import submissions
from dxbench.launchers.slurm_queue import QueuedTask
from dxbench.records.files import work_folder
from dxbench.sweeps.sweep import chosen

SETTLED = 5.0
"""Seconds after the end of a job in which its files may still be on their way here."""


@dataclass(frozen=True)
class Loss:
    """A cell that is to be submitted again, or is given up with an error."""

    cell: Cell
    error: DxbenchError | None = None


@dataclass(frozen=True)
class _Chunk:
    """Cells of one task of an array, by run id; `since` is when it was submitted, as the file system has it."""

    script: Path
    index: int
    cells: Sequence[str]

    @property
    def since(self) -> float:
        return self.script.stat().st_mtime

    @property
    def log(self) -> Path:
        return self.script.parent / "logs" / f"{self.script.stem}_{self.index}.log"


class Losses:
    """Finds cells that are lost, and says what becomes of them.

    Attributes:
        deaths: how often a cell was lost in a way that counts against its retries, by run id.
    """

    def __init__(self, launch: Launch, run_ids: Sequence[str]) -> None:
        self._launch, self._run_ids = launch, run_ids
        self._folder = launch.sweep.folder.resolve()
        self._missed: dict[str, float] = {}
        self.deaths: Counter[str] = Counter()

    def among(self, cells: Sequence[Cell], tasks: Sequence[QueuedTask]) -> Iterator[Loss]:
        """Find, of cells without record and live job, those that are surely lost.

        Args:
            tasks: of the sweep, those included that have ended.
        """
        missed = {cell.run_id: cell for cell in cells}
        ended = {(task.script, task.index): task for task in tasks if task.ended}
        for chunk, lost in self._chunks_of(self._lost(missed)):
            task = ended.get((chunk.script, chunk.index))
            charged = self._charged(chunk, missed)
            for cell in (missed[run_id] for run_id in lost):
                if task is not None and task.state == "CANCELLED":
                    told = f"SLURM job {task.job}_{task.index} was cancelled; the same command goes on"
                    yield Loss(cell, Interrupted(told))
                    continue
                self.deaths.update([cell.run_id] if cell.run_id in charged else [])
                given_up = self.deaths[cell.run_id] > self._launch.settings.retries
                yield Loss(cell, self._fault(cell, chunk.log, task) if given_up else None)

    def _lost(self, missed: Mapping[str, Cell]) -> set[str]:
        """Those that have been missed for some seconds, and that nobody else is at."""
        now = time.monotonic()
        self._missed = {run_id: self._missed.get(run_id, now) for run_id in missed}
        settled = [run_id for run_id, since in self._missed.items() if now - since >= SETTLED]
        owners = {run_id: self._owner(missed[run_id]) for run_id in settled}
        return {run_id for run_id, owner in owners.items() if owner is None or owner.standing != "running"}

    def _chunks_of(self, lost: set[str]) -> list[tuple[_Chunk, list[str]]]:
        """The chunks that lost cells were in at last, with those cells."""
        last: dict[str, tuple[str, int, str]] = {}
        for one in submissions(self._launch.sweep) if lost else ():
            for index, which in enumerate(one.chunks):
                last |= dict.fromkeys(lost.intersection(chosen(self._run_ids, which)), (one.script, index, which))
        found: dict[tuple[str, int, str], list[str]] = {}
        for run_id, chunk in last.items():
            found.setdefault(chunk, []).append(run_id)
        return [
            (_Chunk(self._folder / script, index, chosen(self._run_ids, which)), cells)
            for (script, index, which), cells in found.items()
        ]

    def _charged(self, chunk: _Chunk, missed: Mapping[str, Cell]) -> set[str]:
        """Cells of a chunk against whose retries it counts that they are lost.

        It does not if the run was interrupted and had come further, nor if the chunk did not get as far as to it.
        """
        reached = [run_id not in missed or self._begun(missed[run_id], chunk.since) for run_id in chunk.cells]
        last = max((number for number, was in enumerate(reached) if was), default=len(reached))
        candidates = [run_id for run_id in chunk.cells[: last + 1] if run_id in missed]
        return {run_id for run_id in candidates if not self._came_further(missed[run_id], chunk.since)}

    def _begun(self, cell: Cell, since: float) -> bool:
        owner = self._owner(cell)
        return owner is not None and owner.beaten > since

    def _came_further(self, cell: Cell, since: float) -> bool:
        """Interrupted, with more done than when it was submitted: it may go on for as long as that is so."""
        owner, checkpoint = self._owner(cell), self._work(cell) / "checkpoint.safetensors"
        interrupted = owner is not None and owner.state == "interrupted"
        return interrupted and checkpoint.is_file() and checkpoint.stat().st_mtime > since

    def _owner(self, cell: Cell) -> Owner | None:
        """The owner that is at a cell, or was and left it unfinished."""
        try:
            return owner_of(self._work(cell) / "lock")
        except DxbenchError:  # the run itself will say so
            return None

    def _work(self, cell: Cell) -> Path:
        return work_folder(self._launch.options.home, task=cell.task, method=cell.method, run_id=cell.run_id)

    def _fault(self, cell: Cell, log: Path, task: QueuedTask | None) -> MachineFault:
        state = f" ({task.state} in SLURM)" if task is not None else ""
        times = self._launch.settings.retries + 1
        return MachineFault(
            f"{cell}, ended without a record, try {times} of {times}{state}; {log} says how{_tail(log)}"
        )


def _tail(log: Path) -> str:
    """The last line of a log, for an error."""
    with suppress(OSError):
        lines = log.read_bytes()[-2000:].decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""
    return ""
