"""Kolmogorov and Smirnov's distance of coordinates, which no heavy tail hides (doi:10.1214/aoms/1177730256)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dxbench.api import Estimate, EvaluationInputs, MetricProtocol
from dxbench.metrics.adjust import Adjustable, Choice, whole
from dxbench.metrics.points.sliced import HasTestDraws
from dxbench.metrics.scoring import require_samples, single

Array = NDArray[np.float64]


def largest_ks(x: Array, y: Array) -> float:
    """The largest distance of two distribution functions, of any coordinate of [n, d] and [m, d] points.

    Raises:
        ValueError: if the widths differ or a side is empty.
    """
    from scipy.stats import ks_2samp  # slow to import: naming a metric takes none

    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not min(len(x), len(y)):
        raise ValueError(f"wants two sets of points of one width, got {x.shape} and {y.shape}")
    found: list[Any] = [ks_2samp(x[:, i], y[:, i], method="asymp") for i in range(x.shape[1])]
    return max(float(each.statistic) for each in found)


@dataclass(frozen=True, kw_only=True)
class MarginalKS(Adjustable):
    """The largest Kolmogorov-Smirnov distance of a coordinate, samples against all test draws."""

    choices: ClassVar = {"n_samples": Choice(attribute="num_samples", read=whole)}
    name: str = "marginal_ks"
    title: str = "largest KS distance of a coordinate"
    num_samples: int = 10_000
    reference: str

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(
            name=self.name, version=1, fields={"n_samples": self.num_samples, "reference": self.reference}
        )

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        samples = require_samples(inputs, self.num_samples)
        reference: HasTestDraws = inputs.reference
        true = np.concatenate(list(reference.test_draws))
        return single(self.protocol, largest_ks(samples.reshape(len(samples), -1), true), better="lower")
