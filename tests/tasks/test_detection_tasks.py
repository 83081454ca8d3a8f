"""Detection tasks: what they hand out, how they score, and what they say of bad data."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Ended
from sklearn.metrics import roc_auc_score

from dxbench.api import Evaluation, Model, Problem, ProblemSet, array_energy
from dxbench.boards.published import read_published
from dxbench.errors import InvalidFile, MissingData
from dxbench.paths import published
from dxbench.tasks import adbench, holdout_digit
from dxbench.tasks.detection import DetectionTask, Group
from dxbench.tasks.holdout_digit import HoldoutDigit, HoldoutMNIST, read_mnist
from dxbench.tasks.mvtec_pooled import CATEGORIES, MVTecPooledResNet18, MVTecSeparateResNet18, split
from dxbench.tasks.tabular import SETS, TabularClean, TabularDTE, split_clean, split_dte


def silent(_: str) -> None:
    pass


def scored(task: DetectionTask, model: object) -> Evaluation:
    return task.evaluate(model, seed=0, device="cpu", progress=silent)  # type: ignore[arg-type]


@pytest.fixture
def mvtec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All 15 categories in ADBench's format; anomalies are longer, and every value names its row."""
    folder = tmp_path / "data" / "adbench" / "resnet18"
    folder.mkdir(parents=True)
    for i, category in enumerate(CATEGORIES):
        rng = np.random.default_rng(i)
        y = np.r_[np.zeros(21, int), np.ones(6, int)]
        x = rng.normal(size=(27, 5)).astype(np.float32) * (1 + 2 * y[:, None])
        x[:, 0] = np.arange(27) + 1000 * i
        np.savez(folder / f"MVTec-AD_{category}.npz", X=x, y=y)
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path / "data"))
    return folder


# --- splits -----------------------------------------------------------------------------------------------------


def test_half_of_the_normals_train_and_no_image_is_on_both_sides(mvtec: Path):
    for i, group in enumerate(MVTecPooledResNet18().loaded.values()):
        train, test = set(group.train[:, 0] - 1000 * i), set(group.test[:, 0] - 1000 * i)
        assert len(group.train) == round(21 / 2)
        assert not train & test
        assert max(train) < 21  # no anomaly trains
        assert group.anomalous.sum() == 4
        np.testing.assert_array_equal(group.anomalous, group.test[:, 0] - 1000 * i >= 21)


def test_a_third_of_what_does_not_train_is_for_validation_and_never_tests(mvtec: Path):
    task = MVTecPooledResNet18()
    for (name, group), validation in zip(task.loaded.items(), task.validation().values(), strict=True):
        rows = [set(points[:, 0] % 1000) for points in (group.train, group.test, validation.test)]
        assert [len(part) for part in rows] == [10, 7 + 4, 4 + 2], name
        assert set().union(*rows) == set(range(27))
        assert validation.anomalous.sum() == 2
        np.testing.assert_array_equal(validation.train, group.train)


def test_the_split_has_a_published_seed_and_differs_between_categories():
    y = np.zeros(40, bool)
    np.testing.assert_array_equal(split("bottle", y).train, split("bottle", y).train)
    assert split("bottle", y).train[:6].tolist() == [0, 1, 5, 11, 14, 15]
    assert not np.array_equal(split("bottle", y).train, split("cable", y).train)


def test_unified_is_one_problem_of_all_normals_and_separate_one_for_each(mvtec: Path):
    unified, separate = MVTecPooledResNet18().problem(oracle=False), MVTecSeparateResNet18().problem(oracle=False)
    assert isinstance(unified, Problem)
    assert isinstance(separate, ProblemSet)
    assert list(separate.parts) == list(CATEGORIES)
    together = torch.cat([part.data.points for part in separate.parts.values()])  # type: ignore[attr-defined]
    assert torch.equal(together, unified.data.points)  # type: ignore[attr-defined]


