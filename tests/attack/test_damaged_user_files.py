"""Files that users are handed: damaged, forged and made to harm. They are read or refused; nothing else happens."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import bombs
from hostile import TEXTS, attack, bent, damaged, json_bytes

from dxbench.errors import DxbenchError
from dxbench.features.sets import read_set
from dxbench.files import weights
from dxbench.files.archives import unpack_tar
from dxbench.files.images import PHOTOS, read_image
from dxbench.files.unpickling import read_batch
from dxbench.readers import read_samples, read_statistics

pytestmark = pytest.mark.attack

SECONDS = 20
"""No file of these takes that long."""
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
SENTINEL = "executed"


class Hangs(BaseException):
    """Nothing catches it but the test."""


_WATCHED: list[tuple[Path, list[str]]] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    """Notes what no reader has any business with: processes, connections, files written elsewhere."""
    if not _WATCHED:
        return
    folder, seen = _WATCHED[-1]
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect"):
        seen.append(f"{event} {arguments}")
    written = (
        event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    )
    if written or event in ("os.mkdir", "os.rename", "os.symlink", "os.link"):
        for place in arguments[: 2 if event in ("os.rename", "os.symlink", "os.link") else 1]:
            if isinstance(place, str | bytes | os.PathLike):
                path = os.path.abspath(os.fsdecode(place))  # noqa: PTH100 - of what is a path or none
                if not f"{path}/".startswith(f"{folder}/") and path != "/dev/null":
                    seen.append(f"{event} {path}")


sys.addaudithook(_hook)


@contextmanager
def watched(folder: Path) -> Iterator[None]:
    seen: list[str] = []

    def stop(*_: object) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    tempfile.tempdir = str(folder)  # torch makes a folder there before it refuses its oldest format
    _WATCHED.append((folder, seen))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _WATCHED.pop()
        tempfile.tempdir = None
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen == []


def faults(read: Callable[[Path], object], folder: Path, name: str, content: bytes) -> list[str]:
    """What is wrong with the way a file is read: it is read, or refused in a sentence, and nothing else happens."""
    path = folder / name
    path.write_bytes(content)
    found: list[str] = []
    with watched(folder):
        try:
            read(path)
        except DxbenchError as error:
            if not str(error).strip():
                found.append("refused without a word")
            if int(error.exit_code) not in (2, 5, 7):
                found.append(f"refused with exit code {int(error.exit_code)}: {error}")
    return found + ["what it holds was executed"] * (folder / SENTINEL).exists()


def to_bytes(write: Callable[[io.BytesIO], object]) -> bytes:
    out = io.BytesIO()
    write(out)
    return out.getvalue()


# --- arrays ---------------------------------------------------------------------------------------------------

SHAPES = st.one_of(
    st.sampled_from(
        ["()", "(3, 2)", "(-1,)", "(-1, 2)", f"({10**12},)", f"({2**63}, 2)", f"({10**30}, 0)", "(0, 2)", "(3, 2.0)"]
    ),
    st.sampled_from(["(True, 2)", "((3,), 2)", "3", "[3, 2]", "None", "(3, 2" + ", 1" * 70 + ")", "(1e999,)", "{}"]),
    st.lists(st.integers(-3, 2**40), max_size=4).map(lambda sizes: repr(tuple(sizes))),
)
TYPES = st.one_of(
    st.sampled_from(["'<f8'", "'|u1'", "'|O'", "'<U1000000'", "'S0'", "'V0'", "'|V999999999'", "'<M8[s]'", "'<c16'"]),
    st.sampled_from(["[('a', '<f8')]", "[('a', 'O')]", "[('', '')]", "('<f8', (9, 9))", "'<f16'", "'>i8'", "'?'"]),
    st.sampled_from(["'f8,f8'", "None", "'<f8\\x00'", "{'names': ['a'], 'formats': ['O']}", "'O8'", "'m8'"]),
)
HEADERS = st.one_of(
    st.builds(
        lambda kind, shape, order: f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}",
        TYPES,
        SHAPES,
        st.sampled_from(["False", "True", "0", "'a'", "None"]),
    ),
    st.sampled_from(
        ["(((" * 3000, "-" * 9000 + "1", "{" * 9000, "[" * 500 + "]" * 500, "1" * 9000, "'" * 9999, "\\" * 99]
    ),
    st.sampled_from(
        ["__import__('os').mkdir('executed')", "{'descr': open('executed', 'w')}", "L" * 50, "3L", "\0", ""]
    ),
    TEXTS.filter(lambda text: len(text) < 60_000),
)


@st.composite
def arrays(draw: st.DrawFn) -> bytes:
    """An npy file whose header says anything."""
    header = draw(HEADERS).encode("utf-8", "surrogatepass") + b"\n"
    version = draw(st.sampled_from([(1, 0), (2, 0), (3, 0), (9, 9)]))
    length = draw(st.sampled_from([len(header), 0, 0xFFFF, len(header) + 5]))
    size = struct.pack("<H" if version == (1, 0) else "<I", length & (0xFFFF if version == (1, 0) else 0xFFFFFFFF))
    return b"\x93NUMPY" + bytes(version) + size + header + draw(st.binary(max_size=64))


SOUND_NPY = [
    to_bytes(lambda out: np.save(out, np.arange(6.0).reshape(3, 2))),
    to_bytes(lambda out: np.save(out, PIXELS)),
    to_bytes(lambda out: np.save(out, np.array([{}], dtype=object), allow_pickle=True)),
]
SOUND_NPZ = [
    to_bytes(lambda out: np.savez(out, samples=np.arange(6.0).reshape(3, 2))),
    to_bytes(lambda out: np.savez_compressed(out, PIXELS, np.arange(2))),
    to_bytes(
        lambda out: np.savez(out, mu=np.zeros(3), sigma=np.eye(3), mu_s=np.zeros(2), sigma_s=np.eye(2), arr_0=PIXELS)
    ),
]


def read_as_anything(path: Path) -> None:
    """By every reader that `dxbench eval` has; the last one's word counts."""
    for read in (
        lambda: read_samples(path, (2,)),
        lambda: read_samples(path, (3, 8, 8), num_classes=10),
        lambda: read_samples(path, (3, 8, 8), image_bytes=False),
        lambda: read_statistics(path),
    ):
        try:
            read()
        except DxbenchError:
            continue
    read_set(path)


