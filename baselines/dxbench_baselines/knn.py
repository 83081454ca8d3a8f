"""k nearest neighbours as a detector: the distance to the k-th of them, or the mean distance to all k.

Ramaswamy et al. 2000 (doi:10.1145/342009.335437); Angiulli & Pizzuti 2002 (doi:10.1007/3-540-45681-3_2). The default,
the distance to the fifth, is PyOD's, and so that of the tables of ADBench and DTE. `metric=mahalanobis` is Euclidean
between rows whitened by the Ledoit-Wolf covariance of the training rows. Through scikit-learn, in float64.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from dxbench.api import Config, Detector

Array = NDArray[Any]


class KNNConfig(Config):
    """Settings of the neighbours."""

    k: PositiveInt = 5
    distance: Literal["kth", "mean"] = "kth"
    metric: Literal["euclidean", "cosine", "mahalanobis"] = "euclidean"


class KNN(Detector):
    """Distance to the k-th nearest training point."""

    name = "knn"
    version = 1
    citation = "Ramaswamy, Rastogi, Shim 2000, doi:10.1145/342009.335437"
    Config = KNNConfig
    recipes = ".recipes.knn"

    def fit(self, rows: Array, config: KNNConfig, *, seed: int) -> Callable[[Array], Array]:
        from sklearn.covariance import LedoitWolf
        from sklearn.neighbors import NearestNeighbors

        k = min(config.k, len(rows))
        if config.metric == "mahalanobis":
            factor = np.linalg.cholesky(np.asarray(LedoitWolf().fit(rows).precision_))
            index = NearestNeighbors(n_neighbors=k).fit(rows @ factor)
        else:
            factor, index = None, NearestNeighbors(n_neighbors=k, metric=config.metric).fit(rows)

        def energy(x: Array) -> Array:
            distances = index.kneighbors(x if factor is None else x @ factor)[0]
            return distances[:, -1] if config.distance == "kth" else np.mean(distances, axis=1)

        return energy
