"""Endings of runs: from the exception to the status of a record, and what one process leaves for another to report."""

import errno
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

import torch
from pydantic import ValidationError

from dxbench.api import Failure, Frozen, Status
from dxbench.engine.attempt import Attempt
from dxbench.engine.parts import UnmetNeed
from dxbench.engine.progress import NonFiniteScalar, Progress
from dxbench.errors import DxbenchError, InvalidFile, MachineFault, MissingData
from dxbench.files.code import at_line, told
from dxbench.files.faults import machine_fault
from dxbench.files.reading import read_regular
from dxbench.files.writing import atomic_file


class TimedOut(Exception):
    """The run's time is used up."""


class Ending(Frozen):
    """The kind of failure of a run or of one of its processes; "machine" is through no fault of the method."""

    status: Status | Literal["machine"]
    failure: Failure


def out_of_memory(error: Exception) -> bool:
    """True if memory did not suffice: torch's CPU allocator raises a plain RuntimeError, the system one of its own."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def ending_of(error: Exception, attempt: Attempt, progress: Progress) -> Ending:
    """The end of a run by an error, for its record; a fault of the machine makes none, and the same command goes on."""
    kind, text = type(error).__name__, str(error)
    match error:
        case TimedOut():
            seconds = progress.train_seconds + progress.eval_seconds
            text = f"stopped after {seconds:.0f} s; resumes with a larger --timeout"
            return Ending(status="timeout", failure=progress.failure("Timeout", text))
        case MissingData():
            text = str(error.fetched_by(attempt.cell.prepare))
            return Ending(status="skipped", failure=progress.failure("MissingData", text))
        case UnmetNeed():
            return Ending(status="skipped", failure=progress.failure("UnmetNeed", text))
    if out_of_memory(error):
        return Ending(status="out_of_memory", failure=progress.failure(kind, (text or kind) + _memory_hint(attempt)))
    if fault := machine_fault(error):
        return Ending(status="machine", failure=progress.failure(kind, str(fault)))
    return Ending(status="failed", failure=progress.failure(kind, told(error) if at_line(error) else text))


def ending_of_peer(error: Exception, attempt: Attempt, progress: Progress) -> Ending | None:
    """Last words of a process other than the first; None where the first comes to the same end, or has ended itself."""
    if isinstance(error, DxbenchError | TimedOut | UnmetNeed | NonFiniteScalar):
        return None
    ending = ending_of(error, attempt, progress)
    message = f"process {attempt.workers.rank + 1} of {attempt.workers.count}: {ending.failure.message}"
    return ending.model_copy(update={"failure": ending.failure.model_copy(update={"message": message})})


def _memory_hint(attempt: Attempt) -> str:
    """A hint where memory did not suffice."""
    batch, spread = attempt.cell.config.get("batch_size"), attempt.options.spread
    if not isinstance(batch, int):
        return ""
    if not attempt.method.parallel:
        return f"; batch_size is {batch}: try --set batch_size={max(1, batch // 4)}, which is another configuration"
    largest = batch // attempt.workers.count
    accumulate = min(4 * spread.accumulate, largest)
    if accumulate <= spread.accumulate:
        return "; each device takes one row at a time already: a larger device, or --precision bf16 or fp16, may do"
    return f"; try --accumulate {accumulate} ({-(-largest // accumulate)} rows at a time)"


class CrashReport:
    """Words that a process that failed leaves for the first one to report, since it can no longer be asked."""

    _LONGEST = 1 << 20  # bytes

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def clear(self) -> None:
        for path in self._folder.glob("process-*.failed.json"):
            with suppress(IsADirectoryError):
                path.unlink()

    def leave(self, rank: int, ending: Ending) -> None:
        with suppress(OSError), atomic_file(self._folder / f"process-{rank}.failed.json") as file:
            file.write(ending.model_dump_json().encode())

    def heard(self, *, within: float) -> Ending | None:
        """The words of the first process that left some, for which it may take so many seconds."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            for path in sorted(self._folder.glob("process-*.failed.json")):
                with suppress(OSError, InvalidFile, ValidationError):
                    return Ending.model_validate_json(read_regular(path, limit=self._LONGEST))
            time.sleep(0.05)
        return None

    def of_peer(self, error: MachineFault) -> Ending:
        """The end of a run that lost another process.

        Raises:
            MachineFault: where that one said nothing, or that the machine is to blame.
        """
        heard = self.heard(within=5.0)
        if heard is None or heard.status == "machine":
            what = error if heard is None else heard.failure.message
            raise MachineFault(f"{what}; the same command goes on from the last checkpoint") from None
        return heard
