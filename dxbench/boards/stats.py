"""Statistics over training seeds, as pure functions.

No bootstrap of a Frechet distance: resampling with replacement biases it upwards by more than the interval is wide
(at 10,000 samples of one law the point is 0.487, the replicates lie near 0.88). Intervals here rest on seeds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import copysign, exp, frexp, fsum, isfinite, ldexp, lgamma, log, log1p, pi, sqrt
from statistics import fmean
from sys import float_info

# NumPy and SciPy take longer to import than a board takes to print. What boards need of them is Student's t, below.


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A point with the interval around it at a level such as 0.95."""

    point: float
    low: float
    high: float
    level: float


def _seeds(values: Sequence[float], *, at_least: int) -> list[float]:
    """Values as a list.

    Raises:
        ValueError: for fewer than `at_least` values, or one that is not finite.
    """
    found = [float(value) for value in values]
    if len(found) < at_least:
        raise ValueError(f"need at least {at_least} seeds, got {len(found)}")
    if not all(map(isfinite, found)):
        raise ValueError("every seed's value must be finite")
    return found


# --- values of any size --------------------------------------------------------------------------------------
#
# A training that diverged leaves numbers near the ends of what a float holds, whose squares and differences are beyond
# it. Sums are taken of values times a power of two, which changes no digit; what is still beyond counts as the largest.


def bounded(value: float) -> float:
    """The value, or the largest float of its sign."""
    return max(-float_info.max, min(float_info.max, value))


def times_power_of_two(value: float, exponent: int) -> float:
    """value * 2**exponent, `bounded`."""
    try:
        return ldexp(value, exponent)
    except OverflowError:
        return copysign(float_info.max, value)


def _scaled(values: Sequence[float]) -> tuple[list[float], int]:
    """Values over 2**exponent, the largest of them between a half and one, and the exponent."""
    exponent = frexp(max(map(abs, values)))[1]
    return [ldexp(value, -exponent) for value in values], exponent


def mean(values: Iterable[float]) -> float:
    """The mean of one value or more; finite where they are."""
    scaled, exponent = _scaled([float(value) for value in values])
    return times_power_of_two(fmean(scaled), exponent)


def mean_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Student's t interval of the mean over seeds."""
    found = moments(values)
    error = found.std / sqrt(found.count)
    return TStatistic(effect=found.mean, standard_error=error, dof=found.count - 1).interval(level)


# --- Student's t ---------------------------------------------------------------------------------------------


def student_tail(t: float, dof: float) -> float:
    """P(T >= t) of Student's t, to about 1e-13 of itself.

    By the regularised incomplete beta function (Abramowitz and Stegun 26.7.1), in the continued fraction 26.5.8.
    """
    square = min(t * t, 1e300)
    x, rest = dof / (dof + square), square / (dof + square)
    a, b = dof / 2, 0.5
    if rest == 0:
        return 0.5
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * -log1p(square / dof) + b * log(rest))
    if x < (a + 1) / (a + b + 2):
        upper = front * _beta_fraction(a, b, x) / a / 2
    else:
        upper = 0.5 - front * _beta_fraction(b, a, rest) / b / 2
    return upper if t >= 0 else 1 - upper


def _beta_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method (Thompson and Barnett 1986)."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 500):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + step * d)
            c = 1 + step / c
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def student_quantile(tail: float, dof: float) -> float:
    """The t >= 0 with P(T >= t) = tail, for a tail of at most one half.

    Newton's steps from 0: right of it the tail is convex, so that they rise to the root and never pass it.
    """
    peak = exp(lgamma((dof + 1) / 2) - lgamma(dof / 2)) / sqrt(pi * dof)
    t = 0.0
    for _ in range(500):
        step = (student_tail(t, dof) - tail) / (peak * (1 + t * t / dof) ** (-(dof + 1) / 2))
        t += step
        if step <= 1e-12 * t:
            break
    return t


