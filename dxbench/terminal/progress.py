"""Live progress on stderr: bars on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TaskProgressColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from dxbench.api import ResultRecord
from dxbench.engine.plan import Cell
from dxbench.terminal.console import bars, text_column

_LINE_EVERY = 10.0
_AND_AFTER = 0.05


class Pace:
    """When a line about something under way is due, and how far it is.

    Lines are ten seconds apart at least and get rarer, one whenever the time has grown by a twentieth: some 120 in ten
    hours.

    Args:
        clock: seconds, from any origin.
        first: how much of it was done before.
    """

    def __init__(self, *, first: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._subject = ""
        self._begin(first)

    def _begin(self, first: int) -> None:
        self._first = first
        self._start = self._last = self._clock()

    def due(self, subject: str = "") -> bool:
        """Whether to say something now; with another subject, time begins anew."""
        if subject != self._subject:
            self._subject = subject
            self._begin(0)
        now = self._clock()
        if now - self._last < max(_LINE_EVERY, _AND_AFTER * (now - self._start)):
            return False
        self._last = now
        return True

    def far(self, done: int, total: int | None) -> str:
        """Per cent and time left, as the rate so far has it; nothing where there is no total."""
        if not total:
            return ""
        rate = (done - self._first) / max(self._clock() - self._start, 1e-9)
        left = f", about {duration((total - done) / rate)} left" if rate > 0 else ""
        return f" ({100 * done / total:.0f} %{left})"


def duration(seconds: float) -> str:
    """Seconds as people say them: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _name(cell: Cell) -> str:
    changes = " ".join(f"{key}={value}" for key, value in cell.overrides.items())
    if cell.part == "start":
        return f"{cell.task} start that {cell.method} shares seed {cell.seed}"
    return f"{cell.task} {cell.method}{' ' + changes if changes else ''} seed {cell.seed}"


def _scalars(scalars: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in list(scalars.items())[:3])


class BarListener:
    """One bar per running cell."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = bars(
            text_column("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            text_column("left"),
            TimeRemainingColumn(),
            text_column("{task.fields[note]}", style="dim"),
            to=console,
        )
        self._bars: dict[str, TaskID] = {}
        self._last = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def started(self, cell: Cell, *, total_steps: int, first_step: int) -> None:
        if first_step:
            self._console.print(f"{_name(cell)}: resumed at step {first_step:,}", style="dim")
        self._bars[cell.run_id] = self._progress.add_task(
            _name(cell), total=total_steps or None, completed=first_step, note=""
        )

    def stepped(self, cell: Cell, *, step: int, scalars: Mapping[str, float]) -> None:
        now = time.monotonic()
        if now - self._last > 0.1:
            self._last = now
            self._progress.update(self._bars[cell.run_id], completed=step, note=_scalars(scalars))

    def phase(self, cell: Cell, text: str) -> None:
        self._progress.update(self._bars[cell.run_id], total=None, note=text)

    def warned(self, cell: Cell, text: str) -> None:
        self._console.print(Text("warning:", style="yellow") + f" {_name(cell)}: {text}")

    def interrupted(self, cell: Cell) -> None:
        self._end(cell, interrupted_line(cell))

    def ended(self, cell: Cell, record: ResultRecord | None) -> None:
        self._end(cell, ended_line(cell, record))

    def _end(self, cell: Cell, line: str) -> None:
        bar = self._bars.pop(cell.run_id, None)
        if bar is not None:
            self._progress.remove_task(bar)
        self._console.print(line)


class LineListener:
    """For logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._totals: dict[str, int] = {}
        self._paces: dict[str, Pace] = {}
        self._phases: dict[str, Pace] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def _print(self, cell: Cell, text: str) -> None:
        self._console.print(f"{_name(cell)}: {text}")

    def started(self, cell: Cell, *, total_steps: int, first_step: int) -> None:
        self._totals[cell.run_id] = total_steps
        self._paces[cell.run_id] = Pace(first=first_step)
        self._print(
            cell, f"resumed at step {first_step:,} of {total_steps:,}" if first_step else f"{total_steps:,} steps"
        )

    def stepped(self, cell: Cell, *, step: int, scalars: Mapping[str, float]) -> None:
        pace, total = self._paces[cell.run_id], self._totals[cell.run_id]
        if pace.due():
            self._print(cell, f"step {step:,} of {total:,}{pace.far(step, total)}  {_scalars(scalars)}")

    def phase(self, cell: Cell, text: str) -> None:
        if self._phases.setdefault(cell.run_id, Pace()).due():
            self._print(cell, text)

    def warned(self, cell: Cell, text: str) -> None:
        self._print(cell, f"warning: {text}")

    def interrupted(self, cell: Cell) -> None:
        self._console.print(interrupted_line(cell))

    def ended(self, cell: Cell, record: ResultRecord | None) -> None:
        self._console.print(ended_line(cell, record))


def interrupted_line(cell: Cell) -> str:
    """The line for a run that was stopped from outside."""
    return f"{_name(cell)}: interrupted, state saved; the same command goes on from there"


def ended_line(cell: Cell, record: ResultRecord | None) -> str:
    """How a run ended, in one line."""
    if record is None:
        return f"{_name(cell)}: trained"
    seconds = record.cost.train_seconds + record.cost.eval_seconds if record.cost else 0.0
    if record.failure is not None:
        return f"{_name(cell)}: {record.status} ({record.failure.phase}: {record.failure.message})"
    return f"{_name(cell)}: {record.status} in {seconds:.0f} s"


def listener_for(console: Console) -> BarListener | LineListener:
    """Bars where a person watches."""
    return BarListener(console) if console.is_terminal else LineListener(console)
