"""PaDiM: a Gaussian for each position of the image, and the Mahalanobis distance to it.

Defard et al. 2021, arXiv:2011.08785: at every position mean and covariance (ddof 1, plus 0.01 on the diagonal) of the
training images' features, of which a random subset of `dims` is kept. Made for aligned images of one category: one
Gaussian for several categories is expected to be poor.

Deviation: features are what the task gives, for every method the same.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt

from dxbench.api import Config, PatchDetector

Array = NDArray[Any]


class PaDiMConfig(Config):
    """Settings of the Gaussians."""

    dims: PositiveInt = 100
    ridge: PositiveFloat = 0.01


class PaDiM(PatchDetector):
    """Mahalanobis distance to the Gaussian of a patch's position."""

    name = "padim"
    version = 1
    citation = "Defard, Setkov, Loesch, Audigier 2021, arXiv:2011.08785"
    Config = PaDiMConfig

    def fit(self, grids: Array, config: PaDiMConfig, *, seed: int) -> Callable[[Array], Array]:
        n, h, w, d = grids.shape
        kept = np.sort(np.random.default_rng(seed).choice(d, size=min(config.dims, d), replace=False))
        means, whiteners = np.empty((h, w, len(kept))), np.empty((h, w, len(kept), len(kept)))
        for i, j in np.ndindex(h, w):
            rows = grids[:, i, j, kept].astype(np.float64)
            means[i, j] = rows.mean(axis=0)
            shifted = rows - means[i, j]
            covariance = shifted.T @ shifted / max(n - 1, 1) + config.ridge * np.eye(len(kept))
            whiteners[i, j] = np.linalg.inv(np.linalg.cholesky(covariance))

        def energies(x: Array) -> Array:
            whitened = np.einsum("hwab,mhwb->mhwa", whiteners, x[..., kept] - means, optimize=True)
            return np.linalg.norm(whitened, axis=-1)

        return energies
