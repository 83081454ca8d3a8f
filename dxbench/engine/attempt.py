"""The frozen parts of one attempt at a run: what is run, with what, where, and who is told."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from dxbench import paths
from dxbench.api import Config, Method, Task
from dxbench.engine import process
from dxbench.engine.assembling import assemble
from dxbench.engine.execution import Compiling
from dxbench.engine.listener import Listener
from dxbench.engine.plan import Cell
from dxbench.engine.spread import ONE_DEVICE, ParallelSettings, Rank
from dxbench.engine.workers import Workers
from dxbench.plugins.configure import config_class
from dxbench.plugins.registry import load_method, load_task
from dxbench.records.files import work_folder


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options that runs are carried out by.

    Device, precision and compilation move numbers by rounding and are in the record; the rest does not.

    Attributes:
        spread: over which devices and micro-batches, in which precision.
        timeout: seconds that the run may take over all its parts, or None.
        checkpoint_every: seconds between checkpoints.
        compiling: when networks of images are compiled.
        fresh: begin anew although a checkpoint is there.
        command: what was typed, for the record; None for the command line of this process.
        trackers: names of trackers that are told of a run beside those of the terminal.
    """

    home: Path
    results: Path
    device: str = "auto"
    spread: ParallelSettings = ONE_DEVICE
    timeout: float | None = None
    checkpoint_every: float = 60.0
    compiling: Compiling = "auto"
    fresh: bool = False
    command: str | None = None
    trackers: tuple[str, ...] = ()

    @property
    def places(self) -> dict[str, Path]:
        """The variables that tell a process elsewhere where things lie, as whole paths."""
        found = {
            "DXBENCH_HOME": self.home,
            "DXBENCH_RESULTS": self.results,
            "DXBENCH_DATA": paths.data(),
            "DXBENCH_CACHE": paths.cache(),
        }
        return {variable: place.resolve() for variable, place in found.items()}


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at a cell by one process.

    Attributes:
        stop_requested: turns true when the run is to stop.
        workers: the processes that carry it out, of which this is one.
        device: the torch device.
    """

    cell: Cell
    options: RunOptions
    listener: Listener
    stop_requested: Callable[[], bool]
    task: Task
    method: type[Method]
    config: Config
    workers: Workers
    device: str

    @classmethod
    def at(
        cls,
        cell: Cell,
        options: RunOptions,
        *,
        listener: Listener,
        stop_requested: Callable[[], bool],
        place: Rank | None,
    ) -> "Attempt":
        """Load task and method and gather the processes.

        Raises:
            UsageError: for devices that are not here.
        """
        task, method = load_task(cell.task_ref), load_method(cell.method_ref)
        device = process.choose_device(options.device, auto=task.auto_device)
        process.check_devices(device, options.spread.devices)
        return cls(
            cell=cell,
            options=options,
            listener=listener,
            stop_requested=stop_requested,
            task=task,
            method=method,
            config=config_class(method, task, cell.preset).model_validate(cell.config),
            workers=assemble(replace(options.spread, precision=cell.precision), device=device, place=place),
            device=device,
        )

    @property
    def folder(self) -> Path:
        """The folder of the run's checkpoint, arrays and report."""
        return work_folder(self.options.home, task=self.cell.task, method=self.cell.method, run_id=self.cell.run_id)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def trained_parts(self) -> Path:
        """The folder of parts that runs of the task share."""
        return trained_parts(self.options.home, self.cell)

    def late(self, seconds: float) -> bool:
        """True if the run may not take so many seconds."""
        return self.options.timeout is not None and seconds > self.options.timeout

    def warn(self, text: str) -> None:
        self.listener.warned(self.cell, text)


def trained_parts(home: Path, cell: Cell) -> Path:
    """The folder of the parts that runs of a task share, trained in one precision."""
    precision = "" if cell.precision == "32" else f"-{cell.precision}"
    return home / "trained" / f"{cell.task}@{cell.task_version}{precision}"
