"""Fashion-MNIST: the official images in their split, what an energy is asked to tell, and what is scored later."""

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up_records import record
from tiny_images import METRICS, TinyImages, write_all

from dxbench.api import LabelledData, Model, NotApplicable
from dxbench.assets.catalogue import FASHION_MNIST, INCEPTION_2015, MNIST
from dxbench.boards.rescore import KeptSamples, with_left_out
from dxbench.errors import InvalidFile, UsageError
from dxbench.features.fashion_net import FASHION_NET, LOGITS
from dxbench.features.grey import GreyAsColour
from dxbench.files.arrays import array_sha256, save_arrays
from dxbench.metrics.images.classes import ClassAccuracy, ClassShare
from dxbench.metrics.images.features import FeatureInputs, FeatureKind, FeatureSet
from dxbench.metrics.later import Later
from dxbench.plugins.registry import load_task
from dxbench.records.files import work_folder
from dxbench.tasks.fashion_data import (
    DATA_STD,
    NUM_ENERGIES,
    PATCH,
    blended_images,
    fashion_splits,
    mnist_digits,
    permuted_images,
    uniform_images,
)
from dxbench.tasks.fashion_mnist import FashionMNIST, FashionMNISTClasses, FashionMNISTValidation, balanced_labels

needs_data = pytest.mark.skipif(
    any(asset.find() is None for asset in FASHION_MNIST),
    reason="needs Fashion-MNIST: `dxbench prepare --task fashion_mnist`, or Debian's dataset-fashion-mnist",
)
needs_mnist = pytest.mark.skipif(MNIST.find() is None, reason="needs mnist/mnist.npz under DXBENCH_DATA")


def quiet(text: str) -> None:
    pass


# --- data ----------------------------------------------------------------------------------------------------


@needs_data
def test_the_split_is_the_official_images_in_their_order() -> None:
    splits = fashion_splits()
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 55_000,
        "validation": 5_000,
        "test": 10_000,
    }
    assert np.bincount(splits["test"].labels).tolist() == [1000] * 10
    both = np.concatenate([splits["train"].labels, splits["validation"].labels])
    assert np.bincount(both).tolist() == [6000] * 10
    assert both[:4].tolist() == [9, 0, 0, 3]  # as the authors' page shows them: ankle boot, tops, dress
    assert splits["train"].images.shape[1:] == (28, 28, 1)
    assert (splits["train"].images / 127.5 - 1).std() == pytest.approx(DATA_STD, abs=2e-4)