@attack(1500)
@given(content=st.one_of(arrays(), st.sampled_from(SOUND_NPY).flatmap(damaged)))
def test_npy(tmp_path: Path, content: bytes):
    assert faults(read_as_anything, tmp_path, "a.npy", content) == []


NAMES = st.one_of(
    st.sampled_from(
        ["arr_0.npy", "samples.npy", "mu.npy", "sigma.npy", "arr_0", "a.png", "00000/img0.png", "b.png", ".png"]
    ),
    st.sampled_from(
        ["../executed", "/tmp/executed", "a/../../b.png", "a.png/b.png", "C:\\a.png", "a\\..\\b.png", "x/"]
    ),
    st.sampled_from(
        ["\x1b[31m.png", "a\n.png", "\u202egnp.exe", "a" * 3000 + ".png", "__MACOSX/._a.png", "a//b.png", "./a"]
    ),
)
CONTENTS = st.one_of(
    st.just(SOUND_NPY[0]),
    arrays(),
    st.binary(max_size=50),
    st.sampled_from([bytes(1 << 20), to_bytes(lambda out: Image.fromarray(PIXELS[0]).save(out, "PNG"))]),
)


@st.composite
def zips(draw: st.DrawFn) -> bytes:
    """An archive with odd names, kinds and sizes."""
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")
        for name in draw(st.lists(NAMES, min_size=1, max_size=4)):
            info = zipfile.ZipInfo(name)
            info.compress_type = draw(st.sampled_from([0, 8, 8, 12, 14]))
            info.external_attr = draw(st.sampled_from([0, 0o100644 << 16, 0o120777 << 16, 0o20666 << 16]))
            archive.writestr(info, draw(CONTENTS))
        for info in archive.infolist():  # what the directory says need not be so
            info.file_size = draw(st.sampled_from([info.file_size, info.file_size, 0, 1, 2**32 - 2, 2**40]))
            info.compress_size = draw(st.sampled_from([info.compress_size, info.compress_size, 0, 2**31]))
            info.header_offset = draw(st.sampled_from([info.header_offset, info.header_offset, 0, 2**20]))
            info.flag_bits ^= draw(st.sampled_from([0, 0, 0, 1, 8, 0x20, 0x40, 0x800]))
            info.compress_type = draw(st.sampled_from([info.compress_type, info.compress_type, 0, 8, 99]))
        archive.comment = draw(st.binary(max_size=20))
    return out.getvalue()


