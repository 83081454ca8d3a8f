"""`dxbench status`, `dxbench cancel` and `dxbench logs`: sweeps from any node, by their folders alone."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from dxbench import paths
from dxbench.cli.common import say, warn
from dxbench.engine.lines import duration
from dxbench.errors import ExitCode, InvalidFile, UsageError
from dxbench.files.reading import read_regular
from dxbench.files.writing import write_text_atomically
from dxbench.launchers.contract import Launcher
from dxbench.plugins import registry
from dxbench.sweeps.state import CellState, Stage, launches, states
from dxbench.sweeps.sweep import Sweep, find_plan, read_plan
from dxbench.terminal.console import console

_LISTED = 40
"""Cells that are shown one by one; of more, rows are."""
_LOG_LIMIT = 2**26
"""Bytes of a log."""


def status_command(name: str | None, *, as_json: bool) -> int:
    """Show the cells of a sweep, or all sweeps."""
    home = paths.home()
    plans = [find_plan(home, name)] if name else sorted((home / "sweeps").glob("*/cells.jsonl"))
    found = {plan.parent: _states(plan, home) for plan in plans if name or _readable(plan)}
    if as_json:
        say([_as_json(folder, cells) for folder, cells in found.items()])
    elif name:
        ((folder, cells),) = found.items()
        _show(folder, cells)
    elif found:
        _list(found)
    else:
        print(f"no sweep in {home / 'sweeps'}; `dxbench run` with several cells makes one")
    return int(ExitCode.OK)


def cancel_command(name: str) -> int:
    """Have a sweep stop, wherever it runs."""
    home = paths.home()
    plan = find_plan(home, name)
    folder, running = plan.parent, _counts(_states(plan, home)).get("running", 0)
    write_text_atomically(folder / "cancelled", "")
    print(f"sweep {folder.name} is cancelled; cells that run save their state and stop within seconds: {running}")
    for launcher in dict.fromkeys(launch.launcher for launch in launches(folder)):
        other: Launcher = registry.load("launchers", launcher)()
        if said := other.cancel(Sweep(folder, ())):
            print(said)
    return int(ExitCode.OK)


def logs_command(name: str) -> int:
    """Print what a cell wrote."""
    home = paths.home()
    folders = [path for path in sorted((home / "work").glob("*/*/*")) if path.name.startswith(name) and path.is_dir()]
    if len(folders) != 1:
        listing = ", ".join(folder.name for folder in folders[:_LISTED])
        what = f"several cells begin with {name!r}: {listing}" if folders else f"no cell {name!r} has run in {home}"
        raise UsageError(f"{what}; `dxbench status SWEEP` lists the cells of a sweep")
    wrote = [file for file in (folders[0] / "log.txt", folders[0] / "error.txt") if file.is_file()]
    for file in wrote:
        console(soft_wrap=True).print(read_regular(file, limit=_LOG_LIMIT).decode(errors="replace"))
    if not wrote:
        print(f"{folders[0].name} has written no log yet")
    return int(ExitCode.OK)


def _readable(plan: Path) -> bool:
    """True if a plan is one; of another a line on stderr says why it is not, since the rest is worth a look."""
    try:
        read_plan(plan)
    except (InvalidFile, UsageError) as error:
        warn(str(error))
        return False
    return True


def _states(plan: Path, home: Path) -> list[CellState]:
    launched = launches(plan.parent)
    return states(read_plan(plan), home=home, results=launched[-1].results if launched else paths.results())


def _counts(cells: Sequence[CellState]) -> dict[Stage, int]:
    counted = Counter(one.stage for one in cells)
    return {stage: counted[stage] for stage in get_args(Stage) if counted[stage]}


def _told(cells: Sequence[CellState]) -> str:
    return ", ".join(f"{count} {stage}" for stage, count in _counts(cells).items())


def _list(found: dict[Path, list[CellState]]) -> None:
    rows = [("sweep", "cells", "state", "launched", "command")]
    for folder, cells in found.items():
        launched = launches(folder)
        when, command = (launched[-1].created, launched[-1].command) if launched else ("", "")
        rows.append((folder.name, str(len(cells)), _told(cells), when, command))
    _print_aligned(rows)


def _show(folder: Path, cells: Sequence[CellState]) -> None:
    for launch in launches(folder)[-1:]:
        print(f"{launch.command}\nlaunched {launch.created} on {launch.host} by {launch.launcher}")
    stopping = " (cancelled)" if (folder / "cancelled").exists() else ""
    print(f"sweep {folder.name}: {_told(cells)}{stopping}")
    if len(cells) <= _LISTED:
        rows = [("task", "row", "seed", "cell", "state", "")]
        for one in cells:
            cell = one.cell
            row = cell.row if cell.part == "run" else f"start that {cell.row} shares"
            rows.append((_short(cell.task), row, str(cell.seed), cell.run_id, one.stage, one.detail or _took(one)))
    else:
        together: dict[tuple[str, str], list[CellState]] = {}
        for one in cells:
            row = one.cell.row if one.cell.part == "run" else "starts"
            together.setdefault((_short(one.cell.task), row), []).append(one)
        rows = [("task", "row", "state"), *((task, row, _told(some)) for (task, row), some in together.items())]
    _print_aligned(rows)


def _print_aligned(rows: Sequence[tuple[str, ...]]) -> None:
    """Print columns, as wide as they are: ids are there to be copied, and a log may be of any width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        console(soft_wrap=True).print("  ".join(map(str.ljust, row, widths)).rstrip())


def _took(one: CellState) -> str:
    return "" if one.seconds is None else f"in {duration(one.seconds)}"


def _short(task: str) -> str:
    return task.rpartition("/")[2]


def _as_json(folder: Path, cells: Sequence[CellState]) -> dict[str, object]:
    return {
        "sweep": folder.name,
        "cancelled": (folder / "cancelled").exists(),
        "states": _counts(cells),
        "launches": [launch.model_dump(mode="json") for launch in launches(folder)],
        "cells": [one.cell.model_dump() | {"state": one.stage, "detail": one.detail} for one in cells],
    }
