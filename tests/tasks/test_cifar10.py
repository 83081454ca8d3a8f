"""The tasks of CIFAR-10, ImageNet 64x64 and LSUN: what their protocols fix, and what happens without their files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Ended

from dxbench.assets.catalogue import CIFAR10_SUBSET, RESNET56_CIFAR10
from dxbench.errors import InvalidFile
from dxbench.plugins.registry import load_task
from dxbench.tasks.cifar10 import FD_RESNET56_FLOOR, HALF, Cifar10Subset, halves, read_subset
from dxbench.tasks.imagenet64 import CLASSES, ImageNet64, ImageNet64Balanced

NAMES = ("cifar10", "imagenet64", "imagenet64_balanced", "lsun_bedroom")
HERE = Path(__file__).parent


@pytest.mark.parametrize("name", NAMES)
def test_papers_tasks_score_fifty_thousand_by_adms_evaluator(name: str) -> None:
    task = load_task(name)
    metrics = {metric.name: metric for metric in task.metrics}
    assert {"fid@50k", "sfid@50k", "inception_score@50k", "precision@50k", "recall@50k", "fid@50k_start"} <= set(
        metrics
    )
    assert set(task.headline) <= set(metrics)
    fields = metrics["precision@50k"].protocol.fields
    assert (fields["n_samples"], fields["n_reference"], fields["k"]) == (50_000, 10_000, 3)
    assert metrics["fid@50k"].protocol.fields.items() <= metrics["fid@50k_start"].protocol.fields.items()


def test_the_subset_is_never_said_to_be_fid() -> None:
    assert not [metric.name for metric in Cifar10Subset().metrics if "fid" in metric.name]


def test_both_references_and_the_choice_of_classes_stand_in_the_protocols() -> None:
    random, balanced = (
        {metric.name: metric.protocol for metric in task.metrics} for task in (ImageNet64(), ImageNet64Balanced())
    )
    assert random["fid@50k"].fields["reference"] != random["fid_edm@50k"].fields["reference"]
    assert random["fid@50k"].fields["labels"] == "uniformly random"
    assert {name for name in random if random[name].fingerprint == balanced[name].fingerprint} == set()


def test_classes_of_samples_are_fixed_and_balanced_ones_fifty_each() -> None:
    labels, again = ImageNet64().labels(), ImageNet64().labels()
    assert np.array_equal(labels, again)
    assert set(np.bincount(labels, minlength=CLASSES)) != {50}
    balanced = ImageNet64Balanced().labels()
    assert set(np.bincount(balanced, minlength=CLASSES)) == {50}
    assert len(np.unique(balanced[:5000])) > 900  # not sorted by class, which would spoil the inception score


@pytest.mark.parametrize("name", NAMES)
def test_without_its_weights_a_run_ends_with_7_and_the_command(
    dxbench: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    method = f"{HERE / 'test_image_tasks.py'}:PainterMethod"
    ended = dxbench("run", "-t", name, "-m", method, "--no-report")
    assert ended.code == 7
    assert f"fetch them with `dxbench prepare --task {name} --method {method}`" in ended.err
    task = load_task(name)
    for asset in task.needed(training="cifar10" in name, weights=()):
        assert f"no {Path(asset.path).name} ({asset.title}, {asset.amount})" in ended.err
    assert "fid" not in ended.out.lower()


def test_prepare_lists_fetches_nothing_offline_and_names_what_it_knows(
    dxbench: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    listed = dxbench("prepare", "-t", "imagenet64", "--list")
    assert listed.code == 0
    assert "1d675b47d978889d74fa0da5fadfb00e" in listed.out
    assert "`dxbench prepare --task" in listed.out
    offline = dxbench("prepare", "-t", "imagenet64", "--offline", "--json")
    assert offline.code == 7
    assert {one["name"]: one["state"] for one in offline.json} == {
        "imagenet64": "by hand",
        "inception-2015": "missing",
        "imagenet64-adm-reference": "missing",
        "imagenet64-edm-reference": "missing",
        "edm-imagenet64": "missing",
        "edm-imagenet64-nvidia": "missing",
        "cd-lpips-imagenet64": "missing",
        "cd-l2-imagenet64": "missing",
        "ct-imagenet64": "missing",
        "vgg16": "missing",
        "lpips-vgg": "missing",
        "dxmi-sampler-imagenet64-t10": "by hand",
        "dxmi-sampler-imagenet64-t4": "by hand",
        "dxmi-value-imagenet64-t10": "by hand",
        "dxmi-value-imagenet64-t4": "by hand",
    }
    assert all(one["licence"] for one in offline.json)
    monkeypatch.setenv("DXBENCH_OFFLINE", "1")
    assert dxbench("prepare", "-t", "cifar10", "--only", "inception-2015").code == 7
    wrong = dxbench("prepare", "-t", "cifar10", "--only", "inception")
    assert wrong.code == 2
    assert "Did you mean 'inception-2015'" in wrong.err
    nothing = dxbench("prepare", "-t", "gaussians8")
    assert (nothing.code, nothing.out.strip()) == (0, "gaussians8 needs no files")
    (tmp_path / "weights").mkdir()
    (tmp_path / RESNET56_CIFAR10.path).write_bytes(b"damaged")
    damaged = dxbench("prepare", "-t", "cifar10_subset", "--only", "resnet56-cifar10")
    assert damaged.code == 5
    assert "wanted sha256 4bfd9763" in damaged.out


def test_files_that_are_no_subset_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "subset.npz"
    images = np.zeros((3, 32, 32, 3), np.uint8)
    for arrays in ({}, dict.fromkeys(("train_images", "train_labels", "test_images", "test_labels"), images)):
        np.savez(path, **arrays)
        with pytest.raises(InvalidFile, match=r"subset.npz"):
            read_subset(path)
    path.write_bytes(b"no archive")
    with pytest.raises(InvalidFile, match="not a readable npz"):
        read_subset(path)


def test_halves_are_disjoint_and_of_one_size() -> None:
    a, b = halves()
    assert (len(a), len(b), len(np.union1d(a, b))) == (HALF, HALF, 2 * HALF)


@pytest.mark.slow
@pytest.mark.skipif(
    CIFAR10_SUBSET.find() is None or RESNET56_CIFAR10.find() is None, reason="needs the subset under DXBENCH_DATA"
)
def test_the_floor_is_the_distance_of_real_halves_and_the_row_data_has_it() -> None:
    task = Cifar10Subset()
    model = task.problem(oracle=True).oracle
    assert model is not None
    scores = task.evaluate(model, seed=0, device="cpu", progress=lambda text: None).scores
    floor = scores[FD_RESNET56_FLOOR.name]
    assert floor.better == "none"
    assert scores["fd_resnet56@4034"].value == pytest.approx(floor.value, rel=1e-3)
    assert 0 < floor.value < 0.2
    assert scores["precision_resnet56@4034"].value > 0.7
    assert scores["nearest_train@4034"].value == pytest.approx(0, abs=1e-3)
