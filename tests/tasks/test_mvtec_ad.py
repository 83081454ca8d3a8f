"""MVTec-AD's tasks: counts, what is missing, what is damaged, and the authors' feature files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Ended
from mvtec_folder import write_category, write_png

from dxbench.api import Evaluation, Model, Problem, ProblemSet, array_energy
from dxbench.assets.catalogue import MVTEC_AD
from dxbench.errors import InvalidFile, MissingData
from dxbench.features.patches import PixelPatches
from dxbench.readers.mvtec import Counts
from dxbench.tasks import mvtec_ad
from dxbench.tasks.mvtec_ad import COUNTS, EXTRACTOR, MVTecAD, MVTecADFeatures, MVTecADSeparate

SMALL = Counts(train=3, good=2, defective=4)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All 15 categories, small, and pixels in place of a network."""
    for task in (MVTecAD, MVTecADSeparate):
        monkeypatch.setattr(task, "counts", dict.fromkeys(COUNTS, SMALL))
        monkeypatch.setattr(task, "extractor", PixelPatches(patch=2, side=28))
        monkeypatch.setattr(task, "assets", (MVTEC_AD,))
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    for category in COUNTS:
        write_category(tmp_path / "mvtec_ad" / category)
    return tmp_path / "mvtec_ad"


def scored(task: MVTecAD, model: object) -> Evaluation:
    return task.evaluate(model, seed=0, device="cpu", progress=lambda text: None)  # type: ignore[arg-type]


BRIGHT = array_energy(lambda x: x.sum(axis=1))  # a defect is brighter than the rest


def test_the_counts_are_mvtecs():
    totals = [sum(getattr(counts, part) for counts in COUNTS.values()) for part in ("train", "good", "defective")]
    assert totals == [3629, 467, 1258]
    assert len(COUNTS) == 15


def test_all_categories_are_one_problem_or_fifteen(folder: Path):
    unified, separate = MVTecAD().problem(oracle=False), MVTecADSeparate().problem(oracle=False)
    assert isinstance(unified, Problem)
    assert isinstance(separate, ProblemSet)
    assert list(separate.parts) == list(COUNTS)
    assert unified.data.points.shape == (15 * 3 * 14 * 14, 12)  # type: ignore[attr-defined]
    models = Model(parts=dict.fromkeys(COUNTS, BRIGHT))
    one, many = scored(MVTecAD(), BRIGHT), scored(MVTecADSeparate(), models)
    assert one.scores["pixel_auroc"].value == many.scores["pixel_auroc"].value > 95
    assert one.scores["image_auroc"].value == 100.0
    assert set(one.scores["aupro"].parts) == set(COUNTS)


def test_the_recipe_of_the_features_is_in_the_protocol_and_the_files_hash_in_the_notes(folder: Path):
    protocol = MVTecAD.scored_by[0].protocol
    assert "818f208c" in str(protocol.fields["reference"])
    assert "strides" in str(protocol.fields["reference"])
    note = scored(MVTecAD(), BRIGHT).notes["data"]
    write_png(folder / "tile" / "train" / "good" / "000.png", np.zeros((32, 32, 3), np.uint8))
    assert scored(MVTecAD(), BRIGHT).notes["data"] != note


def test_a_missing_category_makes_the_run_partial(folder: Path, dxbench: Callable[..., Ended]):
    (folder / "zipper").rename(folder / "elsewhere")
    (record,) = dxbench("run", "--task", "mvtec_ad", "--method", "pca", "--no-report", "--json").json
    assert record["status"] == "partial"
    assert "zipper" in record["notes"]["missing data"]
    assert len(record["scores"]["aupro"]["parts"]) == 14


def test_a_category_without_any_mask_is_another_set_and_missing(folder: Path):
    (folder / "screw" / "ground_truth").rename(folder / "masks")
    assert "screw" not in MVTecAD().loaded


def test_without_data_the_command_that_fetches_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dxbench: Callable[..., Ended]
):
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="dxbench prepare --task mvtec_ad"):
        MVTecAD().problem(oracle=False)
    assert dxbench("run", "--task", "mvtec_ad", "--method", "pca", "--no-report").code == 7


def test_without_the_networks_weights_the_command_that_fetches_them_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(MVTecAD, "extractor", EXTRACTOR)
    with pytest.raises(MissingData, match="EfficientNet-b4"):
        MVTecAD().problem(oracle=False)


