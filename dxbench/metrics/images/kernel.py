"""Kernel distance, the unbiased MMD^2 behind KID (Binkowski et al. 2018, arXiv:1801.01401)."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Features = NDArray[np.floating]


def cubic_mmd2(x: Features, y: Features) -> float:
    """Unbiased MMD^2 of [n, d] and [m, d] features under k(a, b) = (a.b / d + 1)^3; may be below zero.

    Raises:
        ValueError: if the widths differ or a set has fewer than two features.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"wants two sets of features of one width, got {x.shape} and {y.shape}")
    n, m = len(x), len(y)
    if min(n, m) < 2:
        raise ValueError(f"wants at least 2 features a side, got {n} and {m}")
    x, y = x.astype(np.float64), y.astype(np.float64)
    within_x, within_y, across = _kernel(x, x), _kernel(y, y), _kernel(x, y)
    pairs_x = (within_x.sum() - np.trace(within_x)) / (n * (n - 1))
    pairs_y = (within_y.sum() - np.trace(within_y)) / (m * (m - 1))
    return float(pairs_x + pairs_y - 2.0 * across.mean())


def kernel_distances(
    generated: Features, real: Features, *, subsets: int, subset_size: int, rng: np.random.Generator
) -> Array:
    """`cubic_mmd2` of random subsets of either side, drawn without replacement, [subsets].

    Raises:
        ValueError: if a side has fewer features than a subset.
    """
    if min(len(generated), len(real)) < subset_size:
        raise ValueError(f"wants at least {subset_size} features a side, got {len(generated)} and {len(real)}")
    values = np.empty(subsets)
    for i in range(subsets):
        x = generated[rng.choice(len(generated), subset_size, replace=False)]
        y = real[rng.choice(len(real), subset_size, replace=False)]
        values[i] = cubic_mmd2(x, y)
    return values


def _kernel(x: Array, y: Array) -> Array:
    return (x @ y.T / x.shape[1] + 1.0) ** 3
