"""One pass for all metrics, the cache, and what is refused."""

import resource
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small
import torch
from safetensors.torch import save_file
from small import small_extractor, weights_at

from dxbench.api import NotApplicable
from dxbench.errors import InvalidFile, MissingData
from dxbench.features.cache import FeatureCache
from dxbench.features.extractor import NetworkExtractor
from dxbench.features.protocols import fidelity, memorisation
from dxbench.features.scoring import score_images, score_statistics
from dxbench.features.sources import ImageSource, StatisticsSource
from dxbench.metrics.images.features import FeatureSet
from dxbench.metrics.images.frechet import array_moments, frechet_distance

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, size=(60, 8, 8, 1), dtype=np.uint8)
TRAIN = RNG.integers(0, 200, size=(50, 8, 8, 1), dtype=np.uint8)
TEST = RNG.integers(0, 200, size=(40, 8, 8, 1), dtype=np.uint8)


@pytest.fixture
def extractor(tmp_path: Path) -> NetworkExtractor:
    small.seen.clear()
    return small_extractor(tmp_path)


@pytest.fixture
def pooled(extractor: NetworkExtractor) -> FeatureSet:
    return FeatureSet(extractor=extractor, kind="pooled")


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(folder=tmp_path / "cache")


def quiet(text: str) -> None:
    pass


class TestOnePass:
    def test_all_kinds_and_moments_come_from_one_pass(self, extractor: NetworkExtractor, pooled: FeatureSet) -> None:
        source = ImageSource(IMAGES, batch_size=25)
        source.features(pooled)
        source.features(FeatureSet(extractor=extractor, kind="logits"))
        source.moments(pooled)
        source.moments(pooled)
        assert small.seen == [25, 25, 10]

    @pytest.mark.parametrize("batch_size", [1, 7, 60, 1000])
    def test_features_do_not_depend_on_the_batch_size(self, pooled: FeatureSet, batch_size: int) -> None:
        got = ImageSource(IMAGES, batch_size=batch_size).features(pooled)
        np.testing.assert_allclose(got, ImageSource(IMAGES).features(pooled), rtol=1e-5, atol=1e-6)

    def test_a_task_of_many_metrics_passes_once_over_each_set(self, extractor: NetworkExtractor) -> None:
        metrics = [
            *fidelity(
                extractor, evaluator="small@1", reference="train", num_reference=50, num_samples=60, subset_size=20
            ),
            *memorisation(
                FeatureSet(extractor=extractor, kind="pooled"),
                evaluator="small@1", train="train", num_train=50, test="test", num_samples=60,
            ),
        ]  # fmt: skip
        references = {"train": ImageSource(TRAIN), "test": ImageSource(TEST)}
        evaluation = score_images(metrics, IMAGES, references, progress=quiet)
        assert sorted(small.seen) == [40, 50, 60]
        assert evaluation.notes == {}
        assert set(evaluation.scores) == {
            "fd_small@60", "kd_small@60", "precision@60", "recall@60",
            "fd_small_train@60", "fd_small_test@60", "nearest_train@60",
        }  # fmt: skip
        # The samples are darker nowhere and brighter often: both references are as far.
        assert evaluation.scores["fd_small_train@60"].value == evaluation.scores["fd_small@60"].value

    def test_copies_of_the_training_set_are_seen(self, extractor: NetworkExtractor) -> None:
        features = FeatureSet(extractor=extractor, kind="pooled")
        references = {"train": ImageSource(TRAIN), "test": ImageSource(TEST)}
        values = []
        for images in (TRAIN[:40], TEST):
            metrics = memorisation(
                features, evaluator="small@1", train="train", num_train=50, test="test", num_samples=40
            )
            scores = score_images(metrics, images, references, progress=quiet).scores
            values.append(scores["nearest_train@40"].value)
        assert values[0] == 0.0
        assert values[1] > 0.01

    def test_no_extractor_but_the_2015_inception_is_called_fid(self, extractor: NetworkExtractor) -> None:
        from dxbench.features.inception import INCEPTION_CLEAN, INCEPTION_TENSORFLOW, INCEPTION_TORCH
        from dxbench.features.resnet56 import RESNET56

        for other in (extractor, RESNET56):
            assert not [k for kind in other.kinds.values() for k in (kind.frechet, kind.kernel) if "id" in k]
        names = [e.kinds["pool3"].frechet for e in (INCEPTION_TENSORFLOW, INCEPTION_TORCH, INCEPTION_CLEAN)]
        assert names == ["fid", "fid_pytorch", "fid_clean"]


