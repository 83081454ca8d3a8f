"""Parity with independent implementations, and properties."""

from collections.abc import Callable
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special
from scipy import stats as scipy_stats

from dxbench.boards import stats

VALUES = [0.31, 0.27, 0.35, 0.29, 0.41, 0.33]
OTHERS = [0.36, 0.30, 0.34, 0.37, 0.45, 0.38]
finite = st.floats(-1e3, 1e3, allow_nan=False, width=32)


def test_t_interval_is_scipys() -> None:
    found = stats.mean_interval(VALUES, level=0.9)
    low, high = scipy_stats.t.interval(0.9, 5, loc=np.mean(VALUES), scale=scipy_stats.sem(VALUES))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)


def test_coverage_of_the_t_interval_is_its_level() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        found = stats.mean_interval(rng.normal(1.0, 2.0, 5))
        inside += found.low <= 1.0 <= found.high
    assert abs(inside / 2000 - 0.95) < 5 * (0.95 * 0.05 / 2000) ** 0.5


@pytest.mark.parametrize("dof", [1.0, 1.3, 2.0, 4.0, 7.7, 30.0, 1000.0])
def test_students_t_is_scipys(dof: float) -> None:
    """Tails of either sign down to 1e-300, and quantiles, to twelve digits; at the ends no overflow."""
    for t in np.concatenate([np.geomspace(1e-3, 1e3, 40), [0.0]]):
        for value in (t, -t):
            expected = special.stdtr(dof, -value)
            if expected > 1e-280:
                assert stats.student_tail(value, dof) == pytest.approx(expected, rel=2e-12)
    for tail in (0.49, 0.1, 0.025, 1e-5, 1e-9):
        assert stats.student_quantile(tail, dof) == pytest.approx(-special.stdtrit(dof, tail), rel=1e-10)
    assert stats.student_quantile(0.5, dof) == 0
    assert stats.student_tail(1e200, dof) == pytest.approx(0, abs=1e-100)


def test_paired_test_is_scipys_and_pairing_matters() -> None:
    found = stats.paired_t(VALUES, OTHERS)
    assert found.p_value == pytest.approx(scipy_stats.ttest_rel(VALUES, OTHERS).pvalue)
    assert found.effect == pytest.approx(np.mean(VALUES) - np.mean(OTHERS))
    shuffled = stats.paired_t(VALUES, OTHERS[::-1])
    assert shuffled.effect == pytest.approx(found.effect)
    assert shuffled.p_value != pytest.approx(found.p_value)


def test_equal_runs_are_not_separable_and_a_constant_gap_is() -> None:
    assert stats.paired_t(VALUES, VALUES).p_value == 1.0
    assert stats.paired_t([1.0, 2.0], [0.0, 1.0]).p_value == 0.0


def test_one_sided_p_are_scipys_and_add_up() -> None:
    found = stats.welch_t(VALUES, OTHERS)
    greater = scipy_stats.ttest_ind(VALUES, OTHERS, equal_var=False, alternative="greater")
    assert found.p_above == pytest.approx(greater.pvalue, rel=1e-12)
    assert found.p_above + (-found).p_above == pytest.approx(1)
    nothing = stats.welch_t([0.1] * 3, [0.1] * 3)
    assert (nothing.p_above, (-nothing).p_above) == (1.0, 1.0)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.995])
def test_an_interval_leaves_zero_out_where_the_test_rejects(level: float) -> None:
    found = stats.welch_t(VALUES, OTHERS)
    interval = found.interval(level)
    assert (interval.low <= 0 <= interval.high) == (found.p_value >= 1 - level)
    scipys = scipy_stats.ttest_ind(VALUES, OTHERS, equal_var=False).confidence_interval(level)
    assert (interval.low, interval.high) == pytest.approx((scipys.low, scipys.high), rel=1e-10)


def test_a_floor_under_the_spread_widens_and_leaves_what_never_varies() -> None:
    a, b, constant = stats.moments(VALUES), stats.moments(OTHERS), stats.moments([0.3] * 4)
    assert stats.welch(a, b, floor=0.0) == stats.welch_t(VALUES, OTHERS)
    widened = stats.welch(a, b, floor=1.0)
    assert widened.standard_error == pytest.approx((1 / 6 + 1 / 6) ** 0.5)
    assert widened.dof == pytest.approx(10)
    assert stats.welch(a, constant, floor=1.0).standard_error == pytest.approx((1 / 6) ** 0.5)