def test_batches_are_training_points_and_follow_the_generator_given(mvtec: Path):
    data = MVTecPooledResNet18().problem(oracle=False).data  # type: ignore[union-attr]
    a, b = (data.batch(50, rng=np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(a, b)
    assert set(a[:, 0].tolist()) <= set(data.points[:, 0].tolist())


def test_clean_uses_no_row_twice_and_dte_repeats_rows_of_small_sets_on_both_sides():
    x, y = np.arange(200.0)[:, None], np.arange(200) >= 180
    train, test, anomalous = split_clean("wine", x, y)
    assert sorted(np.r_[train, test].ravel()) == list(range(200))
    assert len(train) == 90
    assert anomalous.sum() == 20
    assert not np.all(np.diff(train[:, 0]) > 0)  # shuffled
    train, test, anomalous = split_dte("wine", x, y)
    assert len(train) + len(test) == 1000
    assert set(train.ravel()) & set(test.ravel())  # the leak that the protocol reproduces


def test_dte_keeps_the_order_of_the_file_from_1000_rows_on():
    x, y = np.arange(1200.0)[:, None], np.arange(1200) % 10 == 0
    train, test, anomalous = split_dte("letter", x, y)
    normal = x[~y]
    np.testing.assert_array_equal(train, normal[:540])
    np.testing.assert_array_equal(test, np.r_[normal[540:], x[y]])
    assert anomalous.sum() == 120


def test_a_digit_held_out_never_trains():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    by_image = {image.astype(np.float32).tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    groups = HoldoutDigit().loaded
    assert list(groups) == [f"digit {d}" for d in range(10)]
    for digit, group in enumerate(groups.values()):
        kinds = [by_image[(image * 16).tobytes()] for image in group.train]
        assert digit not in kinds
        assert len(set(kinds)) == 9
        assert group.anomalous.sum() == sum(by_image[(image * 16).tobytes()] == digit for image in group.test)


# --- scoring ----------------------------------------------------------------------------------------------------


def test_scores_are_the_mean_over_groups_of_what_scikit_learn_says(mvtec: Path):
    task = MVTecPooledResNet18()
    evaluation = scored(task, array_energy(lambda x: np.square(x[:, 1:]).sum(axis=1)))
    wanted = {
        name: 100 * roc_auc_score(group.anomalous, np.square(group.test[:, 1:].astype(float)).sum(axis=1))
        for name, group in task.loaded.items()
    }
    estimate = evaluation.scores["image_auroc"]
    assert estimate.parts == pytest.approx(wanted)
    assert estimate.value == pytest.approx(np.mean(list(wanted.values())))
    assert estimate.unit == "%"
    assert evaluation.missing == ()
    assert {metric.name for metric in task.metrics} == set(evaluation.scores)


def test_separate_models_are_scored_each_on_its_own_group(mvtec: Path):
    task = MVTecSeparateResNet18()
    models = {name: array_energy(lambda x: np.square(x[:, 1:]).sum(axis=1)) for name in CATEGORIES}
    models["screw"] = array_energy(lambda x: -np.square(x[:, 1:]).sum(axis=1))
    parts = scored(task, Model(parts=models)).scores["image_auroc"].parts
    assert parts["screw"] < 50 < parts["tile"]


def test_constant_energies_score_one_half_and_that_is_said(mvtec: Path):
    evaluation = scored(MVTecPooledResNet18(), array_energy(lambda x: np.zeros(len(x))))
    assert evaluation.scores["image_auroc"].value == 50.0
    assert "bottle" in evaluation.notes["constant energy"]


def test_nan_energies_are_refused(mvtec: Path):
    with pytest.raises(ValueError, match="finite"):
        scored(MVTecPooledResNet18(), array_energy(lambda x: np.full(len(x), np.nan)))


def test_a_model_without_energy_leaves_notes_and_no_score(mvtec: Path):
    evaluation = scored(MVTecPooledResNet18(), Model())
    assert evaluation.scores == {}
    assert evaluation.notes["image_auroc"] == "the model has no energy"


def test_a_category_without_defects_has_no_auroc(mvtec: Path):
    np.savez(mvtec / "MVTec-AD_tile.npz", X=np.ones((9, 5), np.float32), y=np.zeros(9, int))
    evaluation = scored(MVTecPooledResNet18(), array_energy(lambda x: x[:, 1]))
    assert evaluation.scores == {}
    assert evaluation.notes["image_auroc"] == "tile has only normal test points"


def test_pictures_show_every_group(mvtec: Path):
    task = MVTecPooledResNet18()
    arrays = scored(task, array_energy(lambda x: np.square(x[:, 1:]).sum(axis=1))).arrays
    bars, histograms, roc = task.pictures(arrays)
    assert [label.get_text() for label in bars.figure.axes[0].get_yticklabels()] == list(CATEGORIES)
    assert [axes.get_title() for axes in histograms.figure.axes[:15]] == list(CATEGORIES)
    assert len(roc.figure.axes[0].lines) == 16
    legend = roc.figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == list(CATEGORIES)
    assert task.pictures({}) == []


# --- bad data ---------------------------------------------------------------------------------------------------


def test_a_missing_folder_is_exit_code_7(
    dxbench: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(MissingData, match="DXBENCH_DATA"):
        MVTecPooledResNet18().problem(oracle=False)
    ended = dxbench("run", "--task", "tabular_clean", "--method", "knn", "--no-report")
    assert ended.code == 7


def test_a_missing_category_makes_the_run_partial(mvtec: Path, dxbench: Callable[..., Ended]):
    (mvtec / "MVTec-AD_zipper.npz").unlink()
    ended = dxbench("run", "--task", "mvtec_pooled_resnet18", "--method", "knn", "--json")
    assert ended.code == 0
    (record,) = ended.json
    assert record["status"] == "partial"
    assert "zipper" in record["notes"]["missing data"]
    assert "zipper" not in record["scores"]["image_auroc"]["parts"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.zeros((3, 2))}, "not a set of ADBench"),
        ({"X": np.zeros((3, 2)), "y": np.zeros(4)}, "wants numbers X"),
        ({"X": np.zeros((3, 2)), "y": np.array([0, 1, 2])}, "of 0 and 1"),
        ({"X": np.array([{}, {}], dtype=object), "y": np.zeros(2)}, "not a readable npz"),
        ({"X": np.array([["a"], ["b"]]), "y": np.zeros(2)}, "wants numbers X"),
        ({"X": np.array([[1.0], [np.inf]]), "y": np.zeros(2)}, "1 of 2 rows of X are not finite"),
        ({"X": np.zeros((3, 2)), "y": np.array([0, 1, 1])}, "1 normal rows, wants 2"),
    ],
)
def test_files_that_are_no_such_set_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str):
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(InvalidFile, match=message):
        adbench.read_set(tmp_path / "set.npz")


