"""A sweep: its cells, its file, its folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from dxbench.api import Frozen, Natural, refusal, short_hash
from dxbench.engine.plan import Cell, plan_row
from dxbench.errors import InvalidFile, UsageError
from dxbench.files.reading import read_regular
from dxbench.files.writing import sweep_temporaries, write_text_atomically
from dxbench.plugins.rows import RowName

LAYOUT = 1
"""The version of a sweep's folder."""
FILE_LIMIT = 2**28
"""Bytes of cells.jsonl; a cell takes some 200."""
T = TypeVar("T")


@dataclass(frozen=True)
class Sweep:
    """Cells that are run as one thing. The same cells are the same sweep, whoever plans them.

    Attributes:
        folder: the folder of the plan, the scripts and the logs of launchers.
        cells: of the sweep, or those of them that are run here; shared starts stand before those that need them.
    """

    folder: Path
    cells: tuple[Cell, ...]

    @classmethod
    def planned(cls, home: Path, cells: Sequence[Cell]) -> "Sweep":
        """The sweep of some cells, in the folder that their hash names."""
        digest = short_hash([LAYOUT, *sorted(cell.run_id for cell in cells)], digits=10)
        return cls(home / "sweeps" / digest, tuple(cells))

    @property
    def id(self) -> str:
        """Hash of the cells."""
        return self.folder.name

    @property
    def file(self) -> Path:
        """The plan: a line per cell, in the order of `cells`, below a line that says of which layout it is."""
        return self.folder / "cells.jsonl"

    @property
    def cancelled(self) -> Path:
        """The file that is there while the sweep is to stop, on whatever node its cells are."""
        return self.folder / "cancelled"

    def write(self) -> None:
        """Write the plan, where it is not there yet.

        Raises:
            UsageError: if a plan of another layout is there.
        """
        if self.file.is_file():
            read_plan(self.file, ":1")
            return
        sweep_temporaries(self.folder)
        lines = [json.dumps({"layout": LAYOUT}), *(_line(cell).model_dump_json() for cell in self.cells)]
        write_text_atomically(self.file, "\n".join(lines) + "\n")


class PlannedCell(Frozen):
    """A cell as it stands in the plan: all that its folder and its record are found by, without importing anything.

    Attributes:
        task: by name, or `path/to/file.py:Class` with the whole path, since jobs begin in other folders.
        row: the method likewise.
        folder: task/method, as folders of work and of records are named.
    """

    run_id: str = Field(pattern=r"^[0-9a-z-]+$")
    task: str
    row: str
    seed: Natural
    part: Literal["run", "start"] = "run"
    needs: str = ""
    folder: str = Field(pattern=r"^[^/.][^/]*/[^/.][^/]*$")

    def again(self) -> Cell:
        """The cell, planned from its row.

        Raises:
            UsageError: if it has become another since, or cannot be planned any more.
        """
        (cell,) = plan_row(self.task, RowName.parse(self.row), seeds=[self.seed])
        cell = replace(cell, part=self.part, needs=self.needs)
        if cell.run_id != self.run_id:
            raise UsageError(
                f"{cell.row} on {cell.task} has changed since it was planned (now {cell.run_id}, then {self.run_id}); "
                "give the command that planned it again"
            )
        return cell


def _line(cell: Cell) -> PlannedCell:
    row = replace(cell.row, method=_whole(cell.method_ref))
    return PlannedCell(
        run_id=cell.run_id,
        task=_whole(cell.task_ref),
        row=str(row),
        seed=cell.seed,
        part=cell.part,
        needs=cell.needs,
        folder=f"{cell.task}/{cell.method}",
    )


def _whole(ref: Any) -> str:
    assert isinstance(ref, str), "a sweep is planned from names"
    path, colon, name = ref.rpartition(":")
    return f"{Path(path).resolve()}:{name}" if colon and path.endswith(".py") else ref


def read_plan(file: Path, which: str = ":") -> list[PlannedCell]:
    """The cells of a plan, or those of them that `which` chooses.

    Raises:
        UsageError: if there is no such file, it is of another layout, or `which` is not as `chosen` takes it.
        InvalidFile: if it is no plan.
    """
    if not file.is_file():
        raise UsageError(f"no plan {file}; `dxbench run` writes one, `dxbench status` lists those that are there")
    head, *lines = read_regular(file, limit=FILE_LIMIT).decode(errors="replace").splitlines() or [""]
    try:
        layout = json.loads(head)["layout"]
    except (ValueError, LookupError, TypeError):
        raise InvalidFile(f"{file} is no plan of a sweep: its first line does not say its layout") from None
    if layout != LAYOUT:
        raise UsageError(
            f"{file} is of layout {layout!r}, this dxbench reads {LAYOUT}; remove {file.parent} and give the command "
            "that planned it again"
        )
    try:
        return [PlannedCell.model_validate_json(line) for line in chosen(lines, which)]
    except ValidationError as error:
        raise InvalidFile(f"{file} is no plan of a sweep: {refusal(error)}") from None


def find_plan(home: Path, name: str) -> Path:
    """The plan of the sweep whose id begins like that, or the one at that path.

    Raises:
        UsageError: if there is none, or several.
    """
    if name.endswith(".jsonl"):
        return Path(name)
    there = sorted(path.parent.name for path in (home / "sweeps").glob("*/cells.jsonl"))
    found = [one for one in there if one.startswith(name)]
    if len(found) != 1:
        listing = ", ".join(found or there) or "none"
        what = f"several sweeps begin with {name!r}" if found else f"no sweep {name!r} in {home / 'sweeps'}"
        raise UsageError(f"{what}. There are: {listing}")
    return home / "sweeps" / found[0] / "cells.jsonl"


def chosen(cells: Sequence[T], which: str) -> list[T]:
    """The cells that a text such as "0:10", "3" or "0:4,7,9:" names, counted from 0 as Python slices are.

    Raises:
        UsageError: for another text, or a number beyond the last cell.
    """
    found: list[T] = []
    for part in which.split(","):
        low, colon, high = part.strip().partition(":")
        try:
            first = int(low) if low or not colon else 0
            last = (int(high) if high else len(cells)) if colon else first + 1
        except ValueError:
            raise UsageError(f"cells are chosen as in FILE[0:10] or FILE[0:4,7], got [{which}]") from None
        if not 0 <= first < last <= len(cells):
            raise UsageError(f"[{part}]: the plan has cells 0 to {len(cells) - 1}")
        found += cells[first:last]
    return found
