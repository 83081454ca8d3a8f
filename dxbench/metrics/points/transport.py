"""Wasserstein-2 distance between sets of points, solved exactly by POT (Flamary et al. 2021, JMLR 22(78))."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dxbench.api import Estimate, EvaluationInputs, MetricProtocol
from dxbench.metrics.adjust import Adjustable
from dxbench.metrics.points.sliced import BLOCKS, blocks_and_draws
from dxbench.metrics.scoring import repeated

Array = NDArray[np.float64]
ITERATIONS = 10_000_000
"""Pivots of the network simplex; 2,000 points a side take some ten thousand."""


def wasserstein2(x: Array, y: Array) -> float:
    """The W2 of [n, d] and [m, d] points of equal weights, rooted.

    Raises:
        ValueError: if the widths differ or a side is empty.
    """
    import ot

    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not min(len(x), len(y)):
        raise ValueError(f"wants two sets of points of one width, got {x.shape} and {y.shape}")
    cost = ot.dist(x, y, metric="sqeuclidean")
    square = np.asarray(ot.emd2([], [], cost, numItermax=ITERATIONS), dtype=np.float64)
    return float(np.sqrt(np.maximum(square, 0.0)))


@dataclass(frozen=True, kw_only=True)
class Wasserstein2(Adjustable):
    """W2 of samples to test draws of equal number, mean and std over disjoint blocks and draws."""

    choices: ClassVar = BLOCKS
    name: str = "w2"
    title: str = "W2"
    num_samples: int = 2_000
    repeats: int = 5
    reference: str

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(
            name=self.name,
            version=1,
            fields={
                "distance": "(optimal transport of the squared Euclidean distance)^(1/2)",
                "solver": "network simplex, exact",
                "n_samples": self.num_samples,
                "n_reference": self.num_samples,
                "repeats": self.repeats,
                "reference": self.reference,
                "dtype": "float64",
            },
        )

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        pairs = blocks_and_draws(inputs, num_samples=self.num_samples, repeats=self.repeats)
        return repeated(self.protocol, [wasserstein2(block, draws) for block, draws in pairs], better="lower")
