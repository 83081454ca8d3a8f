"""Metrics on features as objects: what they are called, what their protocols fix, when they give no number."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from dxbench.api import EvaluationInputs, NotApplicable
from dxbench.assets.inception import TRUNK_DIGEST
from dxbench.features.inception import INCEPTION_TENSORFLOW
from dxbench.features.protocols import adm, clean, edm, memorisation, pytorch_fid
from dxbench.metrics.images.features import (
    Extract,
    FeatureInputs,
    FeatureKind,
    FeatureMetric,
    FeatureSet,
    short_count,
)
from dxbench.metrics.images.fidelity import (
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    KernelKL,
    NearestTrain,
    Precision,
    RandomSubsets,
    Recall,
)
from dxbench.metrics.images.frechet import Moments, array_moments


@dataclass(frozen=True)
class Flat:
    """An extractor whose features are known beforehand."""

    name: str = "flat"
    kinds: dict[str, FeatureKind] = field(default_factory=lambda: {"x": FeatureKind(dim=4, frechet="fd_flat")})
    fields: dict[str, Any] = field(default_factory=lambda: {"extractor": "flat"})

    def load(self, device: str) -> Extract:
        raise NotImplementedError


@dataclass(frozen=True)
class Known:
    """A source of given features."""

    array: np.ndarray

    @property
    def n(self) -> int:
        return len(self.array)

    def features(self, which: FeatureSet) -> np.ndarray:
        return self.array

    def moments(self, which: FeatureSet) -> Moments:
        return array_moments(self.array)


X = FeatureSet(extractor=Flat(), kind="x")
RNG = np.random.default_rng(0)
TRAIN, TEST = RNG.standard_normal((80, 4)), RNG.standard_normal((40, 4)) + 1
ALL: list[Any] = [
    FrechetDistance(evaluator="test@1", features=X, num_samples=50, reference="train"),
    KernelDistance(evaluator="test@1", features=X, num_samples=50, reference="train", subsets=4, subset_size=30),
    Precision(evaluator="test@1", features=X, num_samples=50, reference="train", num_reference=80),
    Recall(evaluator="test@1", features=X, num_samples=50, reference="train", num_reference=80),
    InceptionScore(evaluator="test@1", features=X, num_samples=50, splits=5),
    NearestTrain(evaluator="test@1", features=X, num_samples=50, train="train", num_train=80),
    KernelKL(
        evaluator="test@1",
        features=X,
        num_samples=50,
        reference="train",
        components=2,
        pairing=RandomSubsets(count=3, size=30),
    ),
]


def inputs(samples: np.ndarray) -> FeatureInputs:
    return FeatureInputs(
        samples=None,
        energy=None,
        temperature=None,
        nfe=None,
        features=Known(samples),
        reference={"train": Known(TRAIN), "test": Known(TEST)},
    )


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
class TestEveryMetric:
    def test_carries_n_in_its_name_and_its_protocol(self, metric: FeatureMetric) -> None:
        assert metric.name.endswith("@50")
        assert metric.protocol.fields["n_samples"] == 50
        assert metric.protocol.name == metric.name
        assert replace(metric, num_samples=60).protocol.fingerprint != metric.protocol.fingerprint

    def test_is_of_exactly_n_samples(self, metric: Any) -> None:
        samples = RNG.standard_normal((51, 4))
        estimate = metric.measure(inputs(samples[:50]))
        assert np.isfinite(estimate.value)
        assert estimate.fingerprint == metric.protocol.fingerprint
        for n in (49, 51):
            with pytest.raises(NotApplicable, match=f"exactly 50 samples, got {n}"):
                metric.measure(inputs(samples[:n]))

    def test_gives_the_same_number_twice(self, metric: Any) -> None:
        samples = np.random.default_rng(3).standard_normal((50, 4))
        assert metric.measure(inputs(samples)) == metric.measure(inputs(samples))

    def test_has_nothing_to_measure_without_features(self, metric: Any) -> None:
        nothing = EvaluationInputs(samples=np.zeros((50, 4)), energy=None, temperature=None, nfe=None, reference=None)
        with pytest.raises(NotApplicable):
            metric.measure(nothing)


@pytest.mark.parametrize(
    ("metric", "change"),
    [
        (ALL[0], {"reference": "test"}),
        (ALL[0], {"evaluator": "test@2"}),
        (ALL[1], {"subset_size": 20}),
        (ALL[1], {"subsets": 5}),
        (ALL[2], {"k": 5}),
        (ALL[2], {"num_reference": 70}),
        (ALL[4], {"splits": 10}),
        (ALL[5], {"num_train": 70}),
        (ALL[6], {"components": 3}),
        (ALL[0], {"features": FeatureSet(extractor=Flat(fields={"extractor": "flat", "resize": "other"}), kind="x")}),
    ],
)
def test_every_choice_changes_the_fingerprint(metric: Any, change: dict[str, Any]) -> None:
    assert replace(metric, **change).protocol.fingerprint != metric.protocol.fingerprint


def test_precision_and_recall_do_not_share_a_fingerprint() -> None:
    assert ALL[2].protocol.fingerprint != ALL[3].protocol.fingerprint


def test_precision_and_recall_stand_the_right_way_round() -> None:
    """Samples of one of two real modes: precise, but half is lost."""
    real = np.concatenate([RNG.standard_normal((40, 4)), RNG.standard_normal((40, 4)) + 50])
    seen = replace(inputs(RNG.standard_normal((50, 4))), reference={"train": Known(real)})
    assert ALL[2].measure(seen).value > 0.7
    assert ALL[3].measure(seen).value <= 0.5


def test_which_way_is_better() -> None:
    seen = inputs(RNG.standard_normal((50, 4)))
    assert [metric.measure(seen).better for metric in ALL] == [
        "lower",
        "lower",
        "higher",
        "higher",
        "higher",
        "none",
        "lower",
    ]


def test_sorted_samples_have_no_inception_score() -> None:
    logits = 9.0 * np.eye(4)[np.sort(np.arange(48) % 4)]
    metric = InceptionScore(evaluator="test@1", features=X, num_samples=48, splits=4)
    with pytest.raises(NotApplicable, match="sorted by class"):
        metric.measure(inputs(logits))
    assert metric.measure(inputs(RNG.permutation(logits))).value > 2


def test_subsets_larger_than_a_side_are_no_number() -> None:
    with pytest.raises(NotApplicable, match="subsets of 60"):
        replace(ALL[1], subset_size=60).measure(inputs(RNG.standard_normal((50, 4))))


def test_copying_shows_in_the_memorisation_columns() -> None:
    metrics = memorisation(X, evaluator="test@1", train="train", num_train=80, test="test", num_samples=40)
    copied = [metric.measure(inputs(TRAIN[:40])).value for metric in metrics]
    honest = [metric.measure(inputs(TEST)).value for metric in metrics]
    assert copied[0] < copied[1]
    assert honest[1] == pytest.approx(0.0, abs=1e-9)
    assert copied[2] == 0.0 < honest[2]


def test_named_protocols_differ_where_evaluators_do() -> None:
    """Same N, same reference: the resize and the reference tell FIDs apart, and names do not collide."""
    metrics = [
        *adm(reference="train", manifold="batch"),
        *edm(reference="edm"),
        *pytorch_fid(reference="train"),
        *clean(reference="train"),
    ]
    names = [metric.name for metric in metrics]
    assert names == [
        "fid@50k", "sfid@50k", "inception_score@50k", "precision@50k", "recall@50k",
        "fid_edm@50k", "fid_pytorch@50k", "fid_clean@50k", "kid_clean@50k",
    ]  # fmt: skip
    assert len({metric.protocol.fingerprint for metric in metrics}) == len(metrics)
    assert metrics[1].protocol.fields["dim"] == 2023
    evaluators = [metric.protocol.fields["evaluator"] for metric in metrics]
    assert evaluators == ["adm@1"] * 5 + ["edm@1", "pytorch-fid@1", "clean@1", "clean@1"]
    assert metrics[0].protocol.fields["tensors_sha256"] == TRUNK_DIGEST
    assert {metric.features.extractor for metric in metrics[:6]} == {INCEPTION_TENSORFLOW}


@pytest.mark.parametrize(("n", "text"), [(50_000, "50k"), (10_000, "10k"), (1797, "1797"), (500, "500")])
def test_counts_are_short(n: int, text: str) -> None:
    assert short_count(n) == text


def test_the_kernel_kl_grows_with_a_shift_along_the_leading_axis_and_sees_nothing_off_the_axes_kept() -> None:
    """Of unit variance along the axis kept, a shift of m is a KL of m^2 / 2."""
    metric = KernelKL(
        evaluator="test@1",
        features=X,
        num_samples=600,
        reference="train",
        components=1,
        pairing=RandomSubsets(count=3, size=500),
    )
    rng, stds = np.random.default_rng(0), np.array([1.0, 0.1, 0.1, 0.1])
    reference = rng.standard_normal((600, 4)) * stds

    def value(shift: np.ndarray) -> float:
        samples = np.random.default_rng(1).standard_normal((600, 4)) * stds + shift
        known = replace(inputs(samples), reference={"train": Known(reference)})
        return metric.measure(known).value

    assert value(np.array([1.0, 0, 0, 0])) == pytest.approx(0.5, abs=0.15)
    assert value(np.array([0, 0, 0, 3.0])) == pytest.approx(0.0, abs=0.05)
