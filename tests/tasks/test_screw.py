"""The real screws: what is read, what is refused, and how the set at half size is made."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Ended
from mvtec_folder import write_category, write_png
from PIL import Image

from dxbench.api import array_energy
from dxbench.assets.catalogue import SCREW512
from dxbench.assets.prepare import prepare
from dxbench.errors import InvalidFile, MissingData
from dxbench.features.patches import PixelPatches
from dxbench.metrics.detection import Affine, Tone, WorstCase
from dxbench.readers.mvtec import Counts
from dxbench.tasks import screw
from dxbench.tasks.screw import Screw

BRIGHT = array_energy(lambda x: x.sum(axis=1))  # a defect is brighter than the rest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small set in the place of the screws, and pixels in place of a network."""
    extractor = PixelPatches(patch=2, side=28)
    monkeypatch.setattr(Screw, "counts", {"screw": Counts(train=3, good=2, defective=4)})
    monkeypatch.setattr(Screw, "defects", {"screw": {"broken": 2, "scratch": 2}})
    monkeypatch.setattr(Screw, "extractor", extractor)
    monkeypatch.setattr(screw, "_extract", lambda extractor, device: extractor.load(device))
    monkeypatch.setattr(Screw, "assets", (SCREW512,))
    monkeypatch.setattr(Screw, "worst_case", WorstCase(threats=(Affine(shape=(3, 28, 28)), Tone()), steps=1))
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    return write_category(tmp_path / "mvtec_ad_screw512" / "screw")


def test_scores_are_of_images_of_pixels_and_of_each_type_of_defect(folder: Path):
    task = Screw()
    found = task.evaluate(BRIGHT, seed=0, device="cpu", progress=lambda text: None)
    assert found.scores["image_auroc"].value == found.scores["image_auroc_top10"].value == 100.0
    assert found.scores["image_auroc_defects"].parts == {"screw/broken": 100.0, "screw/scratch": 100.0}
    assert found.scores["pixel_auroc"].value > 95
    assert set(found.scores) == {metric.name for metric in Screw.scored_by} >= {"aupro", "aupro_5", "aupimo"}


def test_the_type_that_a_detector_does_not_see_is_told(folder: Path):
    for path in sorted((folder / "test" / "scratch").iterdir()):
        write_png(path, np.asarray(Image.open(folder / "test" / "good" / path.name)))
    parts = Screw().evaluate(BRIGHT, seed=0, device="cpu", progress=print).scores["image_auroc_defects"].parts
    assert parts == {"screw/broken": 100.0, "screw/scratch": 50.0}


def test_a_set_that_is_absent_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="dxbench prepare --task screw"):
        Screw().problem(oracle=False)


def test_a_mask_too_few_is_named(folder: Path, dxbench: Callable[..., Ended]):
    (folder / "ground_truth" / "scratch" / "001_mask.png").unlink()
    ended = dxbench("run", "-t", "screw", "-m", "pca", "--no-report")
    assert ended.code != 0
    assert "1 defective images have no mask: ground_truth/scratch/001_mask.png" in ended.err + ended.out


def test_a_mask_of_another_size_than_its_image_is_named(folder: Path):
    write_png(folder / "ground_truth" / "broken" / "000_mask.png", np.full((64, 64), 255, np.uint8))
    with pytest.raises(InvalidFile, match=r"1 of 4 masks have another size .*ground_truth/broken/000_mask\.png"):
        Screw().problem(oracle=False)


def test_an_unexpected_defect_is_refused(folder: Path):
    for part in ("test", "ground_truth"):
        (folder / part / "scratch").rename(folder / part / "rust")
    with pytest.raises(InvalidFile, match=r"defects broken \(2\), scratch \(2\), found broken \(2\), rust \(2\)"):
        Screw().problem(oracle=False)


def test_another_number_of_images_is_refused(folder: Path):
    (folder / "train" / "good" / "000.png").unlink()
    with pytest.raises(InvalidFile, match=r"wants Counts\(train=3, good=2, defective=4\), found Counts\(train=2"):
        Screw().problem(oracle=False)


def test_pixels_that_no_threat_has_changed_give_the_features_that_were_read(folder: Path):
    task = Screw()
    group, rows = task.loaded["screw"], np.arange(2)
    found = task.grids_of(task.threatened(group, rows), device="cpu")
    np.testing.assert_array_equal(found, group.test[rows].astype(np.float32))


class TestHalving:
    def made(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> object:
        monkeypatch.setenv("DXBENCH_DATA", str(data))
        return prepare(SCREW512, offline=True, accept_licence=False, progress=lambda *args: None)

    def test_images_and_masks_of_the_official_size_are_halved(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        source = tmp_path / "mvtec_ad" / "screw"
        mask = np.zeros((1024, 1024), np.uint8)
        mask[100:201, 100:201] = 255  # the last row and column cover half of their pixels
        write_png(source / "test" / "thread_top" / "000.png", np.full((1024, 1024), 77, np.uint8))
        write_png(source / "ground_truth" / "thread_top" / "000_mask.png", mask)
        assert self.made(tmp_path, monkeypatch).state == "fetched"  # type: ignore[attr-defined]
        half = tmp_path / "mvtec_ad_screw512" / "screw"
        image = np.asarray(Image.open(half / "test" / "thread_top" / "000.png"))
        assert image.shape == (512, 512)
        assert (image == 77).all()
        found = np.asarray(Image.open(half / "ground_truth" / "thread_top" / "000_mask.png"))
        assert set(np.unique(found)) == {0, 255}
        assert (found == 255).sum() == 51 * 51 - 1  # but for the corner, a quarter of which is covered

    def test_an_image_of_another_size_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        write_png(tmp_path / "mvtec_ad" / "screw" / "train" / "good" / "000.png", np.zeros((256, 256), np.uint8))
        found = self.made(tmp_path, monkeypatch)
        assert found.state == "damaged"  # type: ignore[attr-defined]
        assert "000.png is 256 x 256, wants MVTec-AD's own 1024 x 1024" in found.note  # type: ignore[attr-defined]
        assert not (tmp_path / "mvtec_ad_screw512" / "screw").exists()

    def test_without_the_official_set_a_person_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        found = self.made(tmp_path, monkeypatch)
        assert found.state == "by hand"  # type: ignore[attr-defined]
        assert "dxbench prepare --task mvtec_ad" in found.note  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_real_screws_are_read():
    try:
        group = Screw().loaded["screw"]
    except MissingData as error:
        pytest.skip(str(error))
    assert group.train.shape == (320, 14, 14, 192)
    assert group.test.shape == (160, 14, 14, 192)
    assert group.anomalous.sum() == 119
    assert set(group.defects) == {"good", *screw.DEFECTS}  # type: ignore[attr-defined]
