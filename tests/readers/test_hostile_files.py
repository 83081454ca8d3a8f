"""Files made to harm, one of each kind; tests/attack has them by the thousand."""

import io
import os
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dxbench.errors import InvalidFile, MissingData
from dxbench.features.sets import read_set
from dxbench.files import archives, weights
from dxbench.files import images as imagefiles
from dxbench.files.archives import opened_tar, unpack_tar
from dxbench.files.images import read_image
from dxbench.readers import load_arrays, read_samples
from dxbench.tasks.image_data import read_packed


def npy(header: str) -> bytes:
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


class TestArrays:
    @pytest.mark.parametrize(
        "header",
        [
            "(" * 3000,
            "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,), }",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2), }",
            "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        ],
        ids=["brackets", "a terabyte", "negative", "objects"],
    )
    def test_that_lie_are_refused_by_every_reader_before_they_take_memory(self, tmp_path: Path, header: str):
        (tmp_path / "a.npy").write_bytes(npy(header))
        np.save(tmp_path / "a_labels.npy", np.zeros(1, np.int64))
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("samples.npy", npy(header))
        for path in (tmp_path / "a.npy", tmp_path / "a.npz"):
            for read in (load_arrays, read_set, lambda path: read_samples(path, (2,))):
                with pytest.raises(InvalidFile, match=r"a\.np[yz]"):
                    read(path)
        with pytest.raises(InvalidFile, match=r"a\.npy"):
            read_packed(tmp_path / "a.npy", size=64, num_classes=10)

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path):
        os.mkfifo(tmp_path / "a.npz")
        for read in (load_arrays, read_set):
            with pytest.raises(MissingData):
                read(tmp_path / "a.npz")

    def test_an_archive_that_compresses_otherwise_is_refused(self, tmp_path: Path):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_BZIP2) as archive:
            archive.writestr("samples.npy", b"x")
        with pytest.raises(InvalidFile, match="neither stored nor deflated"):
            load_arrays(tmp_path / "a.npz")

    def test_a_member_that_unpacks_to_more_than_it_says_is_not_unpacked(self, tmp_path: Path):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.png", bytes(1 << 20))
        data = bytearray(path.read_bytes())
        at = data.rindex(b"PK\x01\x02") + 24
        data[at : at + 4] = struct.pack("<I", 100)
        path.write_bytes(data)
        with pytest.raises(InvalidFile, match=r"a\.zip"):
            read_samples(path, (3, 8, 8))


class TestTars:
    def write(self, path: Path, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
        with tarfile.open(path, "w:gz") as archive:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size, info.type = len(content), kind
                archive.addfile(info, io.BytesIO(content))
        return path

    @pytest.mark.parametrize("names", [("a/b", "a"), ("a", "a/b"), ("x/./y", "x/y"), ("x//y", "x/y")])
    def test_names_that_collide_are_refused(self, tmp_path: Path, names: tuple[str, str]):
        path = self.write(tmp_path / "a.tar.gz", dict.fromkeys(names, b"1"))
        with pytest.raises(InvalidFile, match=r"would lie in it|two members of one name"):
            unpack_tar(path, tmp_path / "to", progress=lambda done, total: None)
        assert list((tmp_path / "to").iterdir()) == []

    def test_a_header_of_any_length_is_not_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(archives, "HEADER_BYTES", 1000)
        path = self.write(tmp_path / "a.tar.gz", {"a": bytes(5000)}, tarfile.XHDTYPE)
        with pytest.raises(InvalidFile, match="a header of 5,120 bytes"), opened_tar(path):
            pass

    def test_what_is_out_of_proportion_is_not_unpacked_to_see_its_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(archives, "SMALL_BYTES", 10_000)
        path = self.write(tmp_path / "a.tar.gz", {"a": bytes(1_000_000)})
        with pytest.raises(InvalidFile, match="would expand from"), opened_tar(path):
            pass

    def test_links_in_the_way_are_replaced_and_not_followed(self, tmp_path: Path):
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "mine").write_text("kept")
        (tmp_path / "to").mkdir()
        (tmp_path / "to" / "a").symlink_to(tmp_path / "elsewhere")
        path = self.write(tmp_path / "a.tar.gz", {"a/b": b"1"})
        unpack_tar(path, tmp_path / "to", progress=lambda done, total: None)
        assert (tmp_path / "to" / "a" / "b").read_bytes() == b"1"
        assert (tmp_path / "elsewhere" / "mine").read_text() == "kept"


class Forged:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


class TestWeights:
    def test_one_number_seen_for_ever_is_no_weight(self, tmp_path: Path):
        build, (storage, _, _, _, *rest) = torch.zeros(4).__reduce_ex__(4)[:2]
        module = torch.nn.Linear(1, 1)
        module.__dict__["_parameters"] = {"weight": Forged(build, storage, 0, (10**12,), (0,), *rest)}
        (tmp_path / "w.pkl").write_bytes(pickle.dumps({"ema": module}))
        torch.save({"weight": torch.zeros(1).expand(10**12)}, tmp_path / "w.pt")
        for name in ("w.pkl", "w.pt"):
            with pytest.raises(InvalidFile, match="speaks of tensors of 4,000,000,000,000"):
                weights.read(tmp_path / name)

    def test_what_holds_itself_comes_to_an_end(self, tmp_path: Path):
        module = torch.nn.Sequential(torch.nn.Linear(1, 1))
        module._modules["again"] = module
        (tmp_path / "w.pkl").write_bytes(pickle.dumps({"ema": module}))
        with pytest.raises(InvalidFile, match="more than 20,000 modules"):
            weights.read(tmp_path / "w.pkl")
        tree: dict[str, Any] = {}
        tree["model"] = tree
        torch.save(tree, tmp_path / "w.pt")
        with pytest.raises(InvalidFile, match="holds no state dict"):
            weights.read(tmp_path / "w.pt")

    def test_a_pickle_that_counts_memories_it_has_not_is_refused(self, tmp_path: Path):
        (tmp_path / "w.pkl").write_bytes(b"\x80\x02}r\xff\xff\xff\x2f.")
        with pytest.raises(InvalidFile, match="numbers a memory 805,306,367"):
            weights.read(tmp_path / "w.pkl")

    def test_a_converted_file_has_the_mode_that_the_umask_leaves(self, tmp_path: Path):
        before = os.umask(0o022)
        try:
            weights.write(tmp_path / "w.safetensors", {"a": torch.zeros(1)})
        finally:
            os.umask(before)
        assert (tmp_path / "w.safetensors").stat().st_mode & 0o777 == 0o644


class TestImages:
    def test_more_pixels_than_any_image_has_are_not_unpacked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(imagefiles, "MAX_PIXELS", 63)
        Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
        with pytest.raises(InvalidFile, match="has 64 pixels, at most 63 are read"):
            read_image(tmp_path / "a.png", (".png",))

    def test_a_pipe_among_images_is_not_waited_for(self, tmp_path: Path):
        os.mkfifo(tmp_path / "a.png")
        for read in (read_set, lambda path: read_samples(path, (3, 8, 8))):
            with pytest.raises(InvalidFile, match="no regular file but a pipe"):
                read(tmp_path)
