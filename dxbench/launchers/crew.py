"""Processes that carry out cells for another one, and tell it how they fare."""

import atexit
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import Any

from dxbench.api import ResultRecord
from dxbench.engine import process
from dxbench.engine.attempt import RunOptions
from dxbench.engine.cell import run_cell
from dxbench.engine.listener import SILENT, Listener
from dxbench.engine.plan import Cell
from dxbench.engine.spread import Rank
from dxbench.engine.stopping import LastStopSignals, held_back
from dxbench.errors import DxbenchError, ExitCode, MachineFault
from dxbench.launchers.contract import Outcome

GRACE = 15.0
"""Seconds that processes of a run are given to end after one of them has."""
_LOOK_EVERY = 0.2
"""Seconds between looks at what sends no message: a stop, a death in the midst of a crew."""


class _Relay:
    """Sends a listener's calls to the parent process, steps at most five times a second."""

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        self._pipe = pipe
        self._last = 0.0

    def started(self, cell: Cell, *, total_steps: int, first_step: int) -> None:
        self._send("started", {"total_steps": total_steps, "first_step": first_step})

    def stepped(self, cell: Cell, *, step: int, scalars: Mapping[str, float]) -> None:
        now = time.monotonic()
        if now - self._last > 0.2:
            self._last = now
            self._send("stepped", {"step": step, "scalars": dict(scalars)})

    def phase(self, cell: Cell, text: str) -> None:
        self._send("phase", {"text": text})

    def warned(self, cell: Cell, text: str) -> None:
        self._send("warned", {"text": text})

    def interrupted(self, cell: Cell) -> None:
        self._send("interrupted", {})

    def ended(self, cell: Cell, record: ResultRecord | None) -> None:
        self._send("ended", {"record": record})

    def _send(self, call: str, arguments: dict[str, Any]) -> None:
        self._pipe.send((call, arguments))


class Carrier:
    """Carries out one cell after the other in this process."""

    def __init__(self, options: RunOptions, listener: Listener, *, place: Rank | None = None) -> None:
        self._options, self._listener, self._place = options, listener, place
        self._count = 0

    def __call__(self, cell: Cell, stop_requested: Callable[[], bool]) -> Outcome:
        """The outcome of a cell."""
        self._count += 1
        if self._count == 2:  # what the first has loaded stays
            process.keep_loaded()
        try:
            record = run_cell(
                cell, self._options, listener=self._listener, stop_requested=stop_requested, place=self._place
            )
        except DxbenchError as error:
            return Outcome(cell=cell, error=error)
        return Outcome(cell=cell, record=record)


def _serve(pipe: "Connection[Any, Any]", options: RunOptions, place: Rank | None, gpu: str | None) -> None:
    """Serve as a member: carry out the cells that come through the pipe until that is closed."""
    process.end_with_parent()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    if place is not None:
        place.enter()
    first = place is None or place.rank == 0
    listener: Listener = _Relay(pipe) if first else SILENT
    carry_out = Carrier(options, listener, place=place)
    # A parent that was told twice to stop has left, at whichever end of a message.
    with LastStopSignals() as stop, suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            while not stop.requested():
                if pipe.poll(_LOOK_EVERY):
                    outcome = carry_out(pipe.recv(), stop.requested)
                    if first:
                        pipe.send(("outcome", outcome))
        except KeyboardInterrupt:  # asked twice; who asked knows
            sys.exit(int(ExitCode.INTERRUPTED))
    atexit._run_exitfuncs()
    os._exit(0)  # the system takes down at once what Python would take apart for seconds


class _Member:
    """A process, and our end of the pipe to it."""

    def __init__(self, options: RunOptions, place: Rank | None, gpu: str | None) -> None:
        # Spawned, not forked: a fork after torch has started threads can hang.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, options, place, gpu))
        with held_back():
            self.process.start()
        theirs.close()  # so that ours ends when the process does


class Crew:
    """One process that carries out cells one after the other, or a process per device for one cell.

    Processes are started when there is a cell for them, and anew where they have died.

    Args:
        gpu: the only CUDA device that they see; None for all.

    Attributes:
        cell: under way; None where there is none.
    """

    def __init__(self, options: RunOptions, *, gpu: str | None = None) -> None:
        self.cell: Cell | None = None
        self._options, self._gpu = options, gpu
        self._members: list[_Member] = []
        self._death_seen: float | None = None

    def give(self, cell: Cell) -> None:
        """Have a cell carried out."""
        if not self._members or not all(member.process.is_alive() for member in self._members):
            self.dismiss()
            count, port = self._options.spread.devices, free_port()
            places = [Rank(rank=rank, port=port) for rank in range(count)] if count > 1 else [None]
            self._members = [_Member(self._options, place, self._gpu) for place in places]
        self.cell, self._death_seen = cell, None
        for member in self._members:
            with suppress(OSError):  # it has just died, which will be noticed
                member.pipe.send(cell)

    def messages(self) -> Iterator[tuple[str, Any]]:
        """The messages of the first member: a call of a listener and its arguments, or "outcome" and that."""
        first = self._members[0]
        try:
            while first.pipe.poll():
                yield first.pipe.recv()
        except (EOFError, OSError):
            first.process.join(timeout=GRACE)

    def death(self) -> DxbenchError | None:
        """The sentence that says that a member died without an outcome, and how; None while there is hope.

        The first process notices when another is gone, and says so; where it does not, it is not waited for.
        """
        gone = [(rank, code) for rank, one in enumerate(self._members) if (code := one.process.exitcode) is not None]
        if gone and self._death_seen is None:
            self._death_seen = time.monotonic()
        if self._death_seen is None or (gone[0][0] != 0 and time.monotonic() - self._death_seen < GRACE):
            return None
        assert self.cell is not None
        rank, code = next(((rank, code) for rank, code in gone if code), gone[0])
        which = "" if len(self._members) == 1 else f" {rank + 1} of {len(self._members)}"
        text = f"the process{which} of {self.cell} died (exit code {code})"
        if code == -signal.SIGKILL:
            return MachineFault(f"{text}: killed by the system, for want of memory maybe, or by somebody")
        return DxbenchError(text)

    def done(self) -> Cell:
        """The cell that is under way no more; processes that are for one cell alone end."""
        assert self.cell is not None
        cell, self.cell = self.cell, None
        if len(self._members) > 1:
            self.dismiss()
        return cell

    def stop(self) -> None:
        """SIGTERM: the members save and end."""
        for member in self._members:
            member.process.terminate()

    def dismiss(self, *, grace: float = GRACE) -> None:
        """Nobody stays behind: members without a cell end at once, others are killed after so many seconds."""
        dismiss([self], grace=grace)


def dismiss(crews: Sequence[Crew], *, grace: float = GRACE) -> None:
    """`Crew.dismiss` of several at once."""
    members = [member for crew in crews for member in crew._members]
    for member in members:
        member.pipe.close()
    deadline = time.monotonic() + grace
    for member in members:
        member.process.join(timeout=max(0.0, deadline - time.monotonic()))
        if member.process.is_alive():
            member.process.kill()
            member.process.join()
    for crew in crews:
        crew._members = []


def await_news(crews: Sequence[Crew]) -> None:
    """Return when the first member of one has said something or died, or after a moment."""
    firsts = [crew._members[0] for crew in crews]
    wait_for([*(one.pipe for one in firsts), *(one.process.sentinel for one in firsts)], timeout=_LOOK_EVERY)


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
