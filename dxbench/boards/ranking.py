"""Places that rows of a column may have, given what tests tell apart."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from statistics import median

from dxbench.boards.aggregate import Row
from dxbench.boards.pairs import different
from dxbench.boards.stats import bounded, moments

ALPHA = 0.05
"""Probability that any two rows of a column are told apart wrongly: family-wise, per column."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """The places that a row may have: behind all that are told apart as better, before all that are as worse.

    Attributes:
        of: how many rows have places.
    """

    first: int
    last: int
    of: int

    @property
    def best(self) -> bool:
        """No row is told apart as better."""
        return self.first == 1

    @property
    def bold(self) -> bool:
        """No row is told apart as better, and some row is as worse: the seeds say something for it."""
        return self.best and self.last < self.of

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}–{self.last}"


def ranks(rows: Sequence[Row], metric: str) -> Mapping[int, Places]:
    """Places of each row that ranks, by its index. Rows measure by one protocol.

    With probability 1 - ALPHA all intervals of a column hold the true places (Al Mohamad, Goeman and van Zwet 2022,
    doi:10.1111/biom.13419, by Holm's adjustment over all pairs in place of Tukey's).
    """
    indices = [i for i, row in enumerate(rows) if row.ranks and metric in row.scores]
    if not indices or rows[indices[0]].scores[metric].better == "none":
        return {}
    lower = rows[indices[0]].scores[metric].better == "lower"
    beaten, beats = [0] * len(indices), [0] * len(indices)
    samples = [list(rows[i].scores[metric].by_seed.values()) for i in indices]
    for better, worse in _told_apart(samples, lower_is_better=lower):
        beats[better] += 1
        beaten[worse] += 1
    of = len(indices)
    return {index: Places(first=1 + beaten[n], last=of - beats[n], of=of) for n, index in enumerate(indices)}


def _told_apart(samples: Sequence[Sequence[float]], *, lower_is_better: bool) -> Iterator[tuple[int, int]]:
    """(better, worse) of every two samples that differ: Welch's t tests, Holm-adjusted over all pairs.

    Two guards against the skewness that numbers near a floor have, without which equal rows of lognormal spread are
    told apart in a fifth of the boards (benchmarks/board_calibration.py). Distances and errors, positive and the
    lower the better, are compared by their logarithms. A row that varies is taken to vary no less than the median row:
    five seeds of a long-tailed law often look precise. A sample of fewer than two seeds is told apart from none.
    """
    logarithmic = lower_is_better and all(value > 0 for values in samples for value in values)
    several = [i for i, values in enumerate(samples) if len(values) > 1]
    found = [moments([log(value) for value in samples[i]] if logarithmic else samples[i]) for i in several]
    spreads = [one.std for one in found if one.std > 0]
    floor = bounded(median(spreads)) if spreads else 0.0
    for i, j in different(found, floor=floor, alpha=ALPHA):
        better, worse = (i, j) if (found[i].mean < found[j].mean) == lower_is_better else (j, i)
        yield several[better], several[worse]
