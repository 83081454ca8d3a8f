"""The state of a sweep's cells, from its folder and the records alone: the same on every node."""

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from dxbench.api import Frozen
from dxbench.engine.attempt import RunOptions, trained_parts
from dxbench.engine.locks import owner_of
from dxbench.engine.owners import Owner
from dxbench.engine.plan import Cell, measured
from dxbench.engine.store import has_start
from dxbench.errors import MachineFault, UsageError
from dxbench.files.reading import read_regular
from dxbench.files.writing import append_named
from dxbench.records.files import Unreadable, read_record
from dxbench.sweeps.sweep import FILE_LIMIT, PlannedCell

Stage = Literal["done", "failed", "running", "interrupted", "died", "waiting"]


def done(cells: Iterable[Cell], options: RunOptions) -> dict[str, object]:
    """The cells that need not be run, by run id: records of those that ended well, starts that are trained."""
    listed = list(cells)
    starts = [cell for cell in listed if cell.part == "start"]
    return {
        **measured((cell for cell in listed if cell.part == "run"), options.results),
        **{
            cell.run_id: True
            for cell in starts
            if has_start(trained_parts(options.home, cell), cell.run_id.removeprefix("start-"))
        },
    }


class LaunchNote(Frozen):
    """A line of launches.jsonl in a sweep's folder: who launched it, and where its records go."""

    launcher: str
    results: Path
    command: str
    host: str
    pid: int
    created: str

    @classmethod
    def of_now(cls, launcher: str, results: Path, command: str) -> "LaunchNote":
        """The note of a launch by this process."""
        return cls(
            launcher=launcher,
            results=results.resolve(),
            command=command,
            host=socket.gethostname(),
            pid=os.getpid(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def write(self, folder: Path) -> None:
        """Append the note in the folder of its sweep."""
        append_named(folder / "launches.jsonl", self.model_dump_json() + "\n")


def launches(folder: Path) -> list[LaunchNote]:
    """The launches of a sweep, the latest last; a line that is none of ours is left out."""
    file = folder / "launches.jsonl"
    found = []
    for line in read_regular(file, limit=FILE_LIMIT).splitlines() if file.is_file() else []:
        try:
            found.append(LaunchNote.model_validate_json(line))
        except ValidationError:
            continue
    return found


@dataclass(frozen=True)
class CellState:
    """A cell and what became of it.

    Attributes:
        detail: how a record ended, or who is at the cell and how far; "" where there is nothing to add.
        seconds: of the finished run.
    """

    cell: PlannedCell
    stage: Stage
    detail: str = ""
    seconds: float | None = None


def states(cells: Iterable[PlannedCell], *, home: Path, results: Path) -> list[CellState]:
    """The state of each cell."""
    return [_state(cell, home, results) for cell in cells]


def _state(cell: PlannedCell, home: Path, results: Path) -> CellState:
    ended, owner = _of_record(cell, home, results), _owner(cell, home)
    if owner is None or (ended is not None and owner.standing != "running"):
        return ended or CellState(cell, "waiting")
    far = f"{100 * owner.step / owner.total:.0f} % of its steps, " if owner.total else ""
    match owner.standing:
        case "running":
            return CellState(cell, "running", f"{far}{owner}")
        case "interrupted":
            return CellState(cell, "interrupted", f"{far}its state is saved")
        case "dead":
            return CellState(cell, "died", f"{far}{owner}; it goes on from its last checkpoint")
        case "silent":
            return CellState(
                cell, "died", f"{far}{owner}, is silent; if it is dead, it goes on from its last checkpoint"
            )


def _owner(cell: PlannedCell, home: Path) -> Owner | None:
    """The owner that is at a cell, or was when it died; None where nobody is, or where that cannot be told."""
    try:
        return owner_of(home / "work" / cell.folder / cell.run_id / "lock")
    except (UsageError, MachineFault):
        return None


def _of_record(cell: PlannedCell, home: Path, results: Path) -> CellState | None:
    """The end of a cell, as its record or its start has it; None where there is neither."""
    if cell.part == "start":
        start = cell.run_id.removeprefix("start-")
        trained = any(has_start(note.parent, start) for note in home.glob(f"trained/*/start-{start}.json"))
        return CellState(cell, "done") if trained else None
    path = results / cell.folder / f"{cell.run_id}.json"
    if not path.is_file():
        return None
    record = read_record(path)
    if isinstance(record, Unreadable):
        return CellState(cell, "failed", record.reason)
    if record.status == "ok" and record.withdrawn is None:
        seconds = record.cost.train_seconds + record.cost.eval_seconds if record.cost else None
        return CellState(cell, "done", seconds=seconds)
    return CellState(cell, "failed", record.failure.message if record.failure else record.status)
