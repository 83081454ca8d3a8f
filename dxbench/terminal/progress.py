"""Live progress on stderr: bars on a terminal, a line now and then elsewhere."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
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
from dxbench.engine.lines import Lines, Pace, cell_name, duration, ended_line, interrupted_line, scalars_line
from dxbench.engine.plan import Cell
from dxbench.terminal.console import bars, firm, text_column


class Ahead:
    """A count of how many of several cells have ended, and how long the others will take.

    A cell weighs what it is expected to take, in seconds; one of which nothing is known, as much as the others do on
    average. The pace so far says how long all of them take, however many there are at a time.
    """

    def __init__(self, cells: Sequence[Cell], *, seconds: Mapping[str, float]) -> None:
        known = [seconds[cell.run_id] for cell in cells if cell.run_id in seconds]
        usual = sum(known) / len(known) if known else 1.0
        self._weights = {cell.run_id: max(seconds.get(cell.run_id, usual), 1e-3) for cell in cells}
        self._left = dict(self._weights)  # of those that have not ended
        self._done = 0.0
        self._bad: Counter[str] = Counter()
        self._start: float | None = None

    def started(self, cell: Cell, *, total_steps: int, first_step: int) -> None:
        """A cell begins; what an earlier attempt has done tells nothing of the pace."""
        if self._start is None:
            self._start = time.monotonic()
        if cell.run_id in self._left and total_steps:
            self._left[cell.run_id] = self._weights[cell.run_id] * (1 - first_step / total_steps)

    def stepped(self, cell: Cell, *, step: int, total_steps: int) -> None:
        """So many steps of a cell are done."""
        if cell.run_id in self._left:
            left = self._weights[cell.run_id] * (1 - step / total_steps)
            self._done += self._left[cell.run_id] - left
            self._left[cell.run_id] = left

    def settled(self, cell: Cell, *, bad: str) -> None:
        """It has ended, and how badly; "" for well."""
        left = self._left.pop(cell.run_id, 0.0)
        if bad:
            self._bad[bad] += 1
        else:
            self._done += left

    def __str__(self) -> str:
        """Such as "7 of 40 cells, 1 failed, about 12 min left"; nothing where there is one cell."""
        if len(self._weights) < 2:
            return ""
        words = [f"{len(self._weights) - len(self._left)} of {len(self._weights)} cells"]
        words += [f"{count} {word}" for word, count in sorted(self._bad.items())]
        if self._left and self._done > 0 and self._start is not None:
            seconds = (time.monotonic() - self._start) * sum(self._left.values()) / self._done
            words.append(f"about {duration(seconds)} left")
        return ", ".join(words)


ALONE = Ahead([], seconds={})
"""For what is no sweep."""


class BarListener:
    """One bar per running cell, and a line for all cells together."""

    def __init__(self, console: Console, ahead: Ahead = ALONE) -> None:
        self._console, self._ahead = console, ahead
        self._progress = bars(
            text_column("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(table_column=firm()),
            MofNCompleteColumn(table_column=firm()),
            TimeElapsedColumn(table_column=firm()),
            text_column("left"),
            TimeRemainingColumn(table_column=firm()),
            text_column("{task.fields[note]}", style="dim"),
            to=console,
            below=lambda: str(ahead),
        )
        self._bars: dict[str, TaskID] = {}
        self._totals: dict[str, int] = {}
        self._shown: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def started(self, cell: Cell, *, total_steps: int, first_step: int) -> None:
        self._remove(cell)  # of an earlier attempt, which died, or of a wait before the first step
        if first_step:
            self._console.print(f"{cell_name(cell)}: resumed at step {first_step:,}", style="dim")
        self._bars[cell.run_id] = self._progress.add_task(
            cell_name(cell), total=total_steps or None, completed=first_step, note=""
        )
        self._totals[cell.run_id], self._shown[cell.run_id] = total_steps, 0.0
        self._ahead.started(cell, total_steps=total_steps, first_step=first_step)

    def stepped(self, cell: Cell, *, step: int, scalars: Mapping[str, float]) -> None:
        now = time.monotonic()
        if now - self._shown[cell.run_id] > 0.1:
            self._shown[cell.run_id] = now
            self._ahead.stepped(cell, step=step, total_steps=self._totals[cell.run_id])
            self._progress.update(self._bars[cell.run_id], completed=step, note=scalars_line(scalars))

    def phase(self, cell: Cell, text: str) -> None:
        if cell.run_id not in self._bars:  # it waits for something before its first step
            self._bars[cell.run_id] = self._progress.add_task(cell_name(cell), total=None, note=text)
        self._progress.update(self._bars[cell.run_id], total=None, note=text)

    def warned(self, cell: Cell, text: str) -> None:
        self._console.print(Text("warning:", style="yellow") + f" {cell_name(cell)}: {text}")

    def interrupted(self, cell: Cell) -> None:
        self._remove(cell)
        self._console.print(interrupted_line(cell))

    def ended(self, cell: Cell, record: ResultRecord | None) -> None:
        self._remove(cell)
        self._console.print(ended_line(cell, record))

    def settled(self, cell: Cell, *, bad: str) -> None:
        """A cell of the sweep has come to its end, whoever ran it, and how badly; "" for well."""
        self._remove(cell)
        self._ahead.settled(cell, bad=bad)

    def _remove(self, cell: Cell) -> None:
        if (bar := self._bars.pop(cell.run_id, None)) is not None:
            self._progress.remove_task(bar)


class LineListener(Lines):
    """A listener that prints lines, for logs and pipes."""

    def __init__(self, console: Console, ahead: Ahead = ALONE) -> None:
        super().__init__(console.print)
        self._ahead, self._overall = ahead, Pace()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def started(self, cell: Cell, *, total_steps: int, first_step: int) -> None:
        super().started(cell, total_steps=total_steps, first_step=first_step)
        self._ahead.started(cell, total_steps=total_steps, first_step=first_step)

    def stepped(self, cell: Cell, *, step: int, scalars: Mapping[str, float]) -> None:
        super().stepped(cell, step=step, scalars=scalars)
        self._ahead.stepped(cell, step=step, total_steps=self._totals[cell.run_id])
        self._tell_overall()

    def settled(self, cell: Cell, *, bad: str) -> None:
        """A cell of the sweep has come to its end, whoever ran it, and how badly; "" for well."""
        self._ahead.settled(cell, bad=bad)
        self._tell_overall()

    def _tell_overall(self) -> None:
        if self._overall.due() and (line := str(self._ahead)):
            self._say(line)


def listener_for(console: Console, ahead: Ahead = ALONE) -> BarListener | LineListener:
    """Bars where a person watches."""
    return BarListener(console, ahead) if console.is_terminal else LineListener(console, ahead)