@needs_data
def test_a_method_sees_the_training_split_in_minus_one_to_one() -> None:
    problem = FashionMNIST().problem(oracle=False)
    batch = problem.data.batch(200, rng=np.random.default_rng(0))
    assert (batch.shape, batch.dtype) == ((200, 1, 28, 28), torch.float32)
    assert (float(batch.min()), float(batch.max())) == (-1.0, 1.0)
    train = {image.tobytes() for image in fashion_splits()["train"].images}
    levels = ((batch + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert all(image.tobytes() in train for image in levels)


@needs_data
def test_classes_of_a_batch_are_those_of_its_images() -> None:
    problem = FashionMNISTClasses().problem(oracle=False)
    assert problem.num_classes == 10
    assert isinstance(problem.data, LabelledData)
    images, labels = problem.data.labelled_batch(50, rng=np.random.default_rng(0))
    split = fashion_splits()["train"]
    known: dict[bytes, set[int]] = {}
    for image, label in zip(split.images, split.labels, strict=True):
        known.setdefault(image.tobytes(), set()).add(int(label))
    levels = ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert all(int(label) in known[image.tobytes()] for image, label in zip(levels, labels, strict=True))


@needs_data
@pytest.mark.parametrize("content", [b"\0\0\x08\x03" + bytes(12), bytes(100)], ids=["another shape", "another header"])
def test_a_file_of_other_contents_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    path = tmp_path / FASHION_MNIST[0].path
    path.parent.mkdir()
    path.write_bytes(gzip.compress(content))
    with pytest.raises(InvalidFile, match=r"wanted sha256 c59f468a.*dxbench prepare --task fashion_mnist"):
        fashion_splits.__wrapped__()


# --- what an energy is asked to tell -------------------------------------------------------------------------


@needs_data
def test_blends_are_means_of_two_test_images_of_different_classes() -> None:
    split, blends = fashion_splits()["test"], blended_images("test")
    assert blends.shape == (NUM_ENERGIES, 28, 28, 1)
    flat = split.images.reshape(-1, 784).astype(np.int32)
    for blend in blends[:3].reshape(3, 784).astype(np.int32):
        # The other half of the mean has to be an image of the set: its pixels are 2 b - a, or one more.
        rest = 2 * blend - flat
        candidates = np.flatnonzero(((rest >= -1) & (rest <= 255)).all(axis=1))
        partners = [
            (a, b)
            for a in candidates
            for b in np.flatnonzero(((flat - rest[a] >= 0) & (flat - rest[a] <= 1)).all(axis=1))
        ]
        assert partners
        assert all(split.labels[a] != split.labels[b] for a, b in partners)


@needs_data
def test_permuted_images_have_the_patches_of_the_test_images_in_another_order() -> None:
    def patches(image: np.ndarray) -> list[bytes]:
        cells = range(0, 28, PATCH)
        return [image[i : i + PATCH, j : j + PATCH].tobytes() for i in cells for j in cells]

    images, moved = fashion_splits()["test"].images[:50], permuted_images("test")[:50]
    for before, after in zip(images, moved, strict=True):
        assert sorted(patches(before)) == sorted(patches(after))
        assert patches(before) != patches(after)


@needs_data
def test_uniform_images_have_every_level_alike() -> None:
    counts = np.bincount(uniform_images("test").reshape(-1), minlength=256)
    assert abs(counts / counts.mean() - 1).max() < 0.1


@needs_mnist
def test_validation_and_test_are_held_against_different_digits() -> None:
    test, validation = ({image.tobytes() for image in mnist_digits(split)} for split in ("test", "validation"))
    assert len(test) == len(validation) == NUM_ENERGIES
    assert not test & validation


def energies(task: FashionMNIST, energy: Callable[[np.ndarray], np.ndarray]) -> Mapping[str, float]:
    model = Model(energy=lambda x: torch.from_numpy(energy(x.numpy())))
    found = task.evaluate(model, seed=0, device="cpu", progress=quiet)
    assert {"energy of real images", "energy of blends", "energy of permuted"} <= set(found.arrays)
    return {name: estimate.value for name, estimate in found.scores.items()}


@needs_data
@needs_mnist
def test_energies_are_ranked_against_every_kind_and_one_that_knows_roughness_alone_misses_blends() -> None:
    rough = energies(FashionMNISTValidation(), lambda x: np.abs(np.diff(x, axis=-1)).mean(axis=(1, 2, 3)))
    assert set(rough) == {f"energy_auc_{kind}" for kind in ("uniform", "mnist", "blends", "permuted")}
    assert rough["energy_auc_uniform"] == 1.0
    assert rough["energy_auc_permuted"] > 0.6
    assert rough["energy_auc_blends"] < 0.6


# --- samples -------------------------------------------------------------------------------------------------


class Known:
    """A source of one kind of features."""

    def __init__(self, features: np.ndarray) -> None:
        self.n = len(features)
        self._features = features

    def features(self, which: FeatureSet) -> np.ndarray:
        return self._features


def inputs(classes: list[int]) -> FeatureInputs:
    return FeatureInputs(
        samples=np.zeros(len(classes)),
        energy=None,
        temperature=None,
        nfe=None,
        reference={},
        features=Known(np.eye(10)[classes]),  # type: ignore[arg-type]
    )


def test_class_shares_see_a_lost_class_and_a_swollen_one() -> None:
    least, most = (ClassShare(evaluator="x", features=LOGITS, num_samples=20, extreme=e) for e in ("min", "max"))
    even, lost = inputs([*range(10)] * 2), inputs([0, 0, *range(9), *range(9)])
    assert [metric.measure(even).value for metric in (least, most)] == [0.1, 0.1]
    assert [metric.measure(lost).value for metric in (least, most)] == [0.0, 0.2]
    assert (least.name, most.measure(even).better) == ("class_share_min@20", "lower")
    with pytest.raises(NotApplicable, match="exactly 20 samples"):
        least.measure(inputs([0]))


def test_class_accuracy_is_of_the_classes_in_turn() -> None:
    metric = ClassAccuracy(evaluator="x", features=LOGITS, num_samples=20, wanted=lambda: balanced_labels(20))
    assert metric.measure(inputs([*range(10)] * 2)).value == 1.0
    assert metric.measure(inputs([*range(1, 10), 0] * 2)).value == 0.0
    assert FashionMNISTClasses().labels().tolist()[:12] == [*range(10), 0, 1]


def test_copies_win_nothing_by_the_headline_whose_reference_no_method_sees() -> None:
    for task in (FashionMNIST(), FashionMNISTClasses()):
        fields = {metric.name: metric.protocol.fields for metric in task.metrics}
        for name in ("fd_fashion@10k", "kd_fashion@10k", "precision_fashion@10k", "fid@10k"):
            assert fields[name]["reference"] == "fashion_mnist test, 10,000"
        assert fields["nearest_train@10k"]["train"] == "fashion_mnist train, first 55,000"
    used = {str(metric.protocol.fields.get("reference")) for metric in FashionMNISTValidation().metrics}
    assert not {one for one in used if "test" in one}


def test_no_protocol_of_the_inception_is_that_of_colour_images() -> None:
    fields = {metric.name: metric.protocol.fields for metric in load_task("fashion_mnist").metrics}
    for name in ("fid@10k", "kid@10k"):
        assert fields[name]["extractor"] == "inception-2015-tensorflow"
        assert fields[name]["channels"] == "the grey one three times"


def test_the_inception_is_fetched_and_no_run_asks_for_it() -> None:
    task = FashionMNIST()
    assert INCEPTION_2015 in task.assets
    assert "inception-2015" not in {asset.name for asset in task.needed(training=True, weights=())}


class Halves:
    """An extractor of colour images: their mean level by channel."""

    name = "halves"
    kinds = {"mean": FeatureKind(dim=3)}
    fields: dict[str, Any] = {"extractor": "halves"}

    def load(self, device: str) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        return lambda images: {"mean": images.mean(axis=(1, 2))}


def test_grey_images_are_shown_as_colour_ones_of_three_equal_channels() -> None:
    grey = GreyAsColour(extractor=Halves())  # type: ignore[arg-type]
    images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    assert grey.load("cpu")(images)["mean"].tolist() == [[1.5] * 3, [5.5] * 3]
    with pytest.raises(InvalidFile, match=r"takes grey images \[n, height, width, 1\], got \[2, 2, 2, 3\]"):
        grey.load("cpu")(np.repeat(images, 3, axis=-1))


def test_bytes_of_another_shape_are_refused_by_the_net() -> None:
    with pytest.raises(InvalidFile, match=r"takes uint8 images \[n, 28, 28, 1\]"):
        FASHION_NET.load("cpu")(np.zeros((1, 32, 32, 3), dtype=np.uint8))


# --- what is scored later ------------------------------------------------------------------------------------


class TinyLater(TinyImages):
    """Its precision is left out."""

    scored_by = (METRICS[0], Later(METRICS[2], "it takes long"))


@pytest.fixture
def left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A record of `TinyLater`, its samples kept under the home."""
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DXBENCH_CACHE", str(tmp_path / "cache"))
    write_all(tmp_path / "data")
    task = TinyLater()
    monkeypatch.setattr("dxbench.boards.rescore.load_task", lambda name: task)
    samples = np.random.default_rng(0).integers(0, 256, size=(60, 8, 8, 3), dtype=np.uint8)
    found = task.evaluate_samples(samples, progress=quiet)
    run = record(0, 1.0).model_copy(
        update={
            "task": "tiny_images",
            "task_version": 1,
            "scores": found.scores,
            "notes": found.notes,
            "protocols": found.protocols,
            "samples_sha256": array_sha256(samples),
        }
    )
    folder = work_folder(tmp_path, task="tiny_images", method=run.method, run_id=run.run_id)
    folder.mkdir(parents=True)
    save_arrays(folder / "arrays.npz", {"samples": samples})
    return run, samples


def test_a_run_notes_what_it_leaves_out_and_the_command_that_adds_it(left_out: Any) -> None:
    run, _ = left_out
    assert "precision_tiny@60" not in run.scores
    assert run.notes["precision_tiny@60"] == ("it takes long; `dxbench records score` adds it to the record of a run")


def test_what_was_left_out_is_measured_of_the_kept_samples_and_nothing_else_moves(
    tmp_path: Path, left_out: Any
) -> None:
    run, samples = left_out
    whole = with_left_out(run, KeptSamples(tmp_path), progress=quiet)
    direct = TinyImages().evaluate_samples(samples, progress=quiet)
    assert whole.scores["precision_tiny@60"] == direct.scores["precision_tiny@60"]
    assert whole.scores["precision_tiny@60"].fingerprint in whole.protocols
    assert "precision_tiny@60" not in whole.notes
    assert whole.scores["fd_tiny@60"] == run.scores["fd_tiny@60"]
    unchanged = {"scores": run.scores, "notes": run.notes, "protocols": run.protocols}
    assert whole.model_copy(update=unchanged) == run
    assert with_left_out(whole, KeptSamples(tmp_path / "nowhere"), progress=quiet) is whole


def test_samples_that_are_gone_or_others_and_a_task_of_another_version_are_refused(
    tmp_path: Path, left_out: Any
) -> None:
    run, _ = left_out
    with pytest.raises(UsageError, match="run it again"):
        with_left_out(run, KeptSamples(tmp_path / "nowhere"), progress=quiet)
    with pytest.raises(UsageError, match="not those that were scored"):
        with_left_out(run.model_copy(update={"samples_sha256": "0" * 64}), KeptSamples(tmp_path), progress=quiet)
    with pytest.raises(UsageError, match="version 9 of tiny_images, and 1 is installed"):
        with_left_out(run.model_copy(update={"task_version": 9}), KeptSamples(tmp_path), progress=quiet)


def test_a_task_that_leaves_nothing_out_says_so(tmp_path: Path, left_out: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dxbench.boards.rescore.load_task", lambda name: TinyImages())
    with pytest.raises(UsageError, match="no metric that runs leave out"):
        with_left_out(left_out[0], KeptSamples(tmp_path), progress=quiet)
