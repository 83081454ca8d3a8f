"""Ways to get cells run: in this process, or in several."""

import multiprocessing
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from typing import Any, Protocol

from dxbench.api import ResultRecord
from dxbench.engine.cell import RunOptions, run_cell
from dxbench.engine.listener import Listener
from dxbench.engine.plan import Cell
from dxbench.engine.stopping import StopSignals
from dxbench.errors import DxbenchError, Interrupted


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a cell ended: with a record, or with an error that kept it from having one."""

    cell: Cell
    record: ResultRecord | None = None
    error: DxbenchError | None = None


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
    """This machine: one after the other in this process, or `jobs` at a time in processes of their own."""
    if jobs > 1 and len(cells) > 1:
        yield from _in_processes(cells, options, jobs, listener, stop_requested)
        return
    for cell in cells:
        if stop_requested():
            return
        try:
            yield Outcome(cell=cell, record=run_cell(cell, options, listener=listener, stop_requested=stop_requested))
        except DxbenchError as error:
            yield Outcome(cell=cell, error=error)


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

    def ended(self, cell: Cell, record: ResultRecord | None) -> None:
        self._send("ended", {"record": record})

    def _send(self, call: str, arguments: dict[str, Any]) -> None:
        self._messages.put((self._number, call, arguments))


def _work(cell: Cell, options: RunOptions, messages: "Queue[Any]", number: int) -> None:
    with StopSignals() as stop:
        try:
            record = run_cell(cell, options, listener=_Relay(messages, number), stop_requested=stop.requested)
            messages.put((number, "outcome", {"record": record, "error": None}))
        except DxbenchError as error:
            messages.put((number, "outcome", {"record": None, "error": error}))


def _in_processes(
    cells: Sequence[Cell],
    options: RunOptions,
    jobs: int,
    listener: Listener,
    stop_requested: Callable[[], bool],
) -> Iterator[Outcome]:
    # Spawned, not forked: a fork after torch has started threads can hang.
    context = multiprocessing.get_context("spawn")
    messages: Queue[Any] = context.Queue()
    waiting = list(enumerate(cells))
    running: dict[int, BaseProcess] = {}
    told_to_stop = False
    while waiting or running:
        if stop_requested() and not told_to_stop:
            waiting, told_to_stop = [], True
            for worker in running.values():
                worker.terminate()  # SIGTERM: workers save and end
        while waiting and len(running) < jobs:
            number, cell = waiting.pop(0)
            running[number] = context.Process(target=_work, args=(cell, options, messages, number))
            running[number].start()
        try:
            number, call, arguments = messages.get(timeout=0.2)
        except queue.Empty:
            for number in [n for n, worker in running.items() if not worker.is_alive()]:
                code = running.pop(number).exitcode
                error = DxbenchError(f"the process of seed {cells[number].seed} died (exit code {code})")
                yield Outcome(cell=cells[number], error=Interrupted(str(error)) if told_to_stop else error)
            continue
        if call == "outcome":
            running.pop(number).join()
            yield Outcome(cell=cells[number], **arguments)
        else:
            getattr(listener, call)(cells[number], **arguments)
