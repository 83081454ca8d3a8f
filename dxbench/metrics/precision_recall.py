"""Improved precision and recall (Kynkaanniemi et al. 2019, arXiv:1904.06991)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dxbench.metrics.neighbours import DEFAULT_TILING, Tiling, inside_any_ball, kth_neighbour_distances

Features = NDArray[np.floating]


class PrecisionRecall(NamedTuple):
    """Both in [0, 1], higher is better."""

    precision: float
    recall: float


def precision_recall(
    generated: Features, real: Features, *, k: int = 3, tiling: Tiling = DEFAULT_TILING
) -> PrecisionRecall:
    """Precision: the share of generated features on the manifold of the real ones; recall: the reverse.

    A manifold is the union of balls around its features, each reaching to the k-th nearest neighbour among
    themselves, borders included. Made-up samples lower precision, lost modes lower recall.

    Args:
        generated: [n, d].
        real: [m, d].

    Raises:
        ValueError: if a set has no more than k features, or the widths differ.
    """
    real_radii = kth_neighbour_distances(real, k, tiling=tiling)
    generated_radii = kth_neighbour_distances(generated, k, tiling=tiling)
    return PrecisionRecall(
        precision=float(inside_any_ball(generated, real, real_radii, tiling=tiling).mean()),
        recall=float(inside_any_ball(real, generated, generated_radii, tiling=tiling).mean()),
    )
