"""Files: our own are replaced whole, a user's output goes where they say, a stranger's is read with bounds."""

import errno
import fcntl
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from dxbench.errors import InvalidFile, MachineFault, UsageError

MACHINE = {
    errno.ENOSPC: "no space is left there",
    errno.EDQUOT: "the quota there is used up",
    errno.EFBIG: "the file is larger than is allowed there",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EROFS: "the file system is read-only",
    errno.EIO: "the disk reports an error",
    errno.EREMOTEIO: "the disk reports an error",
    errno.ESTALE: "the network file system has lost it",
    errno.ENOTCONN: "the network file system is gone",
    errno.EHOSTDOWN: "the network file system is gone",
    errno.ETIMEDOUT: "the network does not answer",
    errno.ENOLCK: "the file system has no locks",
    errno.EMFILE: "too many files are open",
    errno.ENFILE: "too many files are open on this machine",
    errno.EAGAIN: "the machine has no more processes to give",
    errno.EPIPE: "whoever was to read it is gone",
    errno.ECONNRESET: "the connection is lost",
}
"""What a machine may refuse through no fault of the work, by error number."""

# Libraries report what a disk refused without the number, or as an error of their own.
_NUMBER = re.compile(r"\((?:os error|errno) (\d+)\)|\[[Ee]rrno (\d+)\]")
_FULL = re.compile(r"No space left on device|inline_container\S* \. unexpected pos|^\d+ requested and \d+ written$")
_QUOTA = re.compile(r"Disk quota exceeded")


def machine_fault(
    error: BaseException, *, remedy: str = "Mend that, and give the same command again"
) -> MachineFault | None:
    """What a user reads of an error that the machine is to blame for; None for any other.

    Errors of libraries count by their text, and those that were raised from another by that one.
    """
    if isinstance(error, MachineFault):
        return error
    number = _error_number(error)
    if number not in MACHINE:
        return None if error.__cause__ is None else machine_fault(error.__cause__, remedy=remedy)
    if isinstance(error, OSError) and error.errno is not None:
        where = error.filename or "the system says"
    else:
        where = str(error).splitlines()[0]
    return MachineFault(f"{where}: {MACHINE[number]}. {remedy}")


def _error_number(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    text = str(error)
    if _FULL.search(text):
        return errno.ENOSPC
    if _QUOTA.search(text):
        return errno.EDQUOT
    found = _NUMBER.search(text)
    return int(found[1] or found[2]) if found else None


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file of our own that takes the place of `path` when all went well: readers see the old or the new one.

    A new file has the mode that the umask leaves, one that is replaced keeps its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}")
    # Not mkstemp, whose files are private whatever the umask says.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with suppress(OSError):  # whoever sweeps does without, where the file system has no locks
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_file():
                os.fchmod(descriptor, stat.S_IMODE(path.stat().st_mode))
            yield file
            file.flush()
            os.fsync(descriptor)
            temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = error.filename or str(path)  # a failing write does not say where
        raise


def sweep_temporaries(folder: Path, names: str = "*") -> None:
    """Remove what writers by `atomic_file` left when they were killed; the living hold theirs locked.

    Args:
        names: a pattern of the files they were to become.
    """
    for left in folder.glob(f".{names}.{'[0-9a-f]' * 12}"):
        with suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def set_aside(path: Path, why: str) -> Path:
    """Move what cannot be used to <name>.<why>-1 and so on beside it, before the suffix; returns where it is."""
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.stem}.{why}-{number}{path.suffix}")):
        number += 1
    return path.rename(aside)


def write_text_atomically(path: Path, text: str) -> None:
    """`text` as UTF-8, through `atomic_file`."""
    with atomic_file(path) as file:
        file.write(text.encode())


def write_named(path: Path, data: bytes | str) -> None:
    """Writes to a place that a user named, as a shell would: a device, a pipe or a link stays what it is.

    Raises:
        UsageError: for a folder, or a place that cannot be.
        MachineFault: where there is no room or no permission.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        error.filename = error.filename or str(path)  # a failing write does not say where
        raise machine_fault(error) or UsageError(f"cannot write {path}: {error.strerror or error}") from None


@contextmanager
def open_regular(path: str | Path) -> Iterator[tuple[FileIO, int]]:
    """A regular file, which may be reached through links, and its size in bytes.

    Nothing but a regular file is opened: a pipe would wait for ever, a device may never end.

    Raises:
        InvalidFile: for anything but a regular file.
        OSError: if it cannot be opened.
    """
    mode = os.stat(path).st_mode  # noqa: PTH116 (boards read many; a Path costs as much as the call)
    if not stat.S_ISREG(mode):
        raise InvalidFile(f"no regular file but a {_kind(mode)}")
    # Not blocking, should a pipe have taken its place since.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:  # noqa: PTH123
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise InvalidFile(f"no regular file but a {_kind(found.st_mode)}")
        yield file, found.st_size


def read_regular(path: str | Path, *, limit: int) -> bytes:
    """The bytes of a regular file.

    Raises:
        InvalidFile: as `open_regular`, and for more than `limit` bytes.
        OSError: if it cannot be read.
    """
    with open_regular(path) as (file, size):
        if size > limit:
            raise InvalidFile(f"{size:,} bytes, at most {limit:,} are read")
        return file.read(size)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "folder",
        stat.S_IFIFO: "pipe",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
        stat.S_IFSOCK: "socket",
    }
    return kinds.get(stat.S_IFMT(mode), "special file")


def check_writable(folder: Path, *, remedy: str) -> None:
    """See that files can be written under `folder`.

    Args:
        remedy: a sentence on how to choose another folder.

    Raises:
        UsageError: with the remedy, where there can be no such folder.
        MachineFault: with the remedy, where there is no room or no permission.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        kind = UsageError if machine_fault(error) is None else MachineFault
        raise kind(f"cannot write to {folder}: {error.strerror or error}. {remedy}") from None
