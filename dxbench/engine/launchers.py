"""Ways to get cells run: in this process, or in several."""

import multiprocessing
import queue
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import SpawnContext
from multiprocessing.queues import Queue
from typing import Any, Protocol

from dxbench.api import ResultRecord
from dxbench.engine import process
from dxbench.engine.attempt import RunOptions
from dxbench.engine.cell import run_cell
from dxbench.engine.listener import SILENT, Listener
from dxbench.engine.plan import Cell
from dxbench.engine.spread import Rank, outer_rank
from dxbench.engine.stopping import LastStopSignals, held_back
from dxbench.errors import DxbenchError, ExitCode, Interrupted, MachineFault, UsageError
from dxbench.plugins.registry import load_task

# Seconds that processes of a run are given to end after one of them has.
GRACE = 15.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a cell ended: with a record, or with an error that kept it from having one.

    Of several processes that torchrun or SLURM started, only the first has records.
    """

    cell: Cell
    record: ResultRecord | None = None
    error: DxbenchError | None = None

    @property
    def together(self) -> bool:
        """Surely all processes of the run came to this end, so that they may go on together."""
        return self.error is None and (self.record is None or self.record.status not in ("failed", "out_of_memory"))


class Launcher(Protocol):
    """Runs cells; found by entry point. Outcomes come as cells end."""

    def __call__(
        self,
        cells: Sequence[Cell],
        options: RunOptions,
        *,
        jobs: int,
        listener: Listener,
        stop_requested: Callable[[], bool],
    ) -> Iterator[Outcome]: ...


def local(
    cells: Sequence[Cell],
    options: RunOptions,
    *,
    jobs: int,
    listener: Listener,
    stop_requested: Callable[[], bool],
) -> Iterator[Outcome]:
    """This machine: cells one after the other in this process, or `jobs` at a time in processes of their own.

    A cell on several devices has a process for each: new ones, or those that torchrun or SLURM has started.

    Raises:
        UsageError: for jobs and devices at once.
    """
    outer = outer_rank(options.spread)
    if options.spread.processes > 1 and jobs > 1:
        raise UsageError("--jobs and --devices do not go together: a cell takes all devices")
    if outer is None and (options.spread.devices > 1 or (jobs > 1 and len(cells) > 1)):
        yield from _in_processes(cells, options, jobs, listener, stop_requested)
        return
    for cell in cells:
        if stop_requested():
            return
        try:
            outcome = Outcome(
                cell=cell, record=run_cell(cell, options, listener=listener, stop_requested=stop_requested)
            )
        except DxbenchError as error:
            outcome = Outcome(cell=cell, error=error)
        yield outcome
        if outer is not None and not outcome.together:
            return


class _Relay:
    """Sends a listener's calls to the parent process, steps at most five times a second."""

    def __init__(self, messages: "Queue[Any]", number: int) -> None:
        self._messages = messages
        self._number = number
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
        self._messages.put((self._number, call, arguments))


def _work(cell: Cell, options: RunOptions, messages: "Queue[Any]", number: int, place: Rank | None) -> None:
    process.end_with_parent()
    if place is not None:
        place.enter()
    first = place is None or place.rank == 0
    listener: Listener = _Relay(messages, number) if first else SILENT
    with LastStopSignals() as stop:
        try:
            record = run_cell(cell, options, listener=listener, stop_requested=stop.requested, place=place)
            outcome = {"record": record, "error": None}
        except DxbenchError as error:
            outcome = {"record": None, "error": error}
        except KeyboardInterrupt:  # asked twice; who asked knows
            sys.exit(int(ExitCode.INTERRUPTED))
        if first:
            messages.put((number, "outcome", outcome))


class _Crew:
    """The processes of one cell."""

    def __init__(
        self, context: SpawnContext, cell: Cell, options: RunOptions, messages: "Queue[Any]", number: int
    ) -> None:
        count = options.spread.devices
        port = _free_port()
        places = [Rank(rank=rank, port=port) for rank in range(count)] if count > 1 else [None]
        self._members = [
            context.Process(target=_work, args=(cell, options, messages, number, place)) for place in places
        ]
        with held_back():
            for member in self._members:
                member.start()
        self._since: float | None = None

    def stop(self) -> None:
        """SIGTERM: the members save and end."""
        for member in self._members:
            member.terminate()

    def dead(self, seed: int) -> DxbenchError | None:
        """That a member died who will give no outcome, and how; None while there is hope.

        The first process notices when another is gone, and says so; where it does not, it is not waited for.
        """
        gone = [(rank, member.exitcode) for rank, member in enumerate(self._members) if not member.is_alive()]
        if gone and self._since is None:
            self._since = time.monotonic()
        if self._since is None or (gone[0][0] != 0 and time.monotonic() - self._since < GRACE):
            return None
        bad = next(((rank, code) for rank, code in gone if code), gone[0])
        which = "" if len(self._members) == 1 else f" {bad[0] + 1} of {len(self._members)}"
        death = f"the process{which} of seed {seed} died (exit code {bad[1]})"
        if bad[1] == -signal.SIGKILL:
            return MachineFault(f"{death}: killed by the system, for want of memory maybe, or by somebody")
        return DxbenchError(death)

    def end(self, *, grace: float = GRACE) -> None:
        """After the outcome, or after a death: nobody stays behind."""
        deadline = time.monotonic() + grace
        for member in self._members:
            member.join(timeout=max(0.0, deadline - time.monotonic()))
        for member in self._members:
            if member.is_alive():
                member.kill()
                member.join()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _in_processes(
    cells: Sequence[Cell],
    options: RunOptions,
    jobs: int,
    listener: Listener,
    stop_requested: Callable[[], bool],
) -> Iterator[Outcome]:
    for cell in cells:
        device = process.choose_device(options.device, auto=load_task(cell.task_ref).auto_device)
        process.check_devices(device, options.spread.devices)
    # Spawned, not forked: a fork after torch has started threads can hang.
    context = multiprocessing.get_context("spawn")
    messages: Queue[Any] = context.Queue()
    waiting = list(enumerate(cells))
    running: dict[int, _Crew] = {}
    told_to_stop = False
    try:
        while waiting or running:
            if stop_requested() and not told_to_stop:
                waiting, told_to_stop = [], True
                for crew in running.values():
                    crew.stop()
            while waiting and len(running) < jobs:
                number, cell = waiting.pop(0)
                running[number] = _Crew(context, cell, options, messages, number)
            try:
                number, call, arguments = messages.get(timeout=0.2)
            except queue.Empty:
                deaths = {n: death for n, crew in running.items() if (death := crew.dead(cells[n].seed))}
                for number, death in deaths.items():
                    crew = running.pop(number)
                    crew.stop()
                    crew.end()
                    yield Outcome(cell=cells[number], error=Interrupted(str(death)) if told_to_stop else death)
                continue
            if call == "outcome":
                running.pop(number).end()
                yield Outcome(cell=cells[number], **arguments)
            else:
                getattr(listener, call)(cells[number], **arguments)
    finally:  # of those who are left when this process is interrupted
        for crew in running.values():
            crew.end(grace=0.0)
