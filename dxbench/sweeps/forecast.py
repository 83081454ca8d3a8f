"""Forecast what will become of the cells of a sweep, as far as records and files tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dxbench import paths
from dxbench.api import Compute
from dxbench.boards.aggregate import known_seconds
from dxbench.engine.attempt import RunOptions
from dxbench.engine.parts import UnmetNeed, problem_for, trains_on_data
from dxbench.engine.plan import Cell
from dxbench.engine.process import choose_device
from dxbench.errors import MissingData
from dxbench.plugins.configure import config_class
from dxbench.plugins.registry import load_method, load_task
from dxbench.records.entries import Entry
from dxbench.records.files import work_folder
from dxbench.records.index import open_index


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The prospects of a cell.

    Attributes:
        done: it has a record already, or its start is trained.
        skipped: why it cannot run; "" where it can.
        resumes: an earlier attempt left a checkpoint.
        seconds: what it takes, by finished runs of the configuration on whatever machine; None where there are none.
        memory_bytes: the largest peak of such runs.
        like: seconds of the quickest and the slowest run of the preset on the task, where there are none of it.
    """

    done: bool
    skipped: str = ""
    resumes: bool = False
    seconds: float | None = None
    memory_bytes: int | None = None
    like: tuple[float, float] | None = None


def forecasts(cells: Sequence[Cell], done: Mapping[str, object], options: RunOptions) -> list[Forecast]:
    """A forecast per cell; each configuration is looked at once.

    Args:
        done: by run id, those that need not be run.
    """
    entries = _entries(cells, options)
    seconds = known_seconds(entries)
    memory: dict[str, int] = {}
    of_preset: dict[tuple[str, str, str], list[float]] = {}
    for entry in entries:
        if entry.status == "ok" and entry.peak_memory_bytes is not None:
            memory[entry.config_id] = max(memory.get(entry.config_id, 0), entry.peak_memory_bytes)
    for key, place in {entry.config_id: (entry.task, entry.method, entry.preset) for entry in entries}.items():
        if key in seconds:
            of_preset.setdefault(place, []).append(seconds[key])
    skipped = {key: _why_not(cell, options) for key, cell in {cell.config_id: cell for cell in cells}.items()}
    return [
        Forecast(
            done=cell.run_id in done,
            skipped=skipped[cell.config_id],
            resumes=cell.run_id not in done and _checkpoint_is_there(cell, options),
            seconds=seconds.get(cell.config_id),
            memory_bytes=memory.get(cell.config_id),
            like=(min(others), max(others))
            if (others := of_preset.get((cell.task, cell.method, cell.preset)))
            else None,
        )
        for cell in cells
    ]


def expected_seconds(cells: Sequence[Cell], options: RunOptions) -> dict[str, float]:
    """Expected time by run id, of cells of whose configuration some run has finished."""
    known = known_seconds(_entries(cells, options))
    return {cell.run_id: known[cell.config_id] for cell in cells if cell.config_id in known}


def _entries(cells: Sequence[Cell], options: RunOptions) -> list[Entry]:
    index = open_index([paths.reference_results(), options.results])
    return [entry for task in sorted({cell.task for cell in cells}) for entry in index.entries(task)]


def _checkpoint_is_there(cell: Cell, options: RunOptions) -> bool:
    folder = work_folder(options.home, task=cell.task, method=cell.method, run_id=cell.run_id)
    return not options.fresh and (folder / "checkpoint.safetensors").is_file()


def _why_not(cell: Cell, options: RunOptions) -> str:
    """The reason why a cell would be skipped; "" where nothing is known that keeps it from running."""
    task, method = load_task(cell.task_ref), load_method(cell.method_ref)
    config = config_class(method, task, cell.preset).model_validate(cell.config)
    compute = Compute(device=choose_device(options.device, auto=task.auto_device), threads=task.threads)
    try:
        if task.problem_is_quick:
            problem_for(task, method, config, compute)
        else:
            task.require(training=trains_on_data(method, config))
    except UnmetNeed as reason:
        return str(reason)
    except MissingData as reason:
        return str(reason.fetched_by(cell.prepare))
    return ""
