"""Looking an archive over before it is used."""

import stat
import zipfile
from pathlib import Path, PurePosixPath

from dxbench.errors import InvalidFile

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
    if len(members) > MAX_MEMBERS:
        raise InvalidFile(f"{path} holds {len(members):,} files, at most {MAX_MEMBERS:,} are read")
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise InvalidFile(f"{path}: the member {member.filename!r} points outside of the archive")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise InvalidFile(f"{path}: the member {member.filename!r} is a link")
        if member.flag_bits & 0x1:
            raise InvalidFile(f"{path}: the member {member.filename!r} is encrypted")
    if len({member.filename for member in members}) < len(members):
        raise InvalidFile(f"{path} holds two members of one name")
    size, packed = sum(m.file_size for m in members), sum(m.compress_size for m in members)
    if size > max(SMALL_BYTES, MAX_RATIO * packed):
        raise InvalidFile(f"{path} would expand from {packed:,} to {size:,} bytes")
    return sorted(members, key=lambda member: member.filename)
