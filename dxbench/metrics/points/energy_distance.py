"""Energy distance (Szekely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018): 2 E|X - Y| - E|X - X'| - E|Y - Y'|."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dxbench.api import Estimate, EvaluationInputs, MetricProtocol
from dxbench.metrics.adjust import Adjustable
from dxbench.metrics.points.sliced import BLOCKS, blocks_and_draws
from dxbench.metrics.scoring import repeated

Array = NDArray[np.floating]
ROWS = 512


def energy_distance(x: Array, y: Array) -> float:
    """The unbiased estimate from [n, d] and [m, d] points: pairs of a point with itself are left out.

    Raises:
        ValueError: if the widths differ or a side has fewer than two points.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(f"wants two sets of at least 2 points of one width, got {x.shape} and {y.shape}")
    return 2.0 * _mean_across(x, y) - _mean_within(x) - _mean_within(y)


def _mean_across(x: Array, y: Array) -> float:
    """The mean distance between two sets, in blocks of rows, so that no matrix of distances is kept."""
    from scipy.spatial.distance import cdist

    total = sum(cdist(x[start : start + ROWS], y).sum() for start in range(0, len(x), ROWS))
    return float(total) / (len(x) * len(y))


def _mean_within(x: Array) -> float:
    """The mean distance of pairs of different points, each pair met once."""
    from scipy.spatial.distance import cdist, pdist

    total = 0.0
    for start in range(0, len(x), ROWS):
        rows, later = x[start : start + ROWS], x[start + ROWS :]
        total += float(pdist(rows).sum()) + (float(cdist(rows, later).sum()) if len(later) else 0.0)
    return total / (len(x) * (len(x) - 1) / 2)


@dataclass(frozen=True, kw_only=True)
class EnergyDistance(Adjustable):
    """Energy distance of samples to test draws of equal number, mean and std over disjoint blocks and draws."""

    choices: ClassVar = BLOCKS
    name: str = "energy_distance"
    title: str = "energy distance"
    num_samples: int = 5_000
    repeats: int = 5
    reference: str

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(
            name=self.name,
            version=1,
            fields={
                "distance": "2 E|X - Y| - E|X - X'| - E|Y - Y'|, Euclidean",
                "estimator": "unbiased (U-statistics)",
                "n_samples": self.num_samples,
                "n_reference": self.num_samples,
                "repeats": self.repeats,
                "reference": self.reference,
                "dtype": "float64",
            },
        )

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        pairs = blocks_and_draws(inputs, num_samples=self.num_samples, repeats=self.repeats)
        return repeated(self.protocol, [energy_distance(block, draws) for block, draws in pairs], better="lower")
