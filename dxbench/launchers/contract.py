"""The contract of launchers, which are found by entry point: what they are given and what they give back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dxbench.api import ResultRecord
from dxbench.engine.attempt import RunOptions
from dxbench.engine.listener import Listener
from dxbench.engine.plan import Cell
from dxbench.errors import DxbenchError, Interrupted
from dxbench.sweeps.sweep import Sweep


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The ending of a cell: with a record, or with an error that kept it from having one.

    A cell that trains a shared start ends with neither. Of several processes that torchrun or SLURM started, only the
    first has records.
    """

    cell: Cell
    record: ResultRecord | None = None
    error: DxbenchError | None = None

    @property
    def together(self) -> bool:
        """Surely all processes of the run came to this end, so that they may go on together."""
        return self.error is None and (self.record is None or self.record.status not in ("failed", "out_of_memory"))

    @property
    def bad(self) -> str:
        """The trouble in a word or two, where the outcome is neither a number nor a trained start; else ""."""
        if isinstance(self.error, Interrupted):
            return "interrupted"
        if self.error is not None:
            return "failed"
        bad = self.record is not None and self.record.status not in ("ok", "partial")
        return self.record.status.replace("_", " ") if self.record is not None and bad else ""


@dataclass(frozen=True, kw_only=True)
class LaunchSettings:
    """Settings of a launch. None of them moves a number.

    Attributes:
        jobs: cells at a time; None for as many as the launcher sees fit.
        nodes: machines that each cell is spread over.
        retries: how often a cell is tried again that died and left no record.
        detach: return when everything is handed over, and do not wait.
        own: what was typed for one launcher alone, such as `--slurm key=value`, by the launcher's name.
    """

    jobs: int | None = None
    nodes: int = 1
    retries: int = 2
    detach: bool = False
    own: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Cells to be run, and how.

    Attributes:
        sweep: they are part of it; its folder is where a launcher keeps scripts, logs and job numbers.
        waiting: the cells that have no record yet, in the order of the sweep: shared starts come before those that
            need them.
        seconds: expected time by run id; a cell of which nothing is known is absent.
        options: device, folders, time limit and so on, the same for all cells.
        again: they are measured anew, though some have a record.
        listener: told of progress where the launcher hears of it.
        stop_requested: turns true when the user wants to stop, or somebody cancelled the sweep.
    """

    sweep: Sweep
    waiting: Sequence[Cell]
    seconds: Mapping[str, float]
    options: RunOptions
    settings: LaunchSettings
    again: bool = False
    listener: Listener
    stop_requested: Callable[[], bool]


class Launcher(Protocol):
    """Runs cells. Its class is named by an entry point of the group `dxbench.launchers` and takes no arguments."""

    def check(self, launch: Launch) -> None:
        """Refuse what cannot work before anything is started, and before anything is printed by --dry-run.

        Raises:
            UsageError: with the remedy.
        """
        ...

    def preview(self, launch: Launch) -> str:
        """The script or the plan that --dry-run prints below the cells; "" where there is nothing to show."""
        ...

    def run(self, launch: Launch) -> Iterator[Outcome]:
        """Run the waiting cells; outcomes come as cells end, and none comes of what was handed over to be `detach`ed.

        Once `launch.stop_requested` turns true it stops what it has started, with the state saved, and ends.
        """
        ...

    def cancel(self, sweep: Sweep) -> str:
        """Stop what another process or another node has started of a sweep, as far as can be done from here.

        Every cell looks at `sweep.cancelled` and stops by itself; this is for what lies with a scheduler. Returns a
        sentence for the user, "" where there was nothing to do.
        """
        ...
