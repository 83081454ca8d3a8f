"""Live progress on stderr: bars on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from dxbench.api import ResultRecord
from dxbench.engine.plan import Cell

_LINE_EVERY = 10.0


def _name(cell: Cell) -> str:
    changes = " ".join(f"{key}={value}" for key, value in cell.overrides.items())
    return f"{cell.task} {cell.method}{' ' + changes if changes else ''} seed {cell.seed}"


def _scalars(scalars: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in list(scalars.items())[:3])


class BarListener:
    """One bar per running cell."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}[/dim]"),
            console=console,
            transient=True,
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
            self._console.print(f"[dim]{_name(cell)}: resumed at step {first_step:,}[/dim]")
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
        self._console.print(f"[yellow]warning:[/yellow] {_name(cell)}: {text}", markup=True, highlight=False)

    def ended(self, cell: Cell, record: ResultRecord | None) -> None:
        bar = self._bars.pop(cell.run_id, None)
        if bar is not None:
            self._progress.remove_task(bar)
        self._console.print(ended_line(cell, record), highlight=False, markup=False)


class LineListener:
    """For logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._totals: dict[str, int] = {}
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def _print(self, cell: Cell, text: str) -> None:
        self._console.print(f"{_name(cell)}: {text}", highlight=False, markup=False, soft_wrap=True)

    def started(self, cell: Cell, *, total_steps: int, first_step: int) -> None:
        self._totals[cell.run_id] = total_steps
        self._print(
            cell, f"resumed at step {first_step:,} of {total_steps:,}" if first_step else f"{total_steps:,} steps"
        )

    def stepped(self, cell: Cell, *, step: int, scalars: Mapping[str, float]) -> None:
        now = time.monotonic()
        if now - self._last > _LINE_EVERY:
            self._last = now
            self._print(cell, f"step {step:,} of {self._totals[cell.run_id]:,}  {_scalars(scalars)}")

    def phase(self, cell: Cell, text: str) -> None:
        now = time.monotonic()
        if now - self._last > _LINE_EVERY:
            self._last = now
            self._print(cell, text)

    def warned(self, cell: Cell, text: str) -> None:
        self._print(cell, f"warning: {text}")

    def ended(self, cell: Cell, record: ResultRecord | None) -> None:
        self._console.print(ended_line(cell, record), highlight=False, markup=False, soft_wrap=True)


def ended_line(cell: Cell, record: ResultRecord | None) -> str:
    """How a run ended, in one line."""
    if record is None:
        return f"{_name(cell)}: interrupted, state saved; the same command goes on from there"
    seconds = record.cost.train_seconds + record.cost.eval_seconds if record.cost else 0.0
    if record.failure is not None:
        return f"{_name(cell)}: {record.status} ({record.failure.phase}: {record.failure.message})"
    return f"{_name(cell)}: {record.status} in {seconds:.0f} s"


def listener_for(console: Console) -> BarListener | LineListener:
    """Bars where a person watches."""
    return BarListener(console) if console.is_terminal else LineListener(console)
