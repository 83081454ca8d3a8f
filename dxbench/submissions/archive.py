"""Reading a zip file from a stranger: nothing is unpacked to disk, nothing unpickled, sizes are bounded."""

import io
import math
import re
import stat
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.lib import format as npy

from dxbench.errors import InvalidFile, MissingData
from dxbench.submissions.defects import Defect
from dxbench.submissions.manifest import MANIFEST, NAME

MEBIBYTE = 1 << 20
LIMITS = {MANIFEST: 8 * MEBIBYTE, "records": MEBIBYTE, "samples": 1024 * MEBIBYTE}
"""Of one member; records of the suite itself have some 40 kB, and samples are held against their task besides."""
TEXT_LIMIT = 64 * MEBIBYTE
"""Of the manifest and all records together."""
MEMBER_LIMIT = 2001
DIRECTORY_LIMIT = MEMBER_LIMIT * 512
"""Bytes of a zip file's table of contents, all of which is read at once."""
RATIO_LIMIT = 200
"""Text that expands more is a bomb."""
NODE_LIMIT = 500_000
"""Values in all JSON texts together, each of which takes a hundred times its one byte when it is read; a record of the
suite itself has two thousand."""

_TAIL = (1 << 16) + 4096
"""Bytes at the end of a zip file that its end records lie in: a comment has at most 64 KiB."""
_END, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x07"
_NPY_HEADER = 4096

_KNOWN = re.compile(rf"manifest\.json|records/(?P<record>{NAME[1:-1]})\.json|samples/(?P<samples>{NAME[1:-1]})\.npy")


class Archive:
    """A bundle opened for reading; what is wrong with it as a zip file is in `defects`.

    Raises:
        MissingData: if there is no such file.
        InvalidFile: if it is no readable zip file.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise MissingData(f"no file {path}; `dxbench submit` writes a bundle")
        _check_directory(path)
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise InvalidFile(f"not a readable zip file ({error}); it may be cut short, send it again") from None
        self.defects: list[Defect] = []
        self._members: dict[str, zipfile.ZipInfo] = {}
        self._nodes = 0
        self._look_at(self._zip.infolist())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    @property
    def names(self) -> set[str]:
        """Members that are safe to read."""
        return set(self._members)

    def read_text(self, name: str) -> bytes:
        """The bytes of a JSON text, which with those read before has no more values than may be read.

        Raises:
            InvalidFile: as `read`, or if there are more.
        """
        text = self.read(name)
        nodes = self._nodes + sum(text.count(mark) for mark in (b",", b"[", b"{"))
        if nodes > NODE_LIMIT:
            raise InvalidFile(f"{nodes:,} values with what was read before, at most {NODE_LIMIT:,} are read")
        self._nodes = nodes
        return text

    def require_size(self, name: str, *, at_most: int) -> None:
        """Raises InvalidFile for a member, if it is there, of more bytes than that."""
        if name in self._members and (size := self._members[name].file_size) > at_most:
            raise InvalidFile(f"{name} would have {size:,} bytes, wanted at most {at_most:,}")

    def read(self, name: str, *, at_most: int = LIMITS["samples"]) -> bytes:
        """A member's bytes.

        Raises:
            InvalidFile: if it is not there, damaged, or longer than it says or than `at_most`.
        """
        if name not in self._members:
            raise InvalidFile("not in the bundle")
        self.require_size(name, at_most=at_most)
        info = self._members[name]
        try:
            with self._zip.open(info) as file:
                data = file.read(info.file_size + 1)
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
            raise InvalidFile(f"damaged ({error})") from None
        except Exception as error:  # zlib and lzma have errors of their own
            raise InvalidFile(f"damaged ({type(error).__name__}: {error})") from None
        if len(data) != info.file_size:
            raise InvalidFile(f"{len(data):,} bytes, where the zip file says {info.file_size:,}")
        return data

    def _look_at(self, infos: list[zipfile.ZipInfo]) -> None:
        text = sum(info.file_size for info in infos if not info.filename.startswith("samples/"))
        if len(infos) > MEMBER_LIMIT or text > TEXT_LIMIT:
            self._refuse(
                "bundle",
                f"{len(infos):,} members with {text / MEBIBYTE:,.0f} MiB of text together; "
                f"at most {MEMBER_LIMIT:,} with {TEXT_LIMIT / MEBIBYTE:,.0f} MiB are read",
            )
            return
        for info in infos:
            problem = self._problem(info)
            if problem is None:
                self._members[info.filename] = info
            else:
                self._refuse(ascii(info.orig_filename)[1:-1][:120], problem)

    def _problem(self, info: zipfile.ZipInfo) -> str | None:
        """The reason why a member must not be read, or None."""
        name = info.orig_filename
        if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
            return "an absolute path"
        if ".." in re.split(r"[/\\]", name):
            return "a path that leaves the bundle"
        if stat.S_ISLNK(info.external_attr >> 16):
            return "a symbolic link"
        if info.flag_bits & 0x1:
            return "encrypted"
        if not _KNOWN.fullmatch(name) or name != info.filename:
            return f"no member of a bundle, which has {MANIFEST}, records/<run>.json and samples/<run>.npy"
        if name in self._members:
            return "twice in the bundle"
        kind = name.split("/")[0]
        if info.file_size > LIMITS[kind]:
            return f"{info.file_size / MEBIBYTE:,.1f} MiB unpacked, at most {LIMITS[kind] / MEBIBYTE:,.0f} are read"
        if kind != "samples" and info.file_size > RATIO_LIMIT * max(info.compress_size, 1):
            return f"expands from {info.compress_size:,} to {info.file_size:,} bytes, more than {RATIO_LIMIT} times"
        return None

    def _refuse(self, where: str, problem: str) -> None:
        self.defects.append(Defect(where=where, problem=problem, remedy="Pack the bundle with `dxbench submit`."))


def npy_bytes(array: np.ndarray) -> bytes:
    """`array` as the text of an .npy file."""
    buffer = io.BytesIO()
    npy.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _check_directory(path: Path) -> None:
    """Refuse a zip file whose table of contents would fill the memory, before it is read.

    Raises:
        InvalidFile: for one that says it has more than `DIRECTORY_LIMIT` bytes, or is too large for the plain format.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        tail = file.read()
    # APPNOTE.TXT 6.3.10, 4.3.15 and 4.3.16; `zipfile` takes the last of these marks, or the one without a comment.
    for end in {tail.rfind(_END), len(tail) - 22}:
        if end < 0 or tail[end : end + 4] != _END:
            continue
        size = int.from_bytes(tail[end + 12 : end + 16], "little")
        if size > DIRECTORY_LIMIT:
            raise InvalidFile(f"a table of contents of {size:,} bytes, at most {DIRECTORY_LIMIT:,} are read")
        if tail[max(0, end - 20) : end].startswith(_LOCATOR_64):
            raise InvalidFile("4 GiB or more; fewer seeds in a bundle make it smaller")