@attack(2500)
@given(content=st.one_of(zips(), zips().flatmap(damaged), st.sampled_from(SOUND_NPZ).flatmap(damaged)))
def test_npz_and_zip(tmp_path: Path, content: bytes):
    assert faults(read_as_anything, tmp_path, "a.npz", content) == []


# --- tar ------------------------------------------------------------------------------------------------------

PACKERS: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, bz2.compress, lzma.compress]


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    """An archive whose headers have right checksums and say anything."""
    out = io.BytesIO()
    for _ in range(draw(st.integers(1, 4))):
        info = tarfile.TarInfo(draw(st.one_of(NAMES, st.sampled_from(["a", "a/b", "a/b/c", "a/", ".", ""]))))
        info.type = draw(
            st.sampled_from([b"0", b"0", b"0", b"5", b"2", b"1", b"3", b"6", b"L", b"K", b"x", b"g", b"S", b"7", b"Z"])
        )
        info.linkname = draw(st.sampled_from(["", "/etc/passwd", "../..", "a"]))
        info.mode = draw(st.sampled_from([0o644, 0o6777, 0]))
        body = draw(
            st.one_of(
                st.binary(max_size=600),
                st.sampled_from([b"20 path=../executed\n", b"30 size=99999999999999999\n", b"9" * 520]),
            )
        )
        info.size = draw(st.sampled_from([len(body), len(body), len(body), 0, 1, 2**33, 2**62, 511]))
        kind = draw(st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
        try:
            out.write(info.tobuf(kind, "utf-8", "surrogateescape"))
        except ValueError:
            out.write(tarfile.TarInfo("a").tobuf())
        out.write(body + bytes(-len(body) % 512))
    return out.getvalue() + bytes(draw(st.sampled_from([1024, 0, 100])))


def unpack(path: Path) -> None:
    target = path.parent / "unpacked"
    try:
        unpack_tar(path, target, progress=lambda done, total: None)
    except DxbenchError:
        assert list(target.iterdir()) == []
        raise
    assert not any(found.is_symlink() for found in target.rglob("*"))
    shutil.rmtree(target)


@attack(1500)
@given(content=tars(), packer=st.sampled_from(PACKERS), damage=st.booleans(), data=st.data())
def test_tar(tmp_path: Path, content: bytes, packer: Callable[[bytes], bytes], damage: bool, data: st.DataObject):
    packed = packer(content)
    assert faults(unpack, tmp_path, "a.tar", data.draw(damaged(packed)) if damage else packed) == []


# --- weights --------------------------------------------------------------------------------------------------

SAFE = safetensors.numpy.save({"a": np.arange(6.0).reshape(3, 2), "b": np.zeros(3, np.float16)})
SAFE_HEADER = json.loads(SAFE[8 : 8 + struct.unpack("<Q", SAFE[:8])[0]])


@st.composite
def tensors(draw: st.DrawFn) -> bytes:
    header = json_bytes(draw(bent(SAFE_HEADER)))
    length = draw(st.sampled_from([len(header), len(header), len(header), 0, 2**63, 2**40, len(header) + 3]))
    return struct.pack("<Q", length) + header + draw(st.sampled_from([bytes(54), bytes(8), b""]))


def convert(path: Path) -> None:
    weights.convert(path, path.with_name("out.safetensors"), lambda state: dict(state))


@attack(1000)
@given(content=st.one_of(tensors(), damaged(SAFE)))
def test_safetensors(tmp_path: Path, content: bytes):
    assert faults(convert, tmp_path, "a.safetensors", content) == []


TORCH = to_bytes(
    lambda out: torch.save({"state_dict": {"module.a": torch.arange(6.0), "module.b": torch.zeros(2, 2)}}, out)
)
TORCH_OLD = to_bytes(lambda out: torch.save({"a": torch.arange(6.0)}, out, _use_new_zipfile_serialization=False))
EDM = pickle.dumps({"ema": torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)), "G": 1})
BATCH = pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1]}, protocol=2)
GLOBALS = st.sampled_from(
    [
        b"cos\nmkdir\n",
        b"cposix\nsystem\n",
        b"cbuiltins\neval\n",
        b"cbuiltins\nset\n",
        b"ccollections\nOrderedDict\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch.nn.modules.linear\nLinear\n",
        b"ctorch.storage\n_load_from_bytes\n",
        b"ctorch\nFloatStorage\n",
        b"ctorch._utils\n_rebuild_parameter\n",
        b"cnumpy.core.multiarray\nscalar\n",
        b"cnumpy.core.multiarray\n_reconstruct\n",
        b"cnumpy\nndarray\n",
        b"cnumpy\ndtype\n",
        b"c_codecs\nencode\n",
        b"cdnnlib.util\nEasyDict\n",
        b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n",
        b"ctorch\ndevice\n",
    ]
)
STEPS = st.one_of(
    GLOBALS,
    st.sampled_from(
        [b"(", b")", b"]", b"}", b"l", b"d", b"t", b"0", b"1", b"2", b"a", b"e", b"s", b"u", b"N", b"\x85", b"\x86"]
    ),
    st.sampled_from(
        [b"R", b"R", b"b", b"o", b"\x81", b"\x92", b"Q", b"\x93", b"\x8f", b"\x90", b"\x91", b"\x94", b"\x88", b"P1\n"]
    ),
    st.sampled_from(
        [b"q\x00", b"h\x00", b"q\x01", b"h\x01", b"r\xff\xff\xff\x7f", b"p99999999\n", b"j\xff\xff\xff\x7f", b"g5\n"]
    ),
    st.sampled_from(
        [
            b"K\x05",
            b"J\xff\xff\xff\x7f",
            b"I99999999999999\n",
            b"\x8b\x04\x00\x00\x00\x01\x02\x03\x04",
            b"L" + b"9" * 50 + b"L\n",
        ]
    ),
    st.sampled_from(
        [
            b"X\x08\x00\x00\x00executed",
            b"X\x03\x00\x00\x00ema",
            b"U\x05samme",
            b"B\xff\xff\xff\x7f",
            b"\x8e" + b"\xff" * 7 + b"\x0f",
        ]
    ),
    st.sampled_from(
        [
            b"X\x0b\x00\x00\x00_parameters",
            b"X\x08\x00\x00\x00_modules",
            b"X\x07\x00\x00\x00storage",
            b"\x95" + b"\xff" * 8,
            b".",
        ]
    ),
)
PROGRAMS = st.builds(
    lambda start, steps, end: start + b"".join(steps) + end,
    st.sampled_from(
        [b"\x80\x02", b"\x80\x04", b"\x80\x02}X\x03\x00\x00\x00ema", b"\x80\x02}(X\x05\x00\x00\x00model", b""]
    ),
    st.lists(STEPS, max_size=25),
    st.sampled_from([b".", b"s.", b"u.", b""]),
)


