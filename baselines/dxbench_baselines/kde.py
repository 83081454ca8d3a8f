"""Kernel density estimate: minus the log of a mean of Gaussians on the training points.

Parzen 1962 (doi:10.1214/aoms/1177704472). The bandwidth is `width` times the median distance of a training point to
its nearest other, which follows the scale of the data; Scott's and Silverman's rules were made for a few dimensions.
Through scikit-learn.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from dxbench.api import Config, Detector

Array = NDArray[Any]


class KDEConfig(Config):
    """Settings of the kernel."""

    width: PositiveFloat = 1.0


class KDE(Detector):
    """Minus the log density of a Gaussian kernel estimate, in nats."""

    name = "kde"
    version = 1
    citation = "Parzen 1962, doi:10.1214/aoms/1177704472"
    Config = KDEConfig

    def fit(self, rows: Array, config: KDEConfig, *, seed: int) -> Callable[[Array], Array]:
        from sklearn.neighbors import KernelDensity, NearestNeighbors

        distinct = np.unique(rows, axis=0)
        nearest = NearestNeighbors(n_neighbors=min(2, len(distinct))).fit(distinct).kneighbors(distinct)[0][:, -1]
        bandwidth = config.width * float(np.median(nearest)) or 1.0  # a single point has no scale
        estimate = KernelDensity(bandwidth=bandwidth).fit(rows)
        return lambda x: -estimate.score_samples(x)