def npy_limit(dtype: str, shape: tuple[int, ...]) -> int:
    """The most bytes that the text of such an .npy file has."""
    return np.dtype(dtype).itemsize * math.prod(shape) + _NPY_HEADER


def parse_npy(data: bytes, *, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array of an .npy file, whose header is held against what is wanted before anything is allocated.

    Raises:
        InvalidFile: if it is no such file, of another type, shape or length, or holds values that are not finite.
    """
    file = io.BytesIO(data)
    try:
        version = npy.read_magic(file)
        found_shape, fortran, found_dtype = npy.read_array_header_1_0(file)
    except Exception as error:  # NumPy's header parser lets errors of the tokenizer through
        raise InvalidFile(f"not a readable npy file ({error})") from None
    if version != (1, 0):
        raise InvalidFile(f"npy version {version}, wanted (1, 0)")
    if found_dtype.hasobject:
        raise InvalidFile("holds pickled objects, which are never read")
    if fortran or found_dtype.str != dtype or found_shape != shape:
        raise InvalidFile(f"holds {found_dtype.str} of shape {list(found_shape)}, wanted {dtype} of {list(shape)}")
    body = memoryview(data)[file.tell() :]
    if len(body) != found_dtype.itemsize * math.prod(shape):
        raise InvalidFile(f"{len(body):,} bytes of data do not fill shape {list(shape)} of {dtype}")
    array = np.frombuffer(body, dtype=found_dtype).reshape(shape)
    bad = 0 if found_dtype.kind == "u" else int((~np.isfinite(array.reshape(len(array), -1)).all(axis=1)).sum())
    if bad:
        raise InvalidFile(f"{bad:,} of {len(array):,} samples are not finite")
    return array