class TestStatistics:
    def test_give_the_distance_their_images_give(self, extractor: NetworkExtractor, pooled: FeatureSet) -> None:
        source = ImageSource(IMAGES)
        moments = source.moments(pooled)
        metrics = fidelity(
            extractor, evaluator="small@1", reference="train", num_reference=50, num_samples=60, subset_size=20
        )
        evaluation = score_statistics(
            metrics, {"pooled": (moments.mean, moments.cov)}, {"train": ImageSource(TRAIN)},
            extractor=extractor, n=60, progress=quiet,
        )  # fmt: skip
        wanted = frechet_distance(array_moments(source.features(pooled)), ImageSource(TRAIN).moments(pooled))
        assert evaluation.scores["fd_small@60"].value == pytest.approx(wanted)
        assert evaluation.notes["precision@60"] == "only mean and covariance are at hand, no features"
        assert "of 60 images" in evaluation.warnings[0]

    def test_of_an_unknown_or_another_number_are_not_scored(self, extractor: NetworkExtractor) -> None:
        metrics = fidelity(extractor, evaluator="small@1", reference="train", num_reference=50, num_samples=60)
        for n, words in ((None, "do not say how many"), (59, "exactly 60 samples, got 59")):
            evaluation = score_statistics(
                metrics, {"pooled": (np.zeros(6), np.eye(6))}, {"train": ImageSource(TRAIN)},
                extractor=extractor, n=n, progress=quiet,
            )  # fmt: skip
            assert evaluation.scores == {}
            assert words in evaluation.notes["fd_small@60"]

    def test_of_other_features_are_refused(self, extractor: NetworkExtractor, pooled: FeatureSet) -> None:
        wide = array_moments(np.random.default_rng(0).standard_normal((20, 7)))
        with pytest.raises(InvalidFile, match="has 6 dimensions, the file 7"):
            StatisticsSource(extractor, {"pooled": wide}, n=20)
        other = replace(extractor, name="other")
        source = StatisticsSource(extractor, {}, n=20)
        with pytest.raises(NotApplicable, match="no statistics of pooled of other"):
            source.moments(FeatureSet(extractor=other, kind="pooled"))


class TestCache:
    def test_a_second_run_computes_nothing(self, pooled: FeatureSet, cache: FeatureCache) -> None:
        first = ImageSource(IMAGES, cache=cache).features(pooled)
        small.seen.clear()
        assert np.array_equal(ImageSource(IMAGES.copy(), cache=cache).features(pooled), first)
        assert small.seen == []

    def test_other_pixels_and_other_weights_are_other_entries(
        self, pooled: FeatureSet, cache: FeatureCache, tmp_path: Path
    ) -> None:
        first = ImageSource(IMAGES, cache=cache).features(pooled)
        brighter = IMAGES.copy()
        brighter[0, 0, 0] ^= 1
        assert not np.array_equal(ImageSource(brighter, cache=cache).features(pooled), first)
        other = FeatureSet(extractor=small_extractor(tmp_path, seed=1), kind="pooled")
        assert not np.isclose(ImageSource(IMAGES, cache=cache).features(other), first).all()
        assert small.seen == [60, 60, 60]

    @pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied"])
    def test_a_damaged_entry_is_computed_again(self, pooled: FeatureSet, cache: FeatureCache, damage: str) -> None:
        first = ImageSource(IMAGES, cache=cache).features(pooled)
        (file,) = cache.folder.rglob("*.safetensors")
        content = bytearray(file.read_bytes())
        content[-5] ^= 255
        file.write_bytes({"truncated": content[:-9], "flipped": content, "emptied": b""}[damage])
        small.seen.clear()
        assert np.array_equal(ImageSource(IMAGES, cache=cache).features(pooled), first)
        assert small.seen == [60]
        ImageSource(IMAGES, cache=cache).features(pooled)
        assert small.seen == [60]

    def test_a_full_disk_costs_the_entry_not_the_number(
        self, pooled: FeatureSet, cache: FeatureCache, full_disk: None
    ) -> None:
        warnings: list[str] = []
        got = ImageSource(IMAGES, cache=cache, warn=warnings.append).features(pooled)
        assert got.shape == (60, 6)
        assert len(warnings) == 1
        assert "were not kept" in warnings[0]
        assert [path for path in cache.folder.rglob("*") if path.is_file()] == []

    def test_failures_are_not_kept(self, extractor: NetworkExtractor, cache: FeatureCache, tmp_path: Path) -> None:
        save_file({"linear.weight": torch.full((6, 64), torch.nan)}, tmp_path / "nan.safetensors")
        broken = FeatureSet(
            extractor=replace(extractor, weights=weights_at(tmp_path / "nan.safetensors")), kind="pooled"
        )
        with pytest.raises(ValueError, match="features of small are not finite"):
            ImageSource(IMAGES, cache=cache).features(broken)
        assert not list(cache.folder.rglob("*.safetensors"))


