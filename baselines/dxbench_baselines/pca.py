"""Reconstruction error of principal component analysis.

The squared distance of a row to the affine subspace of the components that hold `variance` of the training rows'
variance (Shyu et al. 2003 weigh all components instead). Through scikit-learn.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dxbench.api import Config, Detector

Array = NDArray[Any]


class PCAConfig(Config):
    """Settings of the subspace."""

    variance: float = Field(default=0.95, gt=0, lt=1, description="share of the variance that the subspace holds")


class PCA(Detector):
    """Squared distance to the leading principal subspace."""

    name = "pca"
    version = 1
    citation = "Shyu, Chen, Sarinnapakorn, Chang 2003, ICDM workshop"
    Config = PCAConfig

    def fit(self, rows: Array, config: PCAConfig, *, seed: int) -> Callable[[Array], Array]:
        from sklearn.decomposition import PCA as Components

        subspace = Components(n_components=config.variance, svd_solver="full").fit(rows)
        return lambda x: np.square(x - subspace.inverse_transform(subspace.transform(x))).sum(axis=1)
