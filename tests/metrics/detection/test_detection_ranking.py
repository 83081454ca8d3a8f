"""Ranking metrics against scikit-learn, against their definitions, and on bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from dxbench.metrics.detection.metrics import GroupScores
from dxbench.metrics.detection.ranking import auroc, auroc_standard_error, average_precision, f1_max, min_rank
from dxbench.metrics.detection.regions import RankedPixels
from dxbench.tasks.detection import Group


def labels_and_scores(normal: np.ndarray, anomalous: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.r_[np.zeros(len(normal)), np.ones(len(anomalous))], np.r_[normal, anomalous]


def draws(seed: int, *, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    normal, anomalous = rng.normal(0, 1, 300), rng.normal(1, 2, 90)
    return (normal.round(), anomalous.round()) if ties else (normal, anomalous)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ties", [False, True])
def test_auroc_ap_and_f1_equal_scikit_learn(seed: int, ties: bool) -> None:
    normal, anomalous = draws(seed, ties=ties)
    y, s = labels_and_scores(normal, anomalous)
    assert auroc(normal, anomalous) == pytest.approx(roc_auc_score(y, s), abs=1e-12)
    assert average_precision(normal, anomalous) == pytest.approx(average_precision_score(y, s), abs=1e-12)
    precision, recall, _ = precision_recall_curve(y, s)
    best = np.max(2 * precision * recall / (precision + recall + 1e-300))
    assert f1_max(normal, anomalous) == pytest.approx(best, abs=1e-12)


@settings(max_examples=60)
@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=12),
    st.lists(st.integers(-3, 3), min_size=1, max_size=12),
)
def test_auroc_counts_pairs_and_ties_half(normal: list[int], anomalous: list[int]) -> None:
    pairs = [(a > n) + 0.5 * (a == n) for n in normal for a in anomalous]
    assert auroc(np.array(normal, float), np.array(anomalous, float)) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_anomalibs_published_cases_of_the_best_f1() -> None:
    """By value, from anomalib's tests of its F1Max (Apache-2.0); 6/7 is its 0.8571."""
    assert f1_max(np.array([0.1]), np.array([0.5, 0.9, 1.0])) == 1.0
    assert f1_max(np.array([0.1]), np.array([0.5, 0.9, 0.1])) == pytest.approx(6 / 7)
    assert f1_max(np.array([-0.5]), np.array([0.0, 0.5, 1.0, 2.0])) == 1.0
    assert f1_max(np.array([0.0]), np.array([0.0, 1.0, 1.0])) == pytest.approx(6 / 7)


def test_an_auroc_below_one_half_is_not_turned_round() -> None:
    assert auroc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 0.0


def test_energies_far_outside_0_to_1_keep_their_order() -> None:
    """A float32 sigmoid would make all of these 1 and the AUROC 0.5."""
    assert auroc(np.array([50.0, 51.0]), np.array([52.0, 53.0])) == 1.0


def test_constant_scores_give_one_half() -> None:
    assert auroc(np.full(7, 3.0), np.full(4, 3.0)) == 0.5
    assert average_precision(np.full(6, 3.0), np.full(2, 3.0)) == pytest.approx(0.25)


def test_min_rank_is_the_share_of_normals_below_the_lowest_anomaly() -> None:
    normal = np.arange(10.0)
    assert min_rank(normal, np.array([2.5, 99.0])) == pytest.approx(0.3)
    assert min_rank(normal, np.array([-1.0, 99.0])) == 0.0
    assert min_rank(normal, np.array([99.0])) == 1.0


@pytest.mark.parametrize("statistic", [auroc, average_precision, f1_max, min_rank])
def test_nan_and_empty_sets_are_refused(statistic: object) -> None:
    good = np.arange(3.0)
    with pytest.raises(ValueError, match="1 of 3 anomalous scores are not finite"):
        statistic(good, np.array([0.0, np.nan, 1.0]))  # type: ignore[operator]
    with pytest.raises(ValueError, match="1 of 2 normal scores are not finite"):
        statistic(np.array([np.inf, 1.0]), good)  # type: ignore[operator]
    with pytest.raises(ValueError, match="no anomalous scores"):
        statistic(good, np.array([]))  # type: ignore[operator]


def test_the_standard_error_of_an_auroc_is_that_of_fresh_test_sets() -> None:
    rng = np.random.default_rng(0)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        return rng.normal(0, 1, 40), rng.normal(1, 2, 25)

    sets = [draw() for _ in range(2000)]
    wanted = np.std([auroc(*one) for one in sets])
    assert np.mean([auroc_standard_error(*one) for one in sets]) == pytest.approx(wanted, rel=0.05)
    assert auroc_standard_error(np.zeros(5), np.zeros(4)) == 0.0
    assert np.isnan(auroc_standard_error(np.zeros(5), np.zeros(1)))


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float64"])
def test_labels_and_masks_that_are_numbers_are_refused(dtype: str) -> None:
    rng, labels = np.random.default_rng(0), np.arange(50) < 10
    with pytest.raises(ValueError, match=f"anomalous wants booleans .* got dtype {dtype}"):
        GroupScores(scores=rng.normal(size=50), anomalous=labels.astype(dtype))
    with pytest.raises(ValueError, match=f"anomalous wants booleans .* got dtype {dtype}"):
        Group(train=np.ones((3, 2)), test=np.ones((50, 2)), anomalous=labels.astype(dtype))
    masks = np.zeros((3, 4, 4), dtype=dtype)
    masks[0, 0, 0] = 1
    with pytest.raises(ValueError, match=f"masks wants booleans .* got dtype {dtype}"):
        RankedPixels.of(rng.normal(size=(3, 4, 4)), masks)
    with pytest.raises(ValueError, match="anomalous wants booleans"):
        GroupScores(scores=rng.normal(size=49), anomalous=labels)