@pytest.fixture
def full_disk() -> Iterator[None]:
    """The system refuses files beyond 1,000 bytes, as a full disk refuses the next block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


class TestBadInput:
    @pytest.mark.parametrize(
        "images",
        [
            np.zeros((3, 8, 8, 3), np.uint8),
            np.zeros((3, 8, 8, 4), np.uint8),
            np.zeros((3, 9, 8, 1), np.uint8),
            np.zeros((3, 8, 8), np.uint8),
            np.zeros((3, 8, 8, 1), np.float32),
        ],
        ids=["colour", "alpha", "wrong size", "no channel", "floats"],
    )
    def test_other_images_are_refused_with_the_shape_wanted(self, pooled: FeatureSet, images: np.ndarray) -> None:
        with pytest.raises(InvalidFile, match=r"takes uint8 images \[n, 8, 8, 1\]"):
            ImageSource(images).features(pooled)

    def test_weights_of_another_network_are_refused(self, extractor: NetworkExtractor, tmp_path: Path) -> None:
        save_file({"conv.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
        weights = weights_at(tmp_path / "other.safetensors")
        with pytest.raises(InvalidFile, match=r"other.safetensors does not fit small.*linear.weight"):
            replace(extractor, weights=weights).load("cpu")

    def test_a_pickle_that_runs_code_is_refused_unrun(self, extractor: NetworkExtractor, tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> tuple[object, ...]:
                return Path.touch, (tmp_path / "ran",)

        torch.save({"linear.weight": Evil()}, tmp_path / "evil.pth")
        weights = weights_at(tmp_path / "evil.pth")
        with pytest.raises(InvalidFile, match="was refused"):
            replace(extractor, weights=weights).load("cpu")
        assert not (tmp_path / "ran").exists()

    def test_missing_weights_stop_the_scoring(self, extractor: NetworkExtractor) -> None:
        weights = replace(extractor.weights, path="absent.safetensors")
        metrics = fidelity(
            replace(extractor, weights=weights),
            evaluator="small@1",
            reference="train",
            num_reference=50,
            num_samples=60,
        )
        with pytest.raises(MissingData, match="dxbench prepare --task small"):
            score_images(metrics, IMAGES, {"train": ImageSource(TRAIN)}, progress=quiet)

    @pytest.mark.parametrize("n", [59, 61])
    def test_too_few_and_too_many_samples_are_no_number(self, extractor: NetworkExtractor, n: int) -> None:
        metrics = fidelity(extractor, evaluator="small@1", reference="train", num_reference=50, num_samples=n)
        evaluation = score_images(metrics, IMAGES, {"train": ImageSource(TRAIN)}, progress=quiet)
        assert evaluation.scores == {}
        assert evaluation.notes[f"fd_small@{n}"] == f"needs exactly {n} samples, got 60"

    def test_a_manifold_of_another_number_of_references_is_no_number(self, extractor: NetworkExtractor) -> None:
        metrics = fidelity(
            extractor, evaluator="small@1", reference="train", num_reference=49, num_samples=60, subset_size=20
        )
        notes = score_images(metrics, IMAGES, {"train": ImageSource(TRAIN)}, progress=quiet).notes
        assert notes == {
            "precision@60": "needs exactly 49 references, got 50",
            "recall@60": "needs exactly 49 references, got 50",
        }
