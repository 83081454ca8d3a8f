"""Files: our own are replaced whole, a user's output goes where they say, a stranger's is read with bounds."""

import errno
import fcntl
import os
import secrets
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from dxbench.errors import MachineFault, UsageError
from dxbench.files.faults import READER_SECONDS, machine_fault

_OWN_STREAMS = {"stdout": 1, "stderr": 2}


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file of our own that takes the place of `path` when all went well: readers see the old or the new one.

    A new file has the mode that the umask leaves, one that is replaced keeps its own.
    """
    with atomic_path(path) as temporary, temporary.open("r+b") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Open a path as `atomic_file` does, for what writes to a path: the file there is empty, and may be replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    # Not mkstemp, whose files are private whatever the umask says.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with suppress(OSError):  # whoever sweeps does without, where the file system has no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mode = stat.S_IMODE((path if path.is_file() else temporary).stat().st_mode)
        temporary.chmod(mode)
        yield temporary
        temporary.chmod(mode)  # safetensors puts a private file of its own in its place
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = error.filename or str(path)  # a failing write does not say where
        raise
    finally:
        os.close(descriptor)


def sweep_temporaries(folder: Path, names: str = "*") -> None:
    """Remove what writers by `atomic_file` left when they were killed; the living hold theirs locked.

    Args:
        names: a pattern of the files they were to become.
    """
    for left in folder.glob(f".{names}.{'[0-9a-f]' * 12}"):
        with suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


# Of file systems without hard links.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def create_whole(path: Path, data: bytes) -> int | None:
    """A new file that holds `data` from the moment it is seen, as a descriptor; None where `path` is there already.

    Of several processes that try at once, on whatever hosts, one succeeds: a hard link is made or refused by the server
    of a network file system. On file systems that have none the file is seen empty for a moment.
    """
    temporary = _temporary(path)
    descriptor = _filled(temporary, data)
    try:
        try:
            os.link(temporary, path)
        except OSError as error:
            if os.fstat(descriptor).st_nlink == 2:  # made, and the answer of the server was lost
                return descriptor
            os.close(descriptor)
            if error.errno not in _NO_LINKS:
                raise
            descriptor = _filled(path, data)
    except FileExistsError:
        return None
    finally:
        temporary.unlink(missing_ok=True)
    return descriptor


def _filled(path: Path, data: bytes) -> int:
    """A descriptor of a file that was not there before, and that is removed again where it cannot be filled."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        os.close(os.dup(descriptor))  # upon which network file systems send what was written
    except BaseException as error:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = error.filename or str(path)
        raise
    return descriptor


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}")


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

    A regular file keeps its mode and its other names, a new one has the mode that the umask leaves. /dev/stdout and its
    like are the streams of this process, at the place where they are. A named pipe is given `READER_SECONDS` to be
    opened by a reader.

    Raises:
        UsageError: for a folder, a pipe that nobody reads, or a place that cannot be.
        MachineFault: where there is no room or no permission.
    """
    _write(path, data, os.O_TRUNC)


def append_named(path: Path, text: str) -> None:
    """Append arrays to a file as `write_named` writes them, behind what is there."""
    _write(path, text, os.O_APPEND)


def _write(path: Path, data: bytes | str, how: int) -> None:
    try:
        make_folder(path.parent)
        with os.fdopen(_open_named(path, os.O_WRONLY | os.O_CREAT | how), "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder; name a file in it") from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        error.filename = error.filename or str(path)  # a failing write does not say where
        raise machine_fault(error) or UsageError(f"cannot write {path}: {error.strerror or error}") from None


def _open_named(path: Path, flags: int) -> int:
    """A descriptor to write to; a pipe is waited for, and of a stream of this process there is another."""
    if (own := _own_stream(path)) is not None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        return os.dup(own)
    if not path.is_fifo():
        return os.open(path, flags, 0o666)
    end = time.monotonic() + READER_SECONDS
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > end:
                raise UsageError(
                    f"{path} is a pipe that nothing has opened for reading in {READER_SECONDS:g} s; start its reader "
                    "first"
                ) from None
            time.sleep(0.05)
        else:
            os.set_blocking(descriptor, True)
            return descriptor


def _own_stream(path: Path) -> int | None:
    """The descriptor that a path such as /dev/stdout or /dev/fd/3 names.

    To open it anew would begin at its start, and fail for a socket.
    """
    match path.parts:
        case ("/", "dev", name) if name in _OWN_STREAMS:
            return _OWN_STREAMS[name]
        case ("/", "dev", "fd", number) | ("/", "proc", "self", "fd", number) if (
            number.isdecimal() and len(number) < 10
        ):
            return int(number)
    return None


def make_folder(path: Path) -> None:
    """A folder that a user named, with those above it.

    Raises:
        UsageError: where it cannot be, as below a file.
        MachineFault: where there is no room or no permission.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{path} cannot be a folder: it, or what is above it, is a file; choose another") from None
    except OSError as error:
        raise machine_fault(error) or UsageError(f"cannot make {path}: {error.strerror or error}") from None


TEMPORARY = ".dxbench-new-"
"""How a folder is named that is being filled; one stays behind only where a process was killed."""


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, whose contents go into `folder` when all went well; else `folder` is as it was.

    Of what `folder` holds, only what has the name of something new is replaced. `folder` itself stays, so that links to
    it, its mode, and shells within it do.

    Raises:
        UsageError: where the folder cannot be.
        MachineFault: where there is no room or no permission.
    """
    # Not Path.resolve, for which links that lead in a circle are a RuntimeError.
    folder = Path(os.path.realpath(folder))
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    make_folder(folder)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=TEMPORARY) as place:
            new, old = Path(place, "new"), Path(place, "old")
            new.mkdir()
            old.mkdir()
            yield new
            for one in sorted(new.iterdir()):
                target = folder / one.name
                if os.path.lexists(target):
                    target.rename(old / one.name)
                one.rename(target)
    except BaseException as error:
        with suppress(OSError):  # one of them has got something in it since
            for empty in made:
                empty.rmdir()
        if isinstance(error, OSError):
            error.filename = error.filename or str(folder)
            raise machine_fault(error) or UsageError(f"cannot fill {folder}: {error}") from None
        raise


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
