"""Parity with independent implementations, and properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from dxbench import stats

VALUES = [0.31, 0.27, 0.35, 0.29, 0.41, 0.33]
OTHERS = [0.36, 0.30, 0.34, 0.37, 0.45, 0.38]
finite = st.floats(-1e3, 1e3, allow_nan=False, width=32)


def test_iqm_is_the_mean_of_the_middle_half() -> None:
    assert stats.iqm([100.0, 1.0, 2.0, 3.0, 4.0, -50.0, 5.0, 6.0]) == pytest.approx((2 + 3 + 4 + 5) / 4)


def test_t_interval_is_scipys() -> None:
    found = stats.mean_interval(VALUES, level=0.9)
    low, high = scipy_stats.t.interval(0.9, 5, loc=np.mean(VALUES), scale=scipy_stats.sem(VALUES))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)


def test_percentile_bootstrap_is_the_percentiles_of_resampled_means() -> None:
    found = stats.bootstrap_interval(VALUES, rng=np.random.default_rng(0), resamples=40_000)
    draws = np.random.default_rng(1).choice(VALUES, size=(40_000, len(VALUES))).mean(axis=1)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=1.5e-3)


def test_bca_follows_efrons_formula() -> None:
    skewed = np.array([0.1, 0.12, 0.11, 0.15, 0.5, 0.13, 0.9, 0.14])
    found = stats.bootstrap_interval(skewed, rng=np.random.default_rng(0), method="BCa", resamples=40_000)
    draws = np.random.default_rng(1).choice(skewed, size=(40_000, len(skewed))).mean(axis=1)
    normal = scipy_stats.norm
    z0 = normal.ppf((np.sum(draws < skewed.mean()) + np.sum(draws <= skewed.mean())) / (2 * len(draws)))
    left_out = np.array([np.delete(skewed, i).mean() for i in range(len(skewed))])
    d = left_out.mean() - left_out
    a = (d**3).sum() / (6 * (d**2).sum() ** 1.5)
    levels = [normal.cdf(z0 + (z0 + z) / (1 - a * (z0 + z))) for z in normal.ppf([0.025, 0.975])]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, levels)), abs=6e-3)


def test_the_generator_decides_and_nothing_else_does() -> None:
    def interval(seed: int) -> stats.Interval:
        return stats.bootstrap_interval(VALUES, rng=np.random.default_rng(seed), resamples=200)

    np.random.seed(1)  # noqa: NPY002
    first = interval(0)
    np.random.seed(2)  # noqa: NPY002
    assert interval(0) == first
    assert interval(1) != first


def test_coverage_of_the_t_interval_is_its_level() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        found = stats.mean_interval(rng.normal(1.0, 2.0, 5))
        inside += found.low <= 1.0 <= found.high
    assert abs(inside / 2000 - 0.95) < 5 * (0.95 * 0.05 / 2000) ** 0.5


def test_probability_of_improvement_counts_pairs_with_ties_half() -> None:
    x, y = [1.0, 2.0, 2.0], [2.0, 3.0]
    by_hand = np.mean([(a < b) + 0.5 * (a == b) for a in x for b in y])
    assert stats.probability_of_improvement(x, y, lower_is_better=True) == pytest.approx(by_hand)
    assert stats.probability_of_improvement(x, y, lower_is_better=False) == pytest.approx(1 - by_hand)


def test_paired_test_is_scipys_and_pairing_matters() -> None:
    found = stats.paired_difference(VALUES, OTHERS)
    assert found.p_value == pytest.approx(scipy_stats.ttest_rel(VALUES, OTHERS).pvalue)
    assert found.effect.point == pytest.approx(np.mean(VALUES) - np.mean(OTHERS))
    shuffled = stats.paired_difference(VALUES, OTHERS[::-1])
    assert shuffled.effect.point == pytest.approx(found.effect.point)
    assert shuffled.p_value != pytest.approx(found.p_value)


def test_equal_runs_are_not_separable_and_a_constant_gap_is() -> None:
    assert stats.paired_difference(VALUES, VALUES).p_value == 1.0
    assert stats.paired_difference([1.0, 2.0], [0.0, 1.0]).p_value == 0.0


def test_holm_by_hand() -> None:
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_monotone_bounded_and_never_below_the_raw_value(p: list[float]) -> None:
    adjusted = stats.holm(p)
    assert all(raw <= new <= 1 for raw, new in zip(p, adjusted, strict=True))
    ordered = [new for _, new in sorted(zip(p, adjusted, strict=True))]
    assert ordered == sorted(ordered)
    assert min(adjusted) == pytest.approx(min(1.0, len(p) * min(p)))


@given(st.lists(finite, min_size=2, max_size=20), finite)
def test_intervals_shift_with_the_data(values: list[float], shift: float) -> None:
    here, there = stats.mean_interval(values), stats.mean_interval([v + shift for v in values])
    assert there.point - here.point == pytest.approx(shift, abs=1e-6)
    assert here.low <= here.point <= here.high


@pytest.mark.parametrize("bad", [[], [1.0], [1.0, float("nan")], [[1.0, 2.0]]])
def test_too_few_seeds_or_ones_that_are_not_finite_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="seed"):
        stats.mean_interval(bad)
