"""Frechet distances of fewer samples: previews under their own names, which say that they are biased."""

from pathlib import Path

import numpy as np
import pytest
from tiny_images import METRICS, TRAIN, N, TinyImages, write_all

from dxbench.errors import InvalidFile
from dxbench.features.protocols import previews
from dxbench.metrics.cards import card_of
from dxbench.tasks.cifar10 import FID, Cifar10
from dxbench.tasks.imagenet64 import ImageNet64, ImageNet64Balanced
from dxbench.tasks.lsun_bedroom import LSUNBedroom


class Previewed(TinyImages):
    """Sixty images, or a preview of twenty."""

    previews = (METRICS[0].__class__(**{**vars(METRICS[0]), "num_samples": 20}),)


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Previewed:
    write_all(tmp_path)
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("DXBENCH_CACHE", str(tmp_path / "cache"))
    return Previewed()


def quiet(text: str) -> None:
    """Nobody listens."""


@pytest.mark.parametrize("kind", [Cifar10, ImageNet64, ImageNet64Balanced, LSUNBedroom])
def test_tasks_of_fid_have_previews_of_5000_and_10000_samples(kind: type[Cifar10]) -> None:
    assert [metric.name for metric in kind.previews] == ["fid@5k", "fid@10k"]
    whole = next(metric for metric in kind.scored_by if metric.name == "fid@50k")
    for metric, n in zip(kind.previews, (5_000, 10_000), strict=True):
        fields = {**whole.protocol.fields, "n_samples": n}
        assert metric.protocol.fields == fields, "a preview differs from FID in the number of samples alone"
        assert metric.protocol.fingerprint != whole.protocol.fingerprint
        assert metric.name not in {one.name for one in kind.scored_by}, "runs do not measure it"
        assert f"Of {n:,} samples." in card_of(metric).summary
    assert [metric.num_samples for metric in previews(FID)] == [5_000, 10_000]


def test_so_many_samples_give_the_preview_alone_and_say_that_it_is_biased(task: Previewed) -> None:
    few = task.evaluate_samples(TRAIN.images[:20], progress=quiet)
    assert list(few.scores) == ["fd_tiny@20"]
    (warning,) = few.warnings
    assert "fd_tiny@20 is a preview" in warning
    assert "biased upwards" in warning
    assert "comparable with no FID of 60 samples" in warning
    whole = task.evaluate_samples(TRAIN.images[:N], progress=quiet)
    assert "fd_tiny@60" in whole.scores
    assert whole.warnings == ()


def test_a_preview_is_larger_than_the_distance_of_all_samples_of_the_same_law(task: Previewed) -> None:
    rng = np.random.default_rng(0)
    rows = [rng.choice(100, N, replace=False) for _ in range(8)]
    few = [task.evaluate_samples(TRAIN.images[row[:20]], progress=quiet).scores["fd_tiny@20"].value for row in rows]
    many = [task.evaluate_samples(TRAIN.images[row], progress=quiet).scores["fd_tiny@60"].value for row in rows]
    assert np.mean(few) > np.mean(many) + 3 * np.std(many, ddof=1) / len(rows) ** 0.5


def test_any_other_number_is_refused_with_those_that_would_do(task: Previewed) -> None:
    with pytest.raises(InvalidFile, match="exactly 60 samples, or on 20 for a preview of FID, got 30"):
        task.evaluate_samples(TRAIN.images[:30], progress=quiet)
    with pytest.raises(InvalidFile, match="exactly 60 samples, got 30"):
        TinyImages().evaluate_samples(TRAIN.images[:30], progress=quiet)


def test_statistics_of_so_many_samples_give_the_preview(task: Previewed) -> None:
    features = np.random.default_rng(0).normal(size=(20, 5))
    statistics = {"pooled": (features.mean(axis=0), np.cov(features, rowvar=False))}
    found = task.evaluate_statistics(statistics, n=20, progress=quiet)
    assert list(found.scores) == ["fd_tiny@20"]
    assert any("biased upwards" in warning for warning in found.warnings)
