"""Mahalanobis distance to the training mean, with the Ledoit-Wolf estimate of the covariance.

Ledoit & Wolf 2004 (doi:10.1016/S0047-259X(03)00096-4) shrink the sample covariance towards a multiple of the identity,
so that it is invertible with fewer points than dimensions. Lee et al. 2018 (arXiv:1807.03888) made the distance in
features a standard detector. Through scikit-learn.
"""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from dxbench.api import Config, Detector

Array = NDArray[Any]


class MahalanobisConfig(Config):
    """Nothing to choose."""


class Mahalanobis(Detector):
    """Squared Mahalanobis distance, Ledoit-Wolf covariance."""

    name = "mahalanobis"
    version = 1
    citation = "Ledoit, Wolf 2004, doi:10.1016/S0047-259X(03)00096-4"
    Config = MahalanobisConfig

    def fit(self, rows: Array, config: MahalanobisConfig, *, seed: int) -> Callable[[Array], Array]:
        from sklearn.covariance import LedoitWolf

        return LedoitWolf().fit(rows).mahalanobis