@dataclass(frozen=True, kw_only=True)
class TStatistic:
    """An estimated mean or difference of means, and what Student's t says of it.

    Attributes:
        effect: the estimate.
        standard_error: of the estimate; 0 where nothing varies.
        dof: degrees of freedom of the standard error.
    """

    effect: float
    standard_error: float
    dof: float

    def __neg__(self) -> "TStatistic":
        return TStatistic(effect=-self.effect, standard_error=self.standard_error, dof=self.dof)

    @property
    def p_above(self) -> float:
        """One-sided p of an effect of at most 0: small where it is above."""
        if self.standard_error == 0:  # the statistic is 0/0 or infinite
            return float(self.effect <= 0)
        return student_tail(self.effect / self.standard_error, self.dof)

    @property
    def p_value(self) -> float:
        """Two-sided p of no effect."""
        if self.standard_error == 0:
            return float(self.effect == 0)
        return 2 * student_tail(abs(self.effect) / self.standard_error, self.dof)

    def detectable(self, alpha: float) -> float:
        """The smallest effect, of either sign, that would have had p_value < alpha with this much spread."""
        return bounded(student_quantile(alpha / 2, self.dof) * self.standard_error)

    def interval(self, level: float) -> Interval:
        """The effects that a two-sided test at 1 - level does not reject."""
        half = self.detectable(1 - level)
        low, high = bounded(self.effect - half), bounded(self.effect + half)
        return Interval(point=self.effect, low=low, high=high, level=level)


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Mean and standard deviation (ddof 1) of so many seeds."""

    mean: float
    std: float
    count: int


def moments(values: Sequence[float]) -> Moments:
    """Mean and std of two seeds or more; of equal values exactly their value and 0, without rounding."""
    x = _seeds(values, at_least=2)
    if min(x) == max(x):
        return Moments(mean=x[0], std=0.0, count=len(x))
    found = rounded_moments(x)
    # Values that differ have a spread, though it be less than the least float.
    return replace(found, std=found.std or ldexp(1.0, -1074))


def rounded_moments(values: Sequence[float]) -> Moments:
    """Mean and std of two values or more, as rounding leaves them: the std of equal values may be 1e-16 of them."""
    x, exponent = _scaled(values)
    centre = fmean(x)
    std = sqrt(fsum((value - centre) ** 2 for value in x) / (len(x) - 1))
    return Moments(mean=times_power_of_two(centre, exponent), std=times_power_of_two(std, exponent), count=len(x))


def paired_t(a: Sequence[float], b: Sequence[float]) -> TStatistic:
    """Mean of a - b, where a[i] and b[i] come from the same random numbers.

    Raises:
        ValueError: if the two differ in length.
    """
    if len(a) != len(b):
        raise ValueError(f"pairs need equal numbers of seeds, got {len(a)} and {len(b)}")
    found = moments([bounded(x - y) for x, y in zip(a, b, strict=True)])
    return TStatistic(effect=found.mean, standard_error=found.std / sqrt(found.count), dof=found.count - 1)


def welch_t(a: Sequence[float], b: Sequence[float]) -> TStatistic:
    """Mean of a minus mean of b, of seeds with nothing in common and spreads of their own (Welch 1947)."""
    return welch(moments(a), moments(b))


def welch(a: Moments, b: Moments, *, floor: float = 0.0) -> TStatistic:
    """Welch's t, the spread of a side that varies taken for no less than `floor`."""
    exponent = frexp(max(a.std, b.std, floor))[1]
    of_a, of_b = (ldexp(max(one.std, floor), -exponent) ** 2 / one.count if one.std > 0 else 0.0 for one in (a, b))
    weights = of_a**2 / (a.count - 1) + of_b**2 / (b.count - 1)
    dof = (of_a + of_b) ** 2 / weights if weights > 0 else a.count + b.count - 2
    error = times_power_of_two(sqrt(of_a + of_b), exponent)
    return TStatistic(effect=bounded(a.mean - b.mean), standard_error=error, dof=dof)


def prediction_t(value: float, among: Sequence[float]) -> TStatistic:
    """One further seed's value minus the mean of `among`, whose spread is taken for that of both.

    |effect| <= detectable(1 - level) says that the value lies in the prediction interval of that level.
    """
    (x,), y = _seeds([value], at_least=1), moments(among)
    error = bounded(y.std * sqrt(1 + 1 / y.count))
    return TStatistic(effect=bounded(x - y.mean), standard_error=error, dof=y.count - 1)


# --- many tests ----------------------------------------------------------------------------------------------


def holm(p_values: Sequence[float], *, larger: int = 0) -> list[float]:
    """Holm's step-down adjustment (1979): adjusted p values in the given order, family-wise error kept.

    Args:
        larger: how many further tests there were whose p is above all these; of smaller ones nothing depends.
    """
    adjusted, largest, count = [0.0] * len(p_values), 0.0, len(p_values)
    for step, index in enumerate(sorted(range(count), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (count + larger - step) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's step-up adjustment (1995): adjusted p values in the given order.

    Of those below alpha, at most the share alpha is false in expectation; where nothing is to be found, one is below
    alpha with at most that probability. So for independent tests and for positively dependent ones (Benjamini and
    Yekutieli 2001).
    """
    adjusted, smallest, count = [1.0] * len(p_values), 1.0, len(p_values)
    for step, index in enumerate(sorted(range(count), key=p_values.__getitem__, reverse=True)):
        smallest = min(smallest, count / (count - step) * p_values[index])
        adjusted[index] = smallest
    return adjusted
