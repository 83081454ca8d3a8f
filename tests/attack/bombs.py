"""Files of a megabyte or so that come to a gigabyte, and what reads them, in a process of its own."""

import bz2
import gzip
import importlib
import io
import lzma
import pickle
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

GIB = 1 << 30
CHUNK = 1 << 22


def zeros(total: int = GIB) -> Iterator[bytes]:
    for _ in range(total // CHUNK):
        yield bytes(CHUNK)


def npy_header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": dtype, "fortran_order": False, "shape": shape})
    return out.getvalue()


def liar(path: Path) -> None:
    """A header, and nothing behind it."""
    path.write_bytes(npy_header((GIB, 1024)))


def zip_bomb(path: Path, name: str, head: bytes = b"") -> None:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(name, "w") as member,
    ):
        member.write(head)
        for piece in zeros():
            member.write(piece)


def lying_zip_bomb(path: Path, name: str) -> None:
    """It says of itself that it unpacks to a hundred bytes."""
    zip_bomb(path, name)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", 100)
    path.write_bytes(data)


def packed_otherwise(path: Path, kind: int) -> None:
    """A start of it suffices: a kind that is not read is not read at any size."""
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("arr_0.npy", bytes(CHUNK))


def tar_start(size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo("big.bin")
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def compressed(path: Path, packed: Callable[[bytes], bytes], start: bytes) -> None:
    """As streams one behind the other, which unpack as one."""
    path.write_bytes(packed(start) + packed(bytes(CHUNK)) * (GIB // CHUNK))


def png_bomb(path: Path, side: int) -> None:
    """side x side pixels of RGB, all black."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer = zlib.compressobj()
    rows = b"".join([packer.compress(bytes(1 + 3 * side)) for _ in range(side)] + [packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def strided_pickle(path: Path) -> None:
    """One number, seen 10^12 times."""
    import torch

    class Forged:
        def __init__(self, call: object, *arguments: object) -> None:
            self.call, self.arguments = call, arguments

        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return self.call, self.arguments  # type: ignore[return-value]

    build, (storage, _, _, _, *rest) = torch.zeros(4).__reduce_ex__(4)[:2]
    module = torch.nn.Linear(1, 1)
    state = module.__dict__
    state["_parameters"] = {"weight": Forged(build, storage, 0, (10**12,), (0,), *rest)}
    path.write_bytes(pickle.dumps({"ema": module}))


def strided_torch(path: Path) -> None:
    import torch

    torch.save({"weight": torch.zeros(1).expand(10**12)}, path)


def deflated_torch(path: Path) -> None:
    """A file of torch whose storage is packed."""
    import torch

    torch.save({"weight": torch.zeros(4)}, path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    count = b"J" + (1 << 28).to_bytes(4, "little")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            if name.endswith("data/0"):
                with archive.open(name, "w") as member:
                    for piece in zeros():
                        member.write(piece)
            elif name.endswith("data.pkl"):
                content = content.replace(b"q\x06K\x04t", b"q\x06" + count + b"t")
                archive.writestr(name, content.replace(b"K\x04\x85", count + b"\x85"))
            else:
                archive.writestr(name, content)


def remembering_pickle(path: Path) -> None:
    """Python makes room for as many memories as it is told of."""
    path.write_bytes(b"\x80\x02}r\xff\xff\xff\x2f.")


WRITERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "npz": ("samples", lambda path: zip_bomb(path, "arr_0.npy", npy_header((GIB,)))),
    "npz that lies": ("samples", lambda path: lying_zip_bomb(path, "arr_0.npy")),
    "npz by bzip2": ("samples", lambda path: packed_otherwise(path, zipfile.ZIP_BZIP2)),
    "npz by lzma": ("samples", lambda path: packed_otherwise(path, zipfile.ZIP_LZMA)),
    "npy that lies": ("samples", liar),
    "zip of images": ("images", lambda path: zip_bomb(path, "a.png")),
    "zip of images that lies": ("images", lambda path: lying_zip_bomb(path, "a.png")),
    "set": ("set", lambda path: zip_bomb(path, "arr_0.npy", npy_header((GIB // 4, 4)))),
    "png": ("png", lambda path: png_bomb(path, 18_000)),
    "png below Pillow's limit": ("png", lambda path: png_bomb(path, 9_400)),
    "tar.gz": ("tar", lambda path: compressed(path, gzip.compress, tar_start(GIB))),
    "tar.bz2": ("tar", lambda path: compressed(path, bz2.compress, tar_start(GIB))),
    "tar.xz": ("tar", lambda path: compressed(path, lzma.compress, tar_start(GIB))),
    "tar.xz of a long name": (
        "tar",
        lambda path: compressed(path, lzma.compress, tar_start(GIB - 512, tarfile.GNUTYPE_LONGNAME)),
    ),
    "tar.gz of a long header": (
        "tar",
        lambda path: compressed(path, gzip.compress, tar_start(GIB - 512, tarfile.XHDTYPE)),
    ),
    "cifar tar.gz": ("cifar", lambda path: compressed(path, gzip.compress, tar_start(GIB))),
    "pkl": ("pkl", strided_pickle),
    "pkl of memories": ("pkl", remembering_pickle),
    "pt": ("pt", strided_torch),
    "pt that is packed": ("pt", deflated_torch),
}
"""By name: what reads it, and how it is made."""


def read(reader: str, path: Path) -> object:
    """As the command line would."""
    match reader:
        case "samples":
            from dxbench.readers import read_samples

            return read_samples(path, (2,))
        case "images":
            from dxbench.readers import read_samples

            return read_samples(path, (3, 8, 8))
        case "set":
            from dxbench.features.sets import read_set

            return read_set(path)
        case "png":
            from dxbench.files.images import read_image

            return read_image(path, (".png",))
        case "tar":
            from dxbench.files.archives import unpack_tar

            return unpack_tar(path, path.parent / "unpacked", progress=lambda done, total: None)
        case "cifar":
            from dxbench.tasks.image_data import read_cifar10

            return read_cifar10(path)
        case _:
            from dxbench.files import weights

            return weights.convert(path, path.with_suffix(".safetensors"), lambda state: dict(state))


SUFFIXES = {
    "samples": ".npz", "images": ".zip", "set": ".npz", "png": ".png", "tar": ".tar", "cifar": ".tar", "pkl": ".pkl",
    "pt": ".pt",
}  # fmt: skip
MEMORY = 64 << 20
"""Beside what the libraries take, which is some 550 MB where torch is among them."""


def peak() -> int:
    """Bytes that this process has held at once."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) << 10


if __name__ == "__main__":
    from dxbench.errors import DxbenchError

    name, path = sys.argv[1], Path(sys.argv[2])
    reading = {"set": "dxbench.features.sets", "cifar": "dxbench.tasks.image_data", "pkl": "torch", "pt": "torch"}
    importlib.import_module(reading.get(name, "dxbench.readers"))
    before = peak()
    try:
        read(name, path)
    except DxbenchError as error:
        sys.stdout.write(f"{int(error.exit_code)} {peak() - before} {error}\n")