def spliced(sound: bytes) -> st.SearchStrategy[bytes]:
    """With steps of a pickle put in at some place."""
    return st.builds(
        lambda at, steps: sound[:at] + b"".join(steps) + sound[at:],
        st.integers(0, len(sound)),
        st.lists(STEPS, min_size=1, max_size=4),
    )


def in_a_torch_file(program: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(TORCH)) as sound, zipfile.ZipFile(out, "w") as archive:
        for info in sound.infolist():
            archive.writestr(info.filename, program if info.filename.endswith("data.pkl") else sound.read(info))
    return out.getvalue()


@attack(1500)
@given(content=st.one_of(PROGRAMS, damaged(EDM), spliced(EDM)))
def test_pkl(tmp_path: Path, content: bytes):
    os.chdir(tmp_path)
    assert faults(convert, tmp_path, "a.pkl", content) == []


@attack(800)
@given(content=st.one_of(PROGRAMS, damaged(BATCH), spliced(BATCH)))
def test_batches_of_cifar(tmp_path: Path, content: bytes):
    os.chdir(tmp_path)

    def read(path: Path) -> None:
        with path.open("rb") as file:
            read_batch(file)

    assert faults(read, tmp_path, "a.bin", content) == []


@attack(1200)
@given(
    content=st.one_of(damaged(TORCH), damaged(TORCH_OLD), PROGRAMS.map(in_a_torch_file), PROGRAMS, spliced(TORCH_OLD))
)
def test_pt(tmp_path: Path, content: bytes):
    os.chdir(tmp_path)
    assert faults(convert, tmp_path, "a.pt", content) == []


