"""Improved precision and recall (Kynkaanniemi et al. 2019, arXiv:1904.06991).

A manifold is the union of balls around features, each reaching to the k-th nearest neighbour among themselves,
borders included.
"""

import numpy as np
from numpy.typing import NDArray

from dxbench.metrics.neighbours import DEFAULT_TILING, Tiling, inside_any_ball, kth_neighbour_distances

Features = NDArray[np.floating]


def precision(generated: Features, real: Features, *, k: int = 3, tiling: Tiling = DEFAULT_TILING) -> float:
    """Share of [n, d] generated features on the manifold of the [m, d] real ones; made-up samples lower it.

    Raises:
        ValueError: if there are no more than k real features, or the widths differ.
    """
    return _share_inside(generated, real, k, tiling)


def recall(generated: Features, real: Features, *, k: int = 3, tiling: Tiling = DEFAULT_TILING) -> float:
    """Share of [m, d] real features on the manifold of the [n, d] generated ones; lost modes lower it.

    Raises:
        ValueError: if there are no more than k generated features, or the widths differ.
    """
    return _share_inside(real, generated, k, tiling)


def _share_inside(features: Features, centres: Features, k: int, tiling: Tiling) -> float:
    radii = kth_neighbour_distances(centres, k, tiling=tiling)
    return float(inside_any_ball(features, centres, radii, tiling=tiling).mean())
