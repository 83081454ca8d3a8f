"""Looking an archive over before it is used, and unpacking one."""

import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from dxbench.errors import InvalidFile

DAMAGE = (
    OSError, EOFError, ValueError, RuntimeError, MemoryError, SyntaxError,
    zipfile.BadZipFile, zipfile.LargeZipFile, tarfile.TarError, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What the standard library and NumPy raise for archives and arrays that are cut short, damaged or made to harm."""
MAX_MEMBERS = 5_000_000
MAX_RATIO = 200
"""Larger expansion is a bomb, once it comes to more than `SMALL_BYTES`."""
SMALL_BYTES = 1 << 30


def check_archive(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of a zip archive (an npz is one), in the order of their names.

    Raises:
        InvalidFile: for names that leave the archive, links, encryption, duplicates, or sizes out of proportion.
    """
    members = [member for member in archive.infolist() if not member.is_dir()]
    for member in members:
        if stat.S_ISLNK(member.external_attr >> 16):
            raise InvalidFile(f"{path}: the member {member.filename!r} is a link")
        if member.flag_bits & 0x1:
            raise InvalidFile(f"{path}: the member {member.filename!r} is encrypted")
    size, packed = sum(m.file_size for m in members), sum(m.compress_size for m in members)
    _check_names_and_sizes(path, [member.filename for member in members], size, packed)
    return sorted(members, key=lambda member: member.filename)


def check_tar(path: Path, archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """The files of a tar archive, in the order of their names.

    Raises:
        InvalidFile: for names that leave the archive, members that are neither files nor folders, duplicates, or sizes
            out of proportion.
    """
    try:
        every = archive.getmembers()
    except DAMAGE as error:
        raise InvalidFile(f"{path} is cut short or no tar archive ({error}); fetch it again") from None
    for member in every:
        if not (member.isfile() or member.isdir()):
            raise InvalidFile(f"{path}: the member {member.name!r} is a link or a device")
    members = [member for member in every if member.isfile()]
    size = sum(member.size for member in members)
    _check_names_and_sizes(path, [member.name for member in members], size, path.stat().st_size)
    return sorted(members, key=lambda member: member.name)


def _check_names_and_sizes(path: Path, names: Sequence[str], size: int, packed: int) -> None:
    if len(names) > MAX_MEMBERS:
        raise InvalidFile(f"{path} holds {len(names):,} files, at most {MAX_MEMBERS:,} are read")
    for text in names:
        name = PurePosixPath(text.replace("\\", "/"))
        if not name.parts or name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise InvalidFile(f"{path}: the member {text!r} points outside of the archive")
    if len(set(names)) < len(names):
        raise InvalidFile(f"{path} holds two members of one name")
    if size > max(SMALL_BYTES, MAX_RATIO * packed):
        raise InvalidFile(f"{path} would expand from {packed:,} to {size:,} bytes")


def unpack_tar(path: Path, folder: Path, *, progress: Callable[[int, int], None]) -> None:
    """Unpacks the files of a tar archive, looked over first; all of them appear in `folder`, or none.

    Names that are there already are replaced. `progress` is told how many files of how many are unpacked.

    Raises:
        InvalidFile: as `check_tar`.
        OSError: if the disk is full; nothing is left behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as name:
        temporary = Path(name)
        try:
            with tarfile.open(path) as archive:
                members = check_tar(path, archive)
                for i, member in enumerate(sorted(members, key=lambda m: m.offset)):  # xz cannot go back
                    archive.extract(member, temporary, filter="data")
                    progress(i + 1, len(members))
        except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error) as error:
            raise InvalidFile(f"{path} is cut short or no tar archive ({error}); fetch it again") from None
        for top in sorted(temporary.iterdir()):
            target = folder / top.name
            if target.is_dir():
                shutil.rmtree(target)
            top.replace(target)