# --- images ---------------------------------------------------------------------------------------------------


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


CHUNKS = st.one_of(
    st.builds(
        lambda width, height, depth, colour, rest: chunk(
            b"IHDR", struct.pack(">IIBB", width, height, depth, colour) + rest
        ),
        st.sampled_from([8, 0, 1, 2**31 - 1, 2**32 - 1, 60_000]),
        st.sampled_from([8, 0, 1, 2**31 - 1, 60_000]),
        st.sampled_from([8, 16, 1, 2, 4, 0, 255]),
        st.sampled_from([2, 0, 3, 4, 6, 1, 255]),
        st.sampled_from([b"\0\0\0", b"\0\0\1", b"\1\1\1", b"", b"\0\0\0\0"]),
    ),
    st.builds(
        lambda kind, body: chunk(kind, body),
        st.sampled_from(
            [
                b"IDAT",
                b"IDAT",
                b"PLTE",
                b"tRNS",
                b"zTXt",
                b"iCCP",
                b"iTXt",
                b"tEXt",
                b"acTL",
                b"fcTL",
                b"fdAT",
                b"eXIf",
                b"gAMA",
                b"pHYs",
                b"cHRM",
                b"sRGB",
                b"IEND",
                b"\0\0\0\0",
            ]
        ),
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [zlib.compress(bytes(200)), b"a\0\0" + zlib.compress(bytes(1 << 24)), zlib.compress(bytes(1 << 24))]
            ),
        ),
    ),
)
PNGS = st.lists(CHUNKS, min_size=1, max_size=6).map(lambda chunks: b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
SOUND_IMAGES = [
    to_bytes(lambda out, kind=kind: Image.fromarray(PIXELS[0]).save(out, kind))
    for kind in ("PNG", "JPEG", "WEBP", "TIFF", "GIF")
]


@attack(2000)
@given(content=st.one_of(PNGS, PNGS.flatmap(damaged), st.sampled_from(SOUND_IMAGES).flatmap(damaged)))
def test_images(tmp_path: Path, content: bytes):
    assert faults(lambda path: read_image(path, PHOTOS), tmp_path, "a.png", content) == []
    folder = tmp_path / "images"
    folder.mkdir(exist_ok=True)
    assert faults(lambda path: read_set(path.parent), folder, "a.png", content) == []


# --- bombs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", bombs.WRITERS)
def test_a_bomb_of_a_gigabyte_is_refused_in_little_memory(tmp_path: Path, name: str):
    reader, write = bombs.WRITERS[name]
    path = tmp_path / f"bomb{bombs.SUFFIXES[reader]}"
    write(path)
    assert path.stat().st_size < 8 << 20
    ended = subprocess.run(
        [sys.executable, bombs.__file__, reader, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    code, held, *_ = ended.stdout.split()
    assert (code, ended.stderr) == ("5", "")
    assert int(held) < bombs.MEMORY
    assert {left.name for left in tmp_path.iterdir()} <= {path.name, "unpacked"}
    assert list(tmp_path.glob("unpacked/*")) == []
