"""Arrays in the idx format: read whole, packed or not, and refused with what was wanted."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from dxbench.errors import InvalidFile
from dxbench.readers.idx import read_idx

ARRAY = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)


def idx(array: np.ndarray = ARRAY, *, magic: bytes = b"\0\0\x08") -> bytes:
    return magic + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_the_array_of_a_file(tmp_path: Path, pack) -> None:
    assert np.array_equal(read_idx(write(tmp_path / "a", pack(idx())), (4, 3, 2)), ARRAY)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(magic=b"\0\0\x0d"), r"no idx file of bytes: wants it to begin with 00 00 08, got 00 00 0d 03"),
        (b"<html>not found</html>", "no idx file of bytes"),
        (b"", "no idx file of bytes"),
        (idx()[:9], "ends in its header"),
        (idx(ARRAY[:3]), r"wants \[4, 3, 2\], its header says \[3, 3, 2\]"),
        (idx(ARRAY.reshape(-1)), r"wants \[4, 3, 2\], its header says \[24\]"),
        (idx()[:-1], "wants 24 bytes behind its header, got 23"),
        (idx() + b"\0", "wants 24 bytes behind its header, got more"),
    ],
    ids=["kind", "page", "empty", "header", "shape", "axes", "short", "long"],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_what_does_not_fit_is_named(tmp_path: Path, content: bytes, message: str, pack) -> None:
    with pytest.raises(InvalidFile, match=message):
        read_idx(write(tmp_path / "a", pack(content)), (4, 3, 2))


@pytest.mark.parametrize("damage", [lambda packed: packed[:-6], lambda packed: packed[:-8] + bytes(8)])
def test_a_damaged_gzip_is_refused(tmp_path: Path, damage) -> None:
    path = write(tmp_path / "a.gz", damage(gzip.compress(idx())))
    with pytest.raises(InvalidFile, match=r"a\.gz is cut short or damaged"):
        read_idx(path, (4, 3, 2))


def test_a_bomb_is_read_no_further_than_the_array(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gz", gzip.compress(idx() + bytes(200 << 20), 1))
    with pytest.raises(InvalidFile, match="got more"):
        read_idx(path, (4, 3, 2))
