"""Authenticity: the share of samples that are no copies of training points (Alaa et al. 2022, arXiv:2102.08921)."""

import numpy as np
from numpy.typing import NDArray

from dxbench.metrics.images.neighbours import DEFAULT_TILING, Tiling, kth_neighbour_distances, nearest

Features = NDArray[np.floating]


def authenticity(generated: Features, train: Features, *, tiling: Tiling = DEFAULT_TILING) -> float:
    """Share of [n, d] generated features that lie further from the nearest of the [m, d] training features than that
    one lies from its own nearest neighbour.

    The `AuthPct` of dgm-eval over 100. Training points that occur twice call nothing a copy but a third one.

    Raises:
        ValueError: for fewer than two training features, or if the widths differ.
    """
    distances, which = nearest(generated, train, tiling=tiling)
    return float((kth_neighbour_distances(train, 1, tiling=tiling)[which] < distances).mean())
