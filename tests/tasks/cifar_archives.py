"""Archives of the form of CIFAR-10's, with few images, as Python 2 pickled them."""

import io
import struct
import tarfile
from pathlib import Path

import numpy as np


def py2_text(content: bytes) -> bytes:
    """Opcodes of a Python 2 string."""
    return (
        b"U" + bytes([len(content)]) + content
        if len(content) < 256
        else b"T" + struct.pack("<i", len(content)) + content
    )


def integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def array(data: np.ndarray, *, kind: bytes = b"u1", module: bytes = b"numpy.core.multiarray") -> bytes:
    """Opcodes that rebuild a uint8 array."""
    dtype = b"cnumpy\ndtype\n" + py2_text(kind) + integer(0) + integer(1) + b"\x87R"
    dtype += b"(" + integer(3) + py2_text(b"|") + b"NNN" + integer(-1) + integer(-1) + integer(0) + b"tb"
    shape = b"(" + b"".join(map(integer, data.shape)) + b"t"
    head = b"c" + module + b"\n_reconstruct\ncnumpy\nndarray\n" + integer(0) + b"\x85" + py2_text(b"b") + b"\x87R"
    return head + b"(" + integer(1) + shape + dtype + b"\x89" + py2_text(data.tobytes()) + b"tb"


def batch(data: bytes, labels: list[int]) -> bytes:
    items = py2_text(b"data") + data + py2_text(b"labels") + b"](" + b"".join(map(integer, labels)) + b"e"
    return b"\x80\x02}(" + items + py2_text(b"batch_label") + py2_text(b"a batch") + b"u."


def write_archive(path: Path, batches: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in batches.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path