def test_a_damaged_file_is_refused(tmp_path: Path):
    (tmp_path / "set.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(InvalidFile, match="not a readable npz"):
        adbench.read_set(tmp_path / "set.npz")


def test_points_that_are_not_finite_are_refused():
    with pytest.raises(InvalidFile, match="1 of 2 test points"):
        Group(
            train=np.zeros((2, 3), np.float32),
            test=np.array([[0, 0, np.nan], [0, 0, 0]], np.float32),
            anomalous=np.array([False, True]),
        )


def test_samples_cannot_be_scored(dxbench: Callable[..., Ended], tmp_path: Path):
    np.savez(tmp_path / "samples.npz", samples=np.zeros((4, 64)))
    ended = dxbench("eval", tmp_path / "samples.npz", "--task", "holdout_digit")
    assert ended.code == 6
    assert "has a model for each of 10 problems, not samples" in ended.err


# --- real data --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_knn_equals_dtes_published_column_on_every_set_of_1000_to_50000_rows():
    from dxbench_baselines.knn import KNN, KNNConfig

    try:
        groups = TabularDTE().loaded
    except MissingData as error:
        pytest.skip(str(error))
    column = {
        row.group: row.scores["auroc"].value for _, row in read_published(published()) if row.label.startswith("kNN, ")
    }
    models = {
        name: array_energy(KNN().fit(group.train.astype(float), KNNConfig(), seed=0)) for name, group in groups.items()
    }
    parts = scored(TabularDTE(), Model(parts=models)).scores["auroc"].parts
    rows = {name: len(group.train) + len(group.test) for name, group in groups.items()}
    # Below 1,000 rows the protocol draws them at random; those sets have exactly 1,000 after it.
    compared = {name for name, n in rows.items() if n > 1000}
    assert len(compared) == 19
    assert {name: round(parts[name], 2) for name in compared} == {name: column[name] for name in compared}


@pytest.mark.parametrize("task", [TabularClean, TabularDTE])
def test_real_tabular_sets_are_read(task: type[DetectionTask]):
    try:
        groups = task().loaded
    except MissingData as error:
        pytest.skip(str(error))
    assert list(groups) == list(SETS)
    for group in groups.values():
        np.testing.assert_allclose(group.train.mean(axis=0), 0, atol=2e-2)


# --- robustness and MNIST ---------------------------------------------------------------------------------------


def test_robust_scores_are_never_better_than_those_of_the_anomalies_as_they_are(mvtec: Path):
    scores = scored(MVTecPooledResNet18(), array_energy(lambda x: np.square(x[:, 1:]).sum(axis=1))).scores
    assert scores["image_robust_auroc"].value < scores["image_auroc"].value
    assert scores["image_robust_min_rank"].value <= scores["image_min_rank"].value
    length = scored(MVTecPooledResNet18(), array_energy(lambda x: np.square(x).sum(axis=1).round(3))).scores
    # A turn keeps lengths, so that it does nothing to a detector by length.
    assert length["image_robust_auroc"].value == pytest.approx(length["image_auroc"].value, abs=0.5)


@pytest.fixture
def small_mnist(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """MNIST of 600 and 100 images, of which 500 train; the first pixels name image and split."""
    sizes = {"train": 600, "test": 100}
    shapes = {
        name: (keras, (sizes[name.split("_")[0]], *shape[1:]))
        for name, (keras, shape) in holdout_digit.MNIST_ARRAYS.items()
    }
    monkeypatch.setattr(holdout_digit, "MNIST_ARRAYS", shapes)
    monkeypatch.setattr(holdout_digit, "MNIST_TRAIN", 500)
    rng, arrays = np.random.default_rng(0), {}
    for part, n in sizes.items():
        images = np.zeros((n, 28, 28), np.uint8)
        images[:, 0, 0], images[:, 0, 1], images[:, 0, 2] = np.arange(n) % 250, np.arange(n) // 250, part == "test"
        arrays |= {f"{part}_images": images, f"{part}_labels": rng.integers(0, 10, n).astype(np.uint8)}
    return arrays


def test_mnist_trains_on_its_first_50000_images_without_the_digit(
    small_mnist: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "mnist").mkdir()
    np.savez(tmp_path / "mnist" / "mnist.npz", **small_mnist)  # type: ignore[arg-type]
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    task = HoldoutMNIST()
    parts = task.problem(oracle=False).parts  # type: ignore[union-attr]
    assert list(parts) == [f"digit {d}" for d in range(10)]
    for digit in (0, 7):
        group, data = task.loaded[f"digit {digit}"], parts[f"digit {digit}"].data
        pixels = (data.points.numpy() * 255).round().astype(int)  # type: ignore[attr-defined]
        index = pixels[:, 0] + 250 * pixels[:, 1]
        np.testing.assert_array_equal(index, np.flatnonzero(small_mnist["train_labels"][:500] != digit))
        assert not pixels[:, 2].any()
        drawn = data.batch(5, rng=np.random.default_rng(0))
        assert all((data.points == row).all(dim=1).any() for row in drawn)  # type: ignore[attr-defined]
        assert (group.test[:, 2] > 0).all()
        np.testing.assert_array_equal(group.anomalous, small_mnist["test_labels"] == digit)


def test_mnist_that_is_absent_or_another_array_is_refused(
    small_mnist: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mnist.npz"
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="prepare --task holdout_mnist"):
        holdout_digit.HoldoutMNIST().load()
    np.savez(path, train_images=np.zeros((5, 28, 28), np.uint8))
    with pytest.raises(InvalidFile, match="train_images wants uint8"):
        read_mnist(path)
    np.savez(path, **small_mnist | {"test_images": np.zeros((100, 28, 28), np.float32)})  # type: ignore[arg-type]
    with pytest.raises(InvalidFile, match="test_images wants uint8"):
        read_mnist(path)
    keras = {name: small_mnist[ours] for ours, (name, _) in holdout_digit.MNIST_ARRAYS.items()}
    np.savez(path, **keras)  # type: ignore[arg-type]
    np.testing.assert_array_equal(read_mnist(path)["train_labels"], small_mnist["train_labels"])