def test_welch_is_scipys() -> None:
    found, scipys = stats.welch_t(VALUES, OTHERS[:4]), scipy_stats.ttest_ind(VALUES, OTHERS[:4], equal_var=False)
    assert found.p_value == pytest.approx(scipys.pvalue, rel=1e-12)
    assert found.dof == pytest.approx(scipys.df, rel=1e-12)
    assert (found.effect / found.standard_error) == pytest.approx(scipys.statistic, rel=1e-12)


def test_a_prediction_is_the_pooled_test_of_one_against_many() -> None:
    """Student's pooled test with one value on one side: that side adds nothing to the variance."""
    found, pooled = stats.prediction_t(0.5, VALUES), scipy_stats.ttest_ind([0.5], VALUES, equal_var=True)
    assert found.p_value == pytest.approx(pooled.pvalue, rel=1e-12)
    assert found.dof == pooled.df


def test_prediction_intervals_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    found = [stats.prediction_t(rng.normal(), rng.normal(size=5)) for _ in range(2000)]
    inside = np.mean([abs(one.effect) <= one.detectable(0.05) for one in found])
    assert abs(inside - 0.95) < 5 * (0.95 * 0.05 / 2000) ** 0.5


@pytest.mark.parametrize("test", [stats.paired_t, stats.welch_t])
def test_the_detectable_difference_has_that_very_p(test: Callable[..., stats.TStatistic]) -> None:
    found = test(VALUES, OTHERS)
    shifted = test([v - found.effect + found.detectable(0.01) for v in VALUES], OTHERS)
    assert shifted.p_value == pytest.approx(0.01, rel=1e-6)


def test_where_nothing_varies_any_difference_is_certain() -> None:
    tenth = [0.1] * 5  # their mean is not 0.1 in floating point
    assert stats.welch_t(tenth, tenth).p_value == 1.0
    assert stats.welch_t(tenth, [0.2] * 5).p_value == 0.0
    assert stats.prediction_t(0.2, tenth).p_value == 0.0
    assert stats.prediction_t(0.1, tenth).p_value == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_benjamini_hochberg_is_scipys(p: list[float]) -> None:
    assert stats.benjamini_hochberg(p) == pytest.approx(scipy_stats.false_discovery_control(p).tolist())


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


@pytest.mark.parametrize("bad", [[], [1.0], [1.0, float("nan")]])
def test_too_few_seeds_or_ones_that_are_not_finite_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="seed"):
        stats.mean_interval(bad)


any_size = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([5e-324, -5e-324, 1.7e308, -1.7e308, 1e155, 1e-155, 0.0, 1.0]),
)
several = st.lists(any_size, min_size=2, max_size=6)


@given(several, several, st.floats(0, 1.7e308), any_size)
def test_numbers_of_runs_that_diverged_give_finite_statistics(
    a: list[float], b: list[float], floor: float, one: float
) -> None:
    assert all(np.isfinite([stats.mean(a), stats.moments(a).std, stats.rounded_moments(a).std]))
    found = [stats.welch_t(a, b), stats.prediction_t(one, a), stats.paired_t(a[:2], b[:2])]
    found.append(stats.welch(stats.moments(a), stats.moments(b), floor=floor))
    for test in found:
        interval = test.interval(0.95)
        assert all(np.isfinite([test.effect, test.standard_error, test.dof, interval.low, interval.high]))
        assert 0 <= test.p_value <= 1
        assert 0 <= test.p_above <= 1


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=9), st.integers(-900, 900))
def test_statistics_go_with_powers_of_two_to_the_last_digit(values: list[float], exponent: int) -> None:
    values = [value if abs(value) > 1e-3 else 0.0 for value in values]
    here, there = stats.moments(values), stats.moments([value * 2.0**exponent for value in values])
    assert (there.mean, there.std) == (here.mean * 2.0**exponent, here.std * 2.0**exponent)


@given(st.lists(st.floats(-1e9, 1e9).map(lambda value: round(value, 6)), min_size=2, max_size=9))
def test_the_mean_of_ordinary_numbers_is_pythons(values: list[float]) -> None:
    assert stats.mean(values) == fmean(values)
