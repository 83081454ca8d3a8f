"""Plan the cells of a sweep from what was typed, or from a sweep file."""

import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import Field, JsonValue, ValidationError

from dxbench.api import Frozen, Precision, refusal
from dxbench.engine.plan import Cell, plan_row
from dxbench.errors import InvalidFile, UsageError, unknown
from dxbench.files.reading import read_regular
from dxbench.plugins.configure import UnknownPreset, config_class, merged, parse_assignments, presets, together
from dxbench.plugins.registry import TaskRef, load_method, load_task
from dxbench.plugins.rows import RowName
from dxbench.plugins.suites import load_suite
from dxbench.sweeps import grid

FILE_LIMIT = 2**20
"""Bytes of a sweep file."""


class Block(Frozen):
    """Tasks x methods x settings x seeds, or the rows of a suite: what a line on the command line says.

    Attributes:
        task: names, parted by commas.
        method: rows, parted by commas; a setting may have alternatives, `dxmi[tau=0.01|0.1]`.
        suite: in place of both.
        seed: such as "0,1" or "0-4"; "" for 0, or for the seeds of the suite.
        preset: of all rows.
        set: key=value over presets, with alternatives too; it reaches the rows whose method has the key.
    """

    task: str | None = None
    method: str | None = None
    suite: str | None = None
    seed: str = ""
    preset: str | None = None
    set: list[str] = Field(default_factory=list)
    precision: Precision = "32"


class _SweepFile(Frozen):
    sweep: list[Block]


@dataclass(frozen=True)
class Planned:
    """Cells, shared starts first, and what was left out of the plan and why."""

    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()


@dataclass
class _Draft:
    """Rows on their way into a plan."""

    cells: dict[str, Cell] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    lacking: list[UsageError] = field(default_factory=list)

    def add(self, task: TaskRef, row: RowName, seeds: list[int]) -> None:
        """Plan a row; a method that lacks the preset for the task is noted and left out."""
        try:
            planned = plan_row(task, row, seeds=seeds)
        except UnknownPreset as error:
            name = load_method(row.method).name
            self.notes[f"{name} has no preset {row.preset!r} for {load_task(task).name}: left out"] = None
            self.lacking.append(error)
            return
        for cell in planned:
            self.cells.setdefault(cell.run_id, cell)


def plan_blocks(blocks: Sequence[Block]) -> Planned:
    """The cells of some blocks; a cell that is in several is there once.

    Raises:
        UsageError: for options that do not go together, unknown names and keys, values that do not validate, and
            presets if no row has them.
    """
    draft = _Draft()
    for block in blocks:
        if block.suite is not None:
            _add_suite(draft, block, block.suite)
        else:
            _add_grid(draft, block)
    if not draft.cells:
        raise draft.lacking[0] if draft.lacking else UsageError("a sweep without cells")
    return Planned(with_starts(draft.cells.values()), tuple(draft.notes))


def read_blocks(file: Path) -> list[Block]:
    """The blocks of a sweep file: TOML with a table [[sweep]] for each.

    Raises:
        UsageError: if there is none, or it is not valid.
    """
    try:
        content = tomllib.loads(read_regular(file, limit=FILE_LIMIT).decode("utf-8-sig"))
        return _SweepFile.model_validate(content).sweep
    except FileNotFoundError:
        raise UsageError(f"no sweep file {file}; check the path, docs/sweeps.md shows such a file") from None
    except ValidationError as error:
        raise UsageError(f"sweep file {file} is not valid: {refusal(error)}") from None
    except (OSError, InvalidFile, ValueError) as error:
        raise UsageError(f"sweep file {file} is not valid: {error}") from None


def _add_suite(draft: _Draft, block: Block, name: str) -> None:
    if block.task or block.method or block.preset:
        raise UsageError("--suite says task, methods and presets itself; leave out --task, --method and --preset")
    suite = load_suite(name)
    asked = parse_seeds(block.seed) if block.seed else None
    rows = [
        (
            RowName(method=row.method, preset=row.preset, overrides=row.set, precision=block.precision),
            asked or row.seeds or suite.seeds,
        )
        for row in suite.rows
    ]
    for chosen in grid.settings(block.set):
        _add_rows(draft, [suite.task], rows, parse_assignments(chosen), of=f"suite {suite.name}")


def _add_grid(draft: _Draft, block: Block) -> None:
    if block.task is None or block.method is None:
        raise UsageError("give --task and --method, or --suite; `dxbench list methods` shows what there is")
    tasks, seeds = grid.names(block.task), parse_seeds(block.seed or "0")
    typed = [RowName.typed(str(row), preset=block.preset, precision=block.precision) for row in grid.rows(block.method)]
    for chosen in grid.settings(block.set):
        overrides = parse_assignments(chosen)
        for row in typed:
            together(
                row.overrides,
                overrides,
                twice=lambda key, row=row: f"{key} is set twice, in {str(row)!r} and beside it",
            )
        _add_rows(draft, tasks, [(row, seeds) for row in typed], overrides, of="any of the methods")


def _add_rows(
    draft: _Draft,
    tasks: Sequence[str],
    rows: Sequence[tuple[RowName, list[int]]],
    overrides: dict[str, JsonValue],
    *,
    of: str,
) -> None:
    """Every row on every task, over its seeds. Of several rows, an override reaches those whose method has its key."""
    keys = _keys(tasks, [row for row, _ in rows]) if overrides and len(rows) > 1 else {}
    for key in overrides:
        if keys and not any(key in known for known in keys.values()):
            raise unknown(f"key of {of}", key, set().union(*keys.values()), remedy="See `dxbench info METHOD`.")
    for task in tasks:
        for row, seeds in rows:
            known = keys.get((task, row.method, row.preset), overrides)
            reaching = {key: value for key, value in overrides.items() if key in known}
            draft.add(task, replace(row, overrides=merged(row.overrides, reaching)), seeds)


def _keys(tasks: Iterable[str], rows: Sequence[RowName]) -> dict[tuple[str, str, str], Collection[str]]:
    """The keys of each row's configuration on each task, where it has the preset."""
    found = {}
    for name in tasks:
        task = load_task(name)
        for row in rows:
            method = load_method(row.method)
            if row.preset in presets(method, task):
                found[name, row.method, row.preset] = config_class(method, task, row.preset).model_fields
    return found


def with_starts(cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """The cells, and before them one for each start that several of them share."""
    listed = list(cells)
    ids = [cell.start_id for cell in listed]
    shared = {one for one, count in Counter(ids).items() if one and count > 1}
    first = {one: replace(cell, part="start") for one, cell in reversed(list(zip(ids, listed, strict=True)))}
    starts = {one: first[one] for one in dict.fromkeys(ids) if one in shared}
    return (
        *starts.values(),
        *(
            replace(cell, needs=starts[one].run_id if one in starts else "")
            for cell, one in zip(listed, ids, strict=True)
        ),
    )


def parse_seeds(text: str) -> list[int]:
    """ "0,1,2" or "0-4" to integers.

    Raises:
        UsageError: for anything else.
    """
    seeds: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        try:
            some = range(int(low), int(high) + 1) if dash else [int(low)]
        except ValueError:
            raise UsageError(f"--seed takes numbers such as 0,1,2 or 0-4, got {text!r}") from None
        if not some:
            raise UsageError(f"--seed {text}: {part.strip()} holds no seed; write the smaller number first")
        seeds.extend(some)
    return seeds
