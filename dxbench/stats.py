"""Statistics over training seeds. Pure functions; where one draws, its generator is given.

No bootstrap of a Frechet distance: resampling with replacement biases it upwards by more than the interval is wide
(at 10,000 samples of one law the point is 0.487, the replicates lie near 0.88). Intervals here rest on seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

# scipy.stats takes half a second to import; boards need Student's t alone, which is in scipy.special.

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A point with the interval around it at a level such as 0.95."""

    point: float
    low: float
    high: float
    level: float


def _seeds(values: ArrayLike, *, at_least: int) -> Array:
    """Values as a flat float64 array.

    Raises:
        ValueError: for fewer than `at_least` values, or one that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < at_least:
        raise ValueError(f"need at least {at_least} seeds in one dimension, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("every seed's value must be finite")
    return array


def iqm(values: ArrayLike) -> float:
    """Interquartile mean: the mean of the middle half (Agarwal et al. 2021, arXiv:2108.13264).

    A quarter of the values, rounded down, is cut at each end, as SciPy and rliable do.
    """
    from scipy import stats

    return float(stats.trim_mean(_seeds(values, at_least=1), 0.25))


def mean_interval(values: ArrayLike, *, level: float = 0.95) -> Interval:
    """Student's t interval of the mean over seeds."""
    array = _seeds(values, at_least=2)
    mean = float(array.mean())
    half = float(special.stdtrit(len(array) - 1, 0.5 + level / 2) * array.std(ddof=1) / np.sqrt(len(array)))
    return Interval(point=mean, low=mean - half, high=mean + half, level=level)


def bootstrap_interval(
    values: ArrayLike,
    *,
    rng: np.random.Generator,
    statistic: Literal["mean", "iqm"] = "mean",
    method: Literal["percentile", "BCa"] = "percentile",
    level: float = 0.95,
    resamples: int = 9999,
) -> Interval:
    """Bootstrap interval over seeds (Efron 1987, doi:10.1080/01621459.1987.10478410, for BCa).

    Values that are all equal give an interval of no width.
    """
    from scipy import stats

    array = _seeds(values, at_least=2)

    def mean(x: Array, axis: int = -1) -> Array:
        return np.mean(x, axis=axis)

    def middle(x: Array, axis: int = -1) -> Array:
        return stats.trim_mean(x, 0.25, axis=axis)

    function = mean if statistic == "mean" else middle
    point = float(function(array))
    if np.ptp(array) == 0:
        return Interval(point=point, low=point, high=point, level=level)
    found = stats.bootstrap(
        (array,), function, confidence_level=level, n_resamples=resamples, method=method, rng=rng
    ).confidence_interval
    return Interval(point=point, low=float(found.low), high=float(found.high), level=level)


def probability_of_improvement(values: ArrayLike, over: ArrayLike, *, lower_is_better: bool) -> float:
    """P(a seed of `values` is better than a seed of `over`), ties half (Agarwal et al. 2021)."""
    from scipy import stats

    x, y = _seeds(values, at_least=1), _seeds(over, at_least=1)
    wins = float(stats.mannwhitneyu(x, y, method="asymptotic").statistic) / (len(x) * len(y))
    return 1.0 - wins if lower_is_better else wins


@dataclass(frozen=True, kw_only=True)
class TStatistic:
    """A difference of means and what Student's t says of it.

    Attributes:
        effect: the difference.
        standard_error: of the difference; 0 where nothing varies.
        dof: degrees of freedom of the standard error.
    """

    effect: float
    standard_error: float
    dof: float

    @property
    def p_value(self) -> float:
        """Two-sided p of no difference."""
        if self.standard_error == 0:  # the statistic is 0/0 or infinite
            return float(self.effect == 0)
        return float(_two_sided(self.effect / self.standard_error, self.dof))

    def detectable(self, alpha: float) -> float:
        """The smallest difference, of either sign, that would have had p < alpha with this much spread."""
        return -float(special.stdtrit(self.dof, alpha / 2)) * self.standard_error


def _two_sided(t: ArrayLike, dof: ArrayLike) -> Array:
    """P(|T| >= |t|) of Student's t."""
    return 2 * special.stdtr(dof, -np.abs(t))


