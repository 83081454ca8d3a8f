"""CIFAR-10 as JPEGs: read from archives that are looked over, and never called CIFAR-10."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dxbench.assets.catalogue import CIFAR10_JPEG75_TEST, RESNET56_CIFAR10
from dxbench.errors import InvalidFile
from dxbench.tasks.cifar10_jpeg75 import NUM_TEST, Cifar10Jpeg75, read_jpegs


def jpeg(level: int, *, size: int = 32, mode: str = "RGB") -> bytes:
    content = io.BytesIO()
    Image.new(mode, (size, size), (level,) * 3 if mode == "RGB" else level).save(content, "JPEG", quality=95)
    return content.getvalue()


def write(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def ten(number: int, *, level: int = 0) -> dict[str, bytes]:
    return {f"train/class{c}/{number:04d}.jpg": jpeg(10 * c + level) for c in range(10)}


def test_both_halves_are_joined_by_class_and_number(tmp_path: Path) -> None:
    b, a = write(tmp_path / "b.zip", ten(2500, level=5)), write(tmp_path / "a.zip", {**ten(0), "notes.txt": b"x"})
    found = read_jpegs((b, a), split="train", n=20)
    assert found.labels.tolist() == [c for c in range(10) for _ in range(2)]
    levels = found.images.reshape(20, -1).mean(axis=1)
    assert levels == pytest.approx([10 * c + extra for c in range(10) for extra in (0, 5)], abs=1)
    assert found.images.dtype == np.uint8


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({f"train/class{c}/0000.jpg": jpeg(0, size=16) for c in range(10)}, "16 x 16"),
        ({f"train/class{c}/0000.jpg": jpeg(0, mode="L") for c in range(10)}, "L; wants 32 x 32, RGB"),
        ({f"train/class{c}/0000.jpg": jpeg(0)[:200] for c in range(10)}, "0000.jpg"),
        ({f"train/class{c}/0000.jpg": jpeg(0) for c in range(9)}, "9 images of 9 classes"),
        ({"../outside.jpg": jpeg(0)}, "points outside"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(InvalidFile, match=message):
        read_jpegs((write(tmp_path / "a.zip", files),), split="train", n=10)


def test_no_archive_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"no archive")
    with pytest.raises(InvalidFile, match="not a readable zip"):
        read_jpegs((path,), split="train", n=10)


def test_nothing_of_it_is_called_fid_or_asks_for_official_weights() -> None:
    task = Cifar10Jpeg75()
    assert not [metric.name for metric in task.metrics if "fid" in metric.name]
    assert task.pretrained_assets == {}
    assert {asset.task for asset in task.assets} == {"cifar10_jpeg75", RESNET56_CIFAR10.task}


@pytest.mark.skipif(CIFAR10_JPEG75_TEST.find() is None, reason="needs cifar10/jpeg75_test.zip under DXBENCH_DATA")
def test_the_real_test_split_is_whole() -> None:
    found = read_jpegs((CIFAR10_JPEG75_TEST.verify(),), split="test", n=NUM_TEST)
    assert np.bincount(found.labels).tolist() == [1000] * 10
    assert found.images.std() > 50
