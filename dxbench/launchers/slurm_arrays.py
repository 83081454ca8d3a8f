"""Submissions of the SLURM launcher: cells in arrays, arrays in chunks, a note of each in the folder of the sweep."""

from collections.abc import Container, Sequence
from contextlib import suppress

from pydantic import ValidationError

from dxbench.api import Frozen
from dxbench.engine.plan import Cell
from dxbench.files.reading import read_regular
from dxbench.launchers import slurm_queue
from dxbench.launchers.contract import Launch
from dxbench.launchers.slurm_script import chunk_seconds
from dxbench.sweeps.chunks import MOST_CHUNKS, pack, selector
from dxbench.sweeps.sweep import FILE_LIMIT, Sweep, read_plan


class Submission(Frozen):
    """A line of jobs.jsonl in a sweep's folder, written before the script is submitted, so that none is forgotten.

    Attributes:
        script: in that folder; squeue tells of jobs by it.
        chunks: what each task of the array runs, as `dxbench run --cells FILE[...]` takes it.
    """

    script: str
    chunks: tuple[str, ...]


def submissions(sweep: Sweep) -> list[Submission]:
    """The submissions of a sweep, the latest last; a line that is none of ours is left out."""
    file, found = sweep.folder / "jobs.jsonl", []
    for line in read_regular(file, limit=FILE_LIMIT).splitlines() if file.is_file() else []:
        with suppress(ValidationError):
            found.append(Submission.model_validate_json(line))
    return found


def starts_of(cells: Sequence[Cell]) -> set[str]:
    """Run ids of the starts among some cells."""
    return {cell.run_id for cell in cells if cell.part == "start"}


def groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Arrays to be: starts, cells that need one of them, and cells that need not wait."""
    starts = starts_of(cells)
    groups = [
        [cell for cell in cells if cell.part == "start"],
        [cell for cell in cells if cell.part == "run" and cell.needs in starts],
        [cell for cell in cells if cell.part == "run" and cell.needs not in starts],
    ]
    return [group for group in groups if group]


class Packing:
    """Packs cells into chunks as a script has them.

    Attributes:
        run_ids: of all cells of the plan, in its order.
    """

    def __init__(self, launch: Launch) -> None:
        sweep = launch.sweep
        self.run_ids = [cell.run_id for cell in (read_plan(sweep.file) if sweep.file.is_file() else sweep.cells)]
        self._numbers = {run_id: number for number, run_id in enumerate(self.run_ids)}
        self._seconds = launch.seconds
        self._least = chunk_seconds(launch.settings.own.get("slurm", {}))
        self._most = min(MOST_CHUNKS, slurm_queue.largest_array() or MOST_CHUNKS)

    def __call__(self, cells: Sequence[Cell], *, alone: Container[str] = ()) -> list[str]:
        """Run one task of an array.

        Args:
            alone: run ids of cells that take no others with them when they die.
        """
        run_ids = [cell.run_id for cell in cells]
        packed = self._chunks([run_id for run_id in run_ids if run_id not in alone], self._least, self._most)
        most = max(1, self._most - len(packed))
        packed += self._chunks([run_id for run_id in run_ids if run_id in alone], 0.0, most)
        return [selector(sorted(self._numbers[run_id] for run_id in chunk)) for chunk in packed]

    def _chunks(self, run_ids: Sequence[str], least: float, most: int) -> list[list[str]]:
        return pack(run_ids, self._seconds, least=least, most=most)
