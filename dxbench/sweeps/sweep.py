"""A sweep: its cells, its file, its folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from dxbench.api import short_hash
from dxbench.engine.plan import Cell, plan_row
from dxbench.errors import InvalidFile, UsageError
from dxbench.files.reading import read_regular
from dxbench.files.writing import write_text_atomically
from dxbench.plugins.rows import RowName

LAYOUT = 1
"""The version of a sweep's folder."""
FILE_LIMIT = 2**28
"""Bytes of cells.jsonl; a cell takes some 200."""


@dataclass(frozen=True)
class Sweep:
    """Cells that are run as one thing. The same cells are the same sweep, whoever plans them.

    Attributes:
        home: DXBENCH_HOME of its runs.
        cells: shared starts stand before those that need them.
    """

    home: Path
    cells: tuple[Cell, ...]

    @cached_property
    def id(self) -> str:
        """Hash of the cells."""
        return short_hash([LAYOUT, *sorted(cell.run_id for cell in self.cells)], digits=10)

    @property
    def folder(self) -> Path:
        """The folder of the plan, the scripts and the logs of launchers."""
        return self.home / "sweeps" / self.id

    @property
    def file(self) -> Path:
        """The plan: a line per cell, in the order of `cells`, below a line that says of which layout it is."""
        return self.folder / "cells.jsonl"

    @property
    def cancelled(self) -> Path:
        """The file that is there while the sweep is to stop, on whatever node its cells are."""
        return self.folder / "cancelled"

    def write(self) -> None:
        """Write the plan, where it is not there yet."""
        if not self.file.is_file():
            lines = [json.dumps(line) for line in ({"layout": LAYOUT}, *map(_line, self.cells))]
            write_text_atomically(self.file, "\n".join(lines) + "\n")


def _line(cell: Cell) -> dict[str, Any]:
    """A cell as it stands in the plan; plug-ins in files by their whole path, since jobs begin in other folders."""
    row = replace(cell.row, method=_absolute(cell.method_ref))
    return {
        "run_id": cell.run_id,
        "task": _absolute(cell.task_ref),
        "row": str(row),
        "seed": cell.seed,
        "part": cell.part,
        "needs": cell.needs,
    }


def _absolute(ref: Any) -> str:
    assert isinstance(ref, str), "a sweep is planned from names"
    path, colon, name = ref.rpartition(":")
    return f"{Path(path).resolve()}:{name}" if colon and path.endswith(".py") else ref


def read_cells(file: Path, which: str = ":") -> list[Cell]:
    """The cells of a plan, or those of them that `which` chooses, planned anew from their rows.

    Raises:
        UsageError: if there is no such file, it is of another layout, a cell has become another since, or `which` is
            not as `chosen` takes it.
        InvalidFile: if it is no plan.
    """
    if not file.is_file():
        raise UsageError(f"no plan {file}; `dxbench run` writes one, `dxbench status` lists those that are there")
    try:
        head, *lines = [json.loads(line) for line in read_regular(file, limit=FILE_LIMIT).splitlines()]
        layout = head["layout"]
        if layout != LAYOUT:
            raise UsageError(
                f"{file} is of layout {layout!r}, this dxbench reads {LAYOUT}; give the command that planned it again"
            )
        return [_cell(line, file) for line in chosen(lines, which)]
    except (ValueError, LookupError, TypeError) as error:
        raise InvalidFile(f"{file} is no plan of a sweep ({type(error).__name__}: {error})") from None


def _cell(line: dict[str, Any], file: Path) -> Cell:
    (cell,) = plan_row(line["task"], RowName.parse(line["row"]), seeds=[line["seed"]])
    cell = replace(cell, part=line["part"], needs=line["needs"])
    if cell.run_id != line["run_id"]:
        raise UsageError(
            f"{cell.row} on {cell.task} has changed since {file} was written (now {cell.run_id}, then "
            f"{line['run_id']}); give the command that planned it again"
        )
    return cell


T = TypeVar("T")


def chosen(cells: Sequence[T], which: str) -> list[T]:
    """The cells that a text such as "0:10", "3" or "0:4,7,9:" names, counted from 0 as Python slices are.

    Raises:
        UsageError: for another text, or a number beyond the last cell.
    """
    found: list[T] = []
    for part in which.split(","):
        low, colon, high = part.strip().partition(":")
        try:
            first = int(low) if low else 0
            last = (int(high) if high else len(cells)) if colon else first + 1
        except ValueError:
            raise UsageError(f"cells are chosen as in FILE[0:10] or FILE[0:4,7], got [{which}]") from None
        if not 0 <= first < last <= len(cells):
            raise UsageError(f"[{part}]: the plan has cells 0 to {len(cells) - 1}")
        found += cells[first:last]
    return found
