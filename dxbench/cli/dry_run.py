"""The text that `dxbench run --dry-run` prints."""

from collections.abc import Mapping
from typing import Any

from dxbench.cli.common import say
from dxbench.engine.lines import duration
from dxbench.engine.plan import Cell
from dxbench.launchers.contract import Launch
from dxbench.plain import counted
from dxbench.sweeps.forecast import Forecast, forecasts


def dry_run(launch: Launch, done: Mapping[str, object], *, preview: str, as_json: bool) -> None:
    """Print the cells, what would become of them, how long it takes, and what the launcher would do."""
    cells = launch.sweep.cells
    found = forecasts(cells, done, launch.options)
    if as_json:
        say([_as_json(cell, forecast) for cell, forecast in zip(cells, found, strict=True)])
        return
    for cell, forecast in zip(cells, found, strict=True):
        what = f"{cell.row}" if cell.part == "run" else f"start that {cell.method} shares"
        print(f"{cell.task}  {what}  seed {cell.seed}  {cell.run_id}  {_told(cell, forecast)}")
    for reason in dict.fromkeys(one.skipped for one in found if one.skipped and not one.done):
        count = sum(one.skipped == reason and not one.done for one in found)
        print(f"{count} of {counted(len(cells), 'cell')} will be skipped: {reason}")
    left = [one for one in found if not one.done and not one.skipped]
    known = [one.seconds for one in left if one.seconds is not None]
    unknown_times = f"; of {len(left) - len(known)} the time is unknown" if len(known) < len(left) else ""
    at_once = min(launch.settings.jobs or 1, len(known))
    took = f", about {duration(sum(known) / at_once)} on the machines of the records" if known else ""
    print(f"{len(left)} of {counted(len(cells), 'cell')} to run{took}{unknown_times}")
    if preview:
        print(f"\n{preview}")


def _told(cell: Cell, forecast: Forecast) -> str:
    if forecast.done:
        return "already measured" if cell.part == "run" else "already trained"
    if forecast.skipped:
        return "will be skipped, see below"
    memory = "" if forecast.memory_bytes is None else f", {forecast.memory_bytes / 2**30:.1f} GiB"
    resumes = ", resumes" if forecast.resumes else ""
    if forecast.seconds is not None and cell.part == "run":
        return f"about {duration(forecast.seconds)}{memory}{resumes}"
    if forecast.like is None or cell.part == "start":
        return f"time unknown{resumes}"
    quickest, slowest = map(duration, forecast.like)
    return f"time unknown; other runs of the method took {quickest} to {slowest}{resumes}"


def _as_json(cell: Cell, forecast: Forecast) -> dict[str, Any]:
    return {
        "task": cell.task,
        "method": cell.method,
        "preset": cell.preset,
        "overrides": cell.overrides,
        "seed": cell.seed,
        "run_id": cell.run_id,
        "part": cell.part,
        "needs": cell.needs or None,
        "measured": forecast.done,
        "skipped": forecast.skipped or None,
        "resumes": forecast.resumes,
        "expected_seconds": forecast.seconds,
        "expected_memory_bytes": forecast.memory_bytes,
    }
