"""Looking an archive over before it is used, and unpacking one.

Data sets come to gigabytes and hardly compress, so that a bomb is told by its ratio and not by its size: what is large
may be `MAX_RATIO` times as large as its file. Nothing is read further than that, whatever an archive says of itself.
"""

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import Protocol

from dxbench.errors import InvalidFile
from dxbench.files.faults import refusing_damage

MAX_MEMBERS = 5_000_000
MAX_IN_TAR = 100_000
MAX_RATIO = 100
"""Larger expansion is a bomb, once it comes to more than `SMALL_BYTES`."""
SMALL_BYTES = 64 << 20
HEADER_BYTES = 1 << 20
"""Of what a tar archive says of one member."""


@contextmanager
def opened_zip(path: Path) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """A zip archive (an npz is one), and its files in the order of their names.

    Raises:
        InvalidFile: as `check_archive`, or for damage, also where the body of the `with` meets it.
    """
    with refusing_damage(f"{path} is not a readable zip archive"), zipfile.ZipFile(path) as archive:
        yield archive, check_archive(path, archive)


def check_archive(path: object, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of a zip archive, in the order of their names; `path` names it in errors.

    Raises:
        InvalidFile: for names that leave the archive, links, encryption, duplicates, kinds of compression that are not
            usual, or sizes out of proportion.
    """
    members = [member for member in archive.infolist() if not member.is_dir()]
    for member in members:
        if stat.S_ISLNK(member.external_attr >> 16):
            raise InvalidFile(f"{path}: the member {member.filename!r} is a link")
        if member.flag_bits & 0x1:
            raise InvalidFile(f"{path}: the member {member.filename!r} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # Python's zipfile unpacks a block of other kinds whole, whatever it comes to.
            raise InvalidFile(f"{path}: the member {member.filename!r} is neither stored nor deflated; pack it anew")
    if len(members) > MAX_MEMBERS:
        raise InvalidFile(f"{path} holds {len(members):,} files, at most {MAX_MEMBERS:,} are read")
    _check_names(path, [member.filename for member in members])
    # Members may overlap, and say together that they fill more than there is.
    packed = min(archive.start_dir, sum(member.compress_size for member in members))
    _check_size(path, sum(member.file_size for member in members), packed)
    return sorted(members, key=lambda member: member.filename)


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a member that has been looked at, no more than it says that it has."""
    with archive.open(member) as file:  # not archive.read, which unpacks all that is there before it counts
        return file.read(member.file_size)


@contextmanager
def opened_tar(path: Path) -> Iterator[tuple[tarfile.TarFile, list[tarfile.TarInfo]]]:
    """A tar archive, compressed by gzip, bzip2, xz or not at all, and its files in the order of their names.

    Raises:
        InvalidFile: for names that leave the archive, members that are neither files nor folders, duplicates, sizes
            out of proportion, or damage, also where the body of the `with` meets it.
    """
    with refusing_damage(f"{path} is cut short or no tar archive; fetch it again"), _unpacked(path) as file:
        reader = _Reader(path, file)
        with tarfile.open(fileobj=reader, mode="r:") as archive:  # type: ignore[call-overload]
            members = _looked_over(path, archive)
            reader.piece = None
            yield archive, members


class Readable(Protocol):
    """A file that is read from its beginning to its end."""

    def read(self, size: int, /) -> bytes: ...


@contextmanager
def opened_unpacked(path: Path) -> Iterator[Readable]:
    """The contents of a file that is compressed by gzip, bzip2, xz or not at all.

    Raises:
        InvalidFile: for a size out of proportion, or damage, also where the body of the `with` meets it.
    """
    with refusing_damage(f"{path} is cut short or damaged; fetch it again"), _unpacked(path) as file:
        reader = _Reader(path, file)
        reader.piece = None
        yield reader


def _unpacked(path: Path) -> BufferedIOBase:
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(path)
    if start.startswith(b"BZh"):
        return bz2.open(path)
    return lzma.open(path) if start.startswith(b"\xfd7zXZ\0") else path.open("rb")


class _Reader:
    """The contents of a packed file, read in pieces of at most `piece` bytes and no further than is in proportion."""

    def __init__(self, path: Path, file: BufferedIOBase) -> None:
        self._path, self._file, self._packed = path, file, path.stat().st_size
        self.piece: int | None = HEADER_BYTES

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, position: int) -> int:
        _check_size(self._path, position, self._packed)
        return self._file.seek(position)

    def read(self, size: int) -> bytes:
        if self.piece is not None and size > self.piece:
            raise InvalidFile(f"{self._path}: a header of {size:,} bytes, at most {self.piece:,} are read")
        _check_size(self._path, self._file.tell() + size, self._packed)
        return self._file.read(size)


def _looked_over(path: Path, archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    members: list[tarfile.TarInfo] = []
    size = 0
    for count, member in enumerate(archive, 1):
        if count > MAX_IN_TAR:
            raise InvalidFile(f"{path} holds more than {MAX_IN_TAR:,} members, which are not read")
        if not (member.isfile() or member.isdir()) or member.issparse():
            raise InvalidFile(f"{path}: the member {member.name!r} is a link or a device, or has holes")
        size += member.size
        _check_size(path, size, path.stat().st_size)
        if member.isfile():
            members.append(member)
    _check_names(path, [member.name for member in members])
    return sorted(members, key=lambda member: member.name)


def _check_names(path: object, names: Sequence[str]) -> None:
    found: set[PurePosixPath] = set()
    for text in names:
        name = PurePosixPath(text.replace("\\", "/"))
        if not name.parts or name.is_absolute() or ".." in name.parts or ":" in name.parts[0] or "\0" in text:
            raise InvalidFile(f"{path}: the member {text!r} points outside of the archive")
        if name in found:
            raise InvalidFile(f"{path} holds two members of one name: {text!r}")
        found.add(name)
    for name in found:
        for above in name.parents:
            if above in found:
                raise InvalidFile(f"{path}: the member {str(above)!r} is a file, and {str(name)!r} would lie in it")


def _check_size(path: object, size: int, packed: int) -> None:
    if size > max(SMALL_BYTES, MAX_RATIO * packed):
        raise InvalidFile(f"{path} would expand from {packed:,} to {size:,} bytes")


def unpack_tar(path: Path, folder: Path, *, progress: Callable[[int, int], None]) -> None:
    """Unpacks the files of a tar archive, looked over first; all of them appear in `folder`, or none.

    Names that are there already are replaced. `progress` is told how many files of how many are unpacked.

    Raises:
        InvalidFile: as `opened_tar`.
        OSError: if the disk is full; nothing is left behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as name:
        temporary = Path(name)
        with opened_tar(path) as (archive, members):
            for i, member in enumerate(sorted(members, key=lambda m: m.offset)):  # xz cannot go back
                archive.extract(member, temporary, filter="data")
                progress(i + 1, len(members))
        for top in sorted(temporary.iterdir()):
            target = folder / top.name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            elif os.path.lexists(target):
                target.unlink()
            top.replace(target)
