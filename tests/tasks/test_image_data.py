"""Reading images of data sets: CIFAR-10's archive, packed arrays, folders."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from cifar_archives import array, batch, write_archive
from PIL import Image

from dxbench.assets.imagefolder import ImageFolder, centre_crop, labels_file, pack, pack_class_folders
from dxbench.errors import InvalidFile, MissingData
from dxbench.paths import data as data_folder
from dxbench.tasks.image_data import FolderData, check_labels, read_cifar10, read_packed, real_images, to_floats

RNG = np.random.default_rng(0)
ROWS = RNG.integers(0, 256, size=(6, 4, 3072), dtype=np.uint8)
LABELS = RNG.integers(10, size=(6, 4)).tolist()
NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
SOUND = {name: batch(array(rows), labels) for name, rows, labels in zip(NAMES, ROWS, LABELS, strict=True)}


def test_the_official_archive_is_read_batch_after_batch(tmp_path: Path) -> None:
    splits = read_cifar10(write_archive(tmp_path / "c.tar.gz", SOUND))
    wanted = ROWS.reshape(6, 4, 3, 32, 32).transpose(0, 1, 3, 4, 2)
    assert np.array_equal(splits["train"].images, wanted[:5].reshape(20, 32, 32, 3))
    assert np.array_equal(splits["test"].images, wanted[5])
    assert splits["train"].labels.tolist() == np.ravel(LABELS[:5]).tolist()
    assert splits["test"].labels.dtype == np.int64


def test_batches_that_todays_numpy_pickled_are_read_too(tmp_path: Path) -> None:
    batches = {
        name: pickle.dumps({"data": rows, "labels": labels}, protocol=2)
        for name, rows, labels in zip(NAMES, ROWS, LABELS, strict=True)
    }
    splits = read_cifar10(write_archive(tmp_path / "c.tar.gz", batches))
    assert splits["test"].labels.tolist() == LABELS[5]
    assert np.array_equal(splits["test"].images[0].transpose(2, 0, 1).reshape(-1), ROWS[5, 0])


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("ran-by-a-pickle"),)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps({"data": Evil(), "labels": []}, protocol=2), "test_batch: refused: the pickle asks for "),
        (SOUND["test_batch"][:-400], "test_batch: got a pickle that is cut short"),
        (pickle.dumps([1], protocol=2), "wanted a dictionary"),
        (batch(array(ROWS[5], kind=b"O8"), LABELS[5]), "wants uint8 data"),
        (batch(array(ROWS[5][:, :300]), LABELS[5]), "wants uint8 data"),
        (batch(array(ROWS[5]), [0, 1, 2, 10]), "1 of 4 class labels are out of range, the first 10; wants 0 .. 9"),
        (batch(array(ROWS[5]), [0, 1, 2]), "wants 4 class labels"),
    ],
    ids=["evil", "short", "no dictionary", "objects", "shape", "range", "count"],
)
def test_a_batch_that_is_none_is_refused(
    tmp_path: Path, content: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_archive(tmp_path / "c.tar.gz", SOUND | {"test_batch": content})
    with pytest.raises(InvalidFile, match=words):
        read_cifar10(path)
    assert not Path("ran-by-a-pickle").exists()


def test_another_or_damaged_archive_is_refused(tmp_path: Path) -> None:
    lacking = write_archive(tmp_path / "lacking.tar.gz", {"data_batch_1": SOUND["data_batch_1"]})
    with pytest.raises(InvalidFile, match="has no cifar-10-batches-py/data_batch_2"):
        read_cifar10(lacking)
    short = tmp_path / "short.tar.gz"
    short.write_bytes(write_archive(tmp_path / "c.tar.gz", SOUND).read_bytes()[:5000])
    with pytest.raises(InvalidFile, match="cut short"):
        read_cifar10(short)


def test_pixels_become_floats_from_minus_one_to_one() -> None:
    images = np.zeros((2, 4, 5, 3), np.uint8)
    images[1, 2, 3, 0] = 255
    floats = to_floats(images)
    assert (floats.shape, floats.dtype) == ((2, 3, 4, 5), np.float32)
    assert (floats[1, 0, 2, 3], floats[0].min()) == (1.0, -1.0)
    real = real_images(images).sample(torch.tensor([3, 2]))
    assert torch.equal(real, torch.from_numpy(floats[[1, 0]]))


def test_labels_are_whole_and_in_range() -> None:
    assert check_labels(np.array([0, 2], np.uint8), n=2, num_classes=3, where="here").dtype == np.int64
    for labels in (np.array([0, 3]), np.array([-1, 0]), np.array([0.0, 1.0]), np.array([1])):
        with pytest.raises(InvalidFile, match="here: "):
            check_labels(labels, n=2, num_classes=3, where="here")


def paint(path: Path, size: tuple[int, int], mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(size).integers(0, 256, size=(size[1], size[0], 4), dtype=np.uint8)
    Image.fromarray(pixels, "RGBA").convert(mode).save(path)
    return path


class TestCrop:
    def test_an_image_of_the_size_wanted_stays_as_it_is(self, tmp_path: Path) -> None:
        path = paint(tmp_path / "a.png", (16, 16))
        assert np.array_equal(centre_crop(path, 16), np.asarray(Image.open(path)))

    def test_the_centre_is_cut_out_of_a_longer_side(self, tmp_path: Path) -> None:
        path = paint(tmp_path / "a.png", (31, 16))
        assert np.array_equal(centre_crop(path, 16), np.asarray(Image.open(path))[:, 7:23])

    def test_what_is_twice_too_large_is_halved_by_means_of_boxes(self, tmp_path: Path) -> None:
        path = paint(tmp_path / "a.png", (32, 32))
        boxes = np.asarray(Image.open(path)).reshape(16, 2, 16, 2, 3).mean(axis=(1, 3))
        assert np.abs(centre_crop(path, 16) - boxes).max() <= 1  # rounded along both axes

    @pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
    def test_other_modes_become_rgb(self, tmp_path: Path, mode: str) -> None:
        assert centre_crop(paint(tmp_path / "a.png", (40, 50), mode), 16).shape == (16, 16, 3)

    def test_damaged_and_small_ones_are_refused(self, tmp_path: Path) -> None:
        path = paint(tmp_path / "a.png", (15, 40))
        with pytest.raises(InvalidFile, match=r"a.png is 15 x 40, wants 16 x 16 at least"):
            centre_crop(path, 16)
        path.write_bytes(path.read_bytes()[:60])
        with pytest.raises(InvalidFile, match=r"a.png is damaged"):
            centre_crop(path, 16)


def class_folders(folder: Path) -> ImageFolder:
    for i, name in enumerate(("n02", "n01", "n02", "n03")):
        paint(folder / name / f"{i}.png", (20 + i, 18))
    (folder / "n03" / "notes.txt").write_text("no image")
    return ImageFolder(folder=folder, size=16)


def quiet(done: int, total: int | None) -> None:
    pass


def test_class_folders_are_packed_in_order_with_their_classes(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "raw")
    assert folder.classes == ["n01", "n02", "n03"]
    target = tmp_path / "packed" / "train.npy"
    pack(folder, target, quiet)
    found = read_packed(target, size=16, num_classes=3)
    assert found.labels.tolist() == [0, 1, 1, 2]
    assert np.array_equal(found.images[3], folder.read(3))
    assert sorted(path.name for path in target.parent.iterdir()) == ["train.npy", "train_labels.npy"]
    with pytest.raises(InvalidFile, match="labels are out of range"):
        read_packed(target, size=16, num_classes=2)
    with pytest.raises(InvalidFile, match=r"wants uint8 \[n, 64, 64, 3\], got uint8 \[4, 16, 16, 3\]"):
        read_packed(target, size=64, num_classes=3)
    labels_file(target).unlink()
    with pytest.raises(MissingData, match=r"no train_labels.npy"):
        read_packed(target, size=16, num_classes=3)


def test_a_damaged_image_or_a_full_disk_leaves_nothing_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = class_folders(tmp_path / "raw")
    target = tmp_path / "packed" / "train.npy"

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.posix_fallocate", full)
        with pytest.raises(OSError, match="no space left for 4 images"):
            pack(folder, target, quiet)
    assert list(target.parent.iterdir()) == []
    folder.files[2].write_bytes(b"no image")
    with pytest.raises(InvalidFile, match="is damaged"):
        pack(folder, target, quiet)
    assert list(target.parent.iterdir()) == []


def test_imagenet_has_a_thousand_class_folders(tmp_path: Path) -> None:
    class_folders(tmp_path / "raw")
    with pytest.raises(InvalidFile, match=r"holds 3 class folders, wants 1,000"):
        pack_class_folders(tmp_path / "raw", tmp_path / "train.npy", quiet)
    with pytest.raises(MissingData, match="no images"):
        pack_class_folders(tmp_path / "raw" / "n04", tmp_path / "train.npy", quiet)


def test_images_of_a_folder_are_decoded_as_they_are_drawn(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "raw")
    source = FolderData(folder=lambda: folder)
    drawn = source.batch(7, rng=np.random.default_rng(3))
    rows = np.random.default_rng(3).integers(4, size=7)
    assert torch.equal(drawn, torch.from_numpy(to_floats(np.stack([folder.read(i) for i in rows]))))


TINY = data_folder() / "tiny_imagenet" / "train"


@pytest.mark.skipif(not TINY.is_dir(), reason="needs tiny_imagenet under DXBENCH_DATA")
def test_real_jpegs_of_64_pixels_stay_what_they_are() -> None:
    folder = ImageFolder(folder=TINY, size=64)
    assert (len(folder.files), len(folder.classes)) == (1000, 20)
    assert np.bincount(folder.labels).tolist() == [50] * 20
    assert np.array_equal(folder.read(17), np.asarray(Image.open(folder.files[17]).convert("RGB")))
