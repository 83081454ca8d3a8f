"""Pairwise tests of many rows: Welch's test of every two, Holm-adjusted, with Student's tail only where it decides."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb, frexp, inf, ldexp

from dxbench.boards.stats import Moments, holm, student_quantile, welch

_FAR = 2.0**480
"""In units of the floor; from there on squares may overflow."""
_ROUNDING = 1e-6
"""By how much of itself a bound is kept away from what it bounds."""

Pair = tuple[int, int]


def different(sides: Sequence[Moments], *, floor: float, alpha: float) -> Iterator[Pair]:
    """Indices (i, j), i < j, of sides that `welch` tells apart at a family-wise alpha (Holm 1979), in no order."""
    count = comb(len(sides), 2)
    certain, doubtful = _sorted_out(sides, floor, alpha) if count else ([], [])
    yield from certain
    p_values = [welch(sides[i], sides[j], floor=floor).p_value for i, j in doubtful]
    adjusted = holm(p_values, larger=count - len(certain) - len(doubtful))
    yield from (pair for pair, p_value in zip(doubtful, adjusted, strict=True) if p_value < alpha)


def _sorted_out(sides: Sequence[Moments], floor: float, alpha: float) -> tuple[list[Pair], list[Pair]]:
    """Pairs that differ for certain, and those that have to be tested; for most of all pairs t says which.

    Of m tests, one with p < alpha / m is significant whatever the others say, and one with p >= alpha / (m - k) is not
    where at most k others are. The bounds are Student's quantiles at the fewest and at the most degrees of freedom that
    Welch's test may have.
    """
    if any(max(abs(one.mean), one.std) / (floor or inf) > _FAR for one in sides):
        return [], list(combinations(range(len(sides)), 2))
    least, most = min(one.count for one in sides) - 1, 2 * max(one.count for one in sides) - 2
    count = comb(len(sides), 2)
    surely = student_quantile(alpha / 2 / count, least) * (1 + _ROUNDING)
    hardly = student_quantile(alpha / 2, most) * (1 - _ROUNDING)
    certain: list[Pair] = []
    possible: list[tuple[float, Pair]] = []
    for square, pair in _squared_t(sides, floor):
        if square > surely * surely:
            certain.append(pair)
        elif square > hardly * hardly:
            possible.append((square, pair))
    others = len(certain) + len(possible) - 1
    hardly = student_quantile(alpha / 2 / (count - max(others, 0)), most) * (1 - _ROUNDING)
    return certain, [pair for square, pair in possible if square > hardly * hardly]


def _squared_t(sides: Sequence[Moments], floor: float) -> Iterator[tuple[float, Pair]]:
    """The squared t of every two sides, to rounding."""
    exponent = frexp(floor)[1]
    means = [ldexp(one.mean, -exponent) for one in sides]
    variances = [ldexp(max(one.std, floor), -exponent) ** 2 / one.count if one.std > 0 else 0.0 for one in sides]
    for i, (mean, variance) in enumerate(zip(means, variances, strict=True)):
        for j in range(i + 1, len(sides)):
            gap, spread = mean - means[j], variance + variances[j]
            yield gap * gap / spread if spread else inf if gap else 0.0, (i, j)