def _mean_std(array: Array) -> tuple[float, float]:
    """Mean and standard deviation, ddof 1; of equal values exactly their value and 0, without rounding."""
    if np.ptp(array) == 0:
        return float(array[0]), 0.0
    return float(array.mean()), float(array.std(ddof=1))


def paired_t(a: ArrayLike, b: ArrayLike) -> TStatistic:
    """Mean of a - b, where a[i] and b[i] come from the same seed.

    Raises:
        ValueError: if the two differ in length.
    """
    x, y = _seeds(a, at_least=2), _seeds(b, at_least=2)
    if len(x) != len(y):
        raise ValueError(f"pairs need equal numbers of seeds, got {len(x)} and {len(y)}")
    mean, std = _mean_std(x - y)
    return TStatistic(effect=mean, standard_error=std / len(x) ** 0.5, dof=len(x) - 1)


def welch_t(a: ArrayLike, b: ArrayLike) -> TStatistic:
    """Mean of a minus mean of b, of seeds with nothing in common and spreads of their own (Welch 1947)."""
    x, y = _seeds(a, at_least=2), _seeds(b, at_least=2)
    (mean_x, std_x), (mean_y, std_y) = _mean_std(x), _mean_std(y)
    of_x, of_y = std_x**2 / len(x), std_y**2 / len(y)
    total = of_x + of_y
    weights = of_x**2 / (len(x) - 1) + of_y**2 / (len(y) - 1)
    dof = total**2 / weights if weights > 0 else len(x) + len(y) - 2
    return TStatistic(effect=mean_x - mean_y, standard_error=total**0.5, dof=dof)


def prediction_t(value: float, among: ArrayLike) -> TStatistic:
    """One further seed's value minus the mean of `among`, whose spread is taken for that of both.

    |effect| <= detectable(1 - level) says that the value lies in the prediction interval of that level.
    """
    (x,), y = _seeds([value], at_least=1), _seeds(among, at_least=2)
    mean, std = _mean_std(y)
    return TStatistic(effect=float(x) - mean, standard_error=std * (1 + 1 / len(y)) ** 0.5, dof=len(y) - 1)


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Mean of a - b over the seeds that both have, with a t interval and the two-sided p of no difference."""

    effect: Interval
    p_value: float
    pairs: int


def paired_difference(a: ArrayLike, b: ArrayLike, *, level: float = 0.95) -> PairedDifference:
    """Paired t test: a[i] and b[i] come from the same seed.

    Not a sign-flip test, whose smallest p at five seeds is 1/16.

    Raises:
        ValueError: if the two differ in length.
    """
    found = paired_t(a, b)
    half = found.detectable(1 - level)
    effect = Interval(point=found.effect, low=found.effect - half, high=found.effect + half, level=level)
    return PairedDifference(effect=effect, p_value=found.p_value, pairs=len(_seeds(a, at_least=2)))


def paired_p_values(a: ArrayLike, rows: ArrayLike) -> Array:
    """Two-sided p of the paired t test of a [s] against each of rows [n, s]; NaN marks a seed that is absent.

    1 where fewer than two seeds are common: nothing can be told apart. Differences without spread are certain:
    0, or 1 where they are zero.
    """
    difference = np.asarray(rows, dtype=np.float64) - np.asarray(a, dtype=np.float64)
    common = np.isfinite(difference)
    count = common.sum(axis=1)
    pairs = np.maximum(count, 2)
    mean = np.where(common, difference, 0.0).sum(axis=1) / np.maximum(count, 1)
    squares = np.where(common, (difference - mean[:, None]) ** 2, 0.0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = mean / np.sqrt(squares / (pairs - 1) / pairs)
    p_values = np.where(mean == 0, 1.0, _two_sided(t, pairs - 1))
    return np.where(count < 2, 1.0, p_values)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979): adjusted p values in the given order, family-wise error kept."""
    order = np.argsort(p_values)
    steps = np.minimum(1.0, np.arange(len(order), 0, -1) * np.asarray(p_values, dtype=np.float64)[order])
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted.tolist()
