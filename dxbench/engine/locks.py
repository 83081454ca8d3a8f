"""Locks between processes, which go with the process that holds them, however it ends."""

from pathlib import Path

from filelock import FileLock, Timeout

from dxbench.errors import UsageError
from dxbench.files.faults import machine_fault


def take(path: Path) -> FileLock | None:
    """The lock of that file, taken; None where another process holds it.

    Raises:
        UsageError: for a folder or a link in its place.
        MachineFault: where the machine does not let it be made.
    """
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    except OSError as error:
        error.filename = error.filename or str(path)
        raise machine_fault(error) or UsageError(f"{path} cannot be locked ({error.strerror}); remove it") from None
    return lock
