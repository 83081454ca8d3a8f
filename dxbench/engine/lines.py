"""A run told in lines: how often, in which words, and the log that each run has of its own."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from dxbench.api import ResultRecord
from dxbench.engine.plan import Cell
from dxbench.errors import Interrupted, Taken
from dxbench.plain import counted, plain

_LINE_EVERY = 10.0
_AND_AFTER = 0.05


class Pace:
    """A pace for lines about something under way: when the next is due, and how far the work is.

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
        """True if something is to be said now; with another subject, time begins anew."""
        if subject != self._subject:
            self._subject = subject
            self._begin(0)
        now = self._clock()
        if now - self._last < max(_LINE_EVERY, _AND_AFTER * (now - self._start)):
            return False
        self._last = now
        return True

    def far(self, done: int, total: int | None) -> str:
        """Tell per cent and time left, as the rate so far has it; nothing where there is no total."""
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


def cell_name(cell: Cell) -> str:
    """The name that lines and bars give to a cell."""
    changes = " ".join(f"{key}={value}" for key, value in cell.overrides.items())
    if cell.part == "start":
        return f"{cell.task} start that {cell.method} shares seed {cell.seed}"
    return f"{cell.task} {cell.method}{' ' + changes if changes else ''} seed {cell.seed}"


def scalars_line(scalars: Mapping[str, float]) -> str:
    """The first three scalars of a step."""
    return "  ".join(f"{name} {value:.3f}" for name, value in list(scalars.items())[:3])


def interrupted_line(cell: Cell) -> str:
    """The line for a run that was stopped from outside."""
    return f"{cell_name(cell)}: interrupted, state saved; the same command goes on from there"


def ended_line(cell: Cell, record: ResultRecord | None) -> str:
    """The end of a run in one line."""
    if record is None:
        return f"{cell_name(cell)}: trained"
    seconds = record.cost.train_seconds + record.cost.eval_seconds if record.cost else 0.0
    if record.failure is not None:
        return f"{cell_name(cell)}: {record.status} ({record.failure.phase}: {record.failure.message})"
    return f"{cell_name(cell)}: {record.status} in {seconds:.0f} s"


class Lines:
    """A listener that tells of runs in lines, each to `say`."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._totals: dict[str, int] = {}
        self._paces: dict[str, Pace] = {}
        self._phases: dict[str, Pace] = {}

    def started(self, cell: Cell, *, total_steps: int, first_step: int) -> None:
        self._totals[cell.run_id] = total_steps
        self._paces[cell.run_id] = Pace(first=first_step)
        from_where = (
            f"resumed at step {first_step:,} of {total_steps:,}" if first_step else counted(total_steps, "step")
        )
        self._say(f"{cell_name(cell)}: {from_where}")

    def stepped(self, cell: Cell, *, step: int, scalars: Mapping[str, float]) -> None:
        pace, total = self._paces[cell.run_id], self._totals[cell.run_id]
        if pace.due():
            far = pace.far(step, total)
            self._say(f"{cell_name(cell)}: step {step:,} of {total:,}{far}  {scalars_line(scalars)}")

    def phase(self, cell: Cell, text: str) -> None:
        if self._phases.setdefault(cell.run_id, Pace()).due():
            self._say(f"{cell_name(cell)}: {text}")

    def warned(self, cell: Cell, text: str) -> None:
        self._say(f"{cell_name(cell)}: warning: {text}")

    def interrupted(self, cell: Cell) -> None:
        self._forget(cell)
        self._say(interrupted_line(cell))

    def ended(self, cell: Cell, record: ResultRecord | None) -> None:
        self._forget(cell)
        self._say(ended_line(cell, record))

    def _forget(self, cell: Cell) -> None:
        for kept in (self._totals, self._paces, self._phases):
            kept.pop(cell.run_id, None)


class CellLog(Lines):
    """The lines of a run with their times (UTC), in a file that can be read from any node.

    An error that ends the run while this is open is written too. That nothing can be written is no reason to end a run.
    """

    def __init__(self, path: Path, cell: Cell) -> None:
        super().__init__(self._write)
        self._path, self._cell = path, cell

    def _write(self, line: str) -> None:
        with suppress(OSError), self._path.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {plain(line)}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, Interrupted | Taken):
            self._write(f"{cell_name(self._cell)}: {type(error).__name__}: {error}")
