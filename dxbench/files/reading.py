"""Reading regular files, and nothing that only looks like one."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from dxbench.errors import InvalidFile


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
