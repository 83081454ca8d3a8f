"""Ctrl-C, SIGTERM and SIGHUP as a request that the run answers at its next step."""

import atexit
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Self

from dxbench.errors import ExitCode

AT_ONCE = "stopped at once; the same command goes on from the last checkpoint"


class StopSignals:
    """While open, the first SIGINT, SIGTERM or SIGHUP sets a flag; a second SIGINT interrupts at once.

    A third ends the process where it is. A SIGHUP that is ignored, as nohup has it, stays so.
    """

    def __init__(self) -> None:
        self._asked = self._interrupted = False
        self._previous: dict[int, Any] = {}

    def requested(self) -> bool:
        return self._asked

    def __enter__(self) -> Self:
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        for number in numbers:
            self._previous[number] = signal.signal(number, self._ask)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted:
            end_at_once(number, frame)
        if self._asked and number == signal.SIGINT:
            self._interrupted = True
            raise KeyboardInterrupt
        self._asked = True


class LastStopSignals(StopSignals):
    """Stop signals of a process that ends when it is asked to: a second SIGINT ends it where it is."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._asked:
            signal.signal(signal.SIGINT, end_at_once)
            # At its very end Python gives signals back to the system, which would report a death by SIGINT.
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


HELD_BACK = (signal.SIGINT, signal.SIGHUP)


@contextmanager
def held_back() -> Iterator[None]:
    """Processes started meanwhile get what a terminal sends to all once they open `StopSignals`, and not before."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_at_once(number: int, frame: FrameType | None) -> None:
    """End the process at once, without a word from Python on where it was."""
    with suppress(OSError):
        os.write(2, f"dxbench: {AT_ONCE}\n".encode())
    os._exit(int(ExitCode.INTERRUPTED))
