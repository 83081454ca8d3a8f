"""Arrays in the idx format, as MNIST and the sets after it come: bytes behind a header of sizes."""

import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dxbench.errors import InvalidFile
from dxbench.files.archives import opened_unpacked

UNSIGNED_BYTES = 8


def read_idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The bytes of an idx file, packed or not, as an array of `shape`.

    The header is two zeros, the kind of number, how many axes there are, and the size of each as 4 bytes, the highest
    first. No more is read than an array of that shape takes.

    Raises:
        InvalidFile: if it is damaged, no idx file of bytes, or of another shape or length.
    """
    with opened_unpacked(path) as file:
        magic = file.read(4)
        if len(magic) < 4 or magic[:3] != bytes((0, 0, UNSIGNED_BYTES)):
            raise InvalidFile(f"{path} is no idx file of bytes: wants it to begin with 00 00 08, got {magic.hex(' ')}")
        sizes = file.read(4 * magic[3])
        if len(sizes) < 4 * magic[3]:
            raise InvalidFile(f"{path} ends in its header; fetch it again")
        found = struct.unpack(f">{magic[3]}I", sizes)
        if found != shape:
            raise InvalidFile(f"{path}: wants {list(shape)}, its header says {list(found)}")
        wanted = math.prod(shape)
        content = file.read(wanted + 1)
    if len(content) != wanted:
        got = "more" if len(content) > wanted else f"{len(content):,}"
        raise InvalidFile(f"{path}: wants {wanted:,} bytes behind its header, got {got}; fetch it again")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