def test_a_damaged_image_is_named_and_the_run_refused(folder: Path, dxbench: Callable[..., Ended]):
    (folder / "cable" / "test" / "good" / "001.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    ended = dxbench("run", "--task", "mvtec_ad", "--method", "pca", "--no-report", "--json")
    assert ended.code != 0
    assert "1 of 6 images cannot be read" in ended.out + ended.err
    assert "test/good/001.png is damaged" in ended.out + ended.err


def test_another_number_of_images_is_refused(folder: Path):
    (folder / "wood" / "train" / "good" / "002.png").unlink()
    with pytest.raises(InvalidFile, match=r"wood: wants Counts\(train=3, good=2, defective=4\), found Counts\(train=2"):
        MVTecAD().problem(oracle=False)


def test_a_category_without_defects_has_no_scores(folder: Path, monkeypatch: pytest.MonkeyPatch):
    import shutil

    for part in ("test", "ground_truth"):
        for kind in ("broken", "scratch"):
            shutil.rmtree(folder / "tile" / part / kind)
    monkeypatch.setattr(MVTecAD, "counts", {"tile": Counts(train=3, good=2, defective=0)})
    evaluation = scored(MVTecAD(), BRIGHT)
    assert evaluation.scores == {}
    assert evaluation.notes["image_auroc"] == "tile has only normal test points"
    assert evaluation.notes["aupro"] == "tile has no defect in any mask"


# --- the authors' files -----------------------------------------------------------------------------------------


def author_file(path: Path, *, defects: bool, **change: object) -> Path:
    """Two categories of three images, as UniAD's fork saves them."""
    generator = torch.Generator().manual_seed(0)
    n = 6
    labels = [int(defects and i % 3 == 2) for i in range(n)]
    masks = torch.zeros(n, 1, 224, 224)
    for i, label in enumerate(labels):
        masks[i, :, 30:60, 40:90] = float(label)
    content = {
        "feature_align": torch.randn((n, 272, 14, 14), generator=generator),
        "mask": masks,
        "label": torch.tensor(labels),
        "clsname": ["bottle"] * 3 + ["wood"] * 3,
    }
    path.parent.mkdir(exist_ok=True, parents=True)
    torch.save(content | change, path)
    return path


@pytest.fixture
def authors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    monkeypatch.setattr(MVTecADFeatures, "counts", dict.fromkeys(COUNTS, Counts(train=3, good=2, defective=1)))
    home = tmp_path / "mvtec_ad_features"
    author_file(home / "train_mvtec.pth", defects=False)
    author_file(home / "val_data.pth", defects=True)
    return home


def test_the_authors_features_are_read_under_any_of_their_names(authors: Path):
    task = MVTecADFeatures()
    stored = torch.load(authors / "val_data.pth", weights_only=True)
    assert list(task.loaded) == ["bottle", "wood"]
    wood = task.loaded["wood"]
    np.testing.assert_array_equal(wood.test, stored["feature_align"][3:].permute(0, 2, 3, 1).half().numpy())
    assert wood.anomalous.tolist() == [False, False, True]
    evaluation = task.evaluate(BRIGHT, seed=0, device="cpu", progress=lambda text: None)
    assert set(evaluation.scores) == {metric.name for metric in task.metrics}
    assert len(evaluation.missing) == 13


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature_align": torch.randn(6, 1792, 14, 14)}, "which are another backbone's"),
        ({"feature_align": torch.rand(6, 272, 14, 14)}, "all of one sign, as after a ReLU"),
        ({"mask": torch.zeros(6, 1, 224, 224)}, "1 masks of bottle disagree"),
        ({"clsname": ["bottle"] * 6}, r"bottle wants Counts\(train=3"),
        ({"clsname": ["bottle"] * 5}, "do not belong together"),
        ({"label": torch.ones(6)}, "bottle wants"),
    ],
    ids=lambda value: "",
)
def test_features_of_another_backbone_or_that_disagree_are_refused(
    authors: Path, change: dict[str, object], message: str
):
    author_file(authors / "val_data.pth", defects=True, **change)
    with pytest.raises(InvalidFile, match=message):
        MVTecADFeatures().problem(oracle=False)


def test_a_feature_file_that_changes_after_its_first_use_is_refused(authors: Path):
    MVTecADFeatures().problem(oracle=False)
    author_file(authors / "val_data.pth", defects=True, label=[0, 0, 1, 0, 0, 1])
    with pytest.raises(InvalidFile, match=r"recorded in .* when it was first used"):
        MVTecADFeatures().problem(oracle=False)


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("harm"),)  # type: ignore[return-value]


def test_a_feature_file_that_asks_for_code_is_refused(authors: Path):
    author_file(authors / "val_data.pth", defects=True, clsname=Harmful())
    with pytest.raises(InvalidFile, match="holds more than tensors and was refused"):
        MVTecADFeatures().problem(oracle=False)


def test_the_categories_of_the_archive_are_those_of_the_task():
    from dxbench.assets.catalogue import MVTEC_CATEGORIES

    assert tuple(COUNTS) == MVTEC_CATEGORIES
    assert mvtec_ad.MVTecAD.assets[0].name == "mvtec_ad"
