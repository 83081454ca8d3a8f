"""Vendi score: how many different samples a set is worth (Friedman and Dieng 2023, arXiv:2210.02410)."""

import numpy as np
from numpy.typing import NDArray


def vendi_score(features: NDArray[np.floating]) -> float:
    """exp(entropy of the eigenvalues of K / n), K the cosine similarities of [n, d] features; in 1 .. min(n, d).

    K / n and the second moment X^T X / n of the rows on the unit sphere have the same eigenvalues but for zeros, so
    the smaller is taken.

    Raises:
        ValueError: if a feature is zero, and has no direction.
    """
    x = features.astype(np.float64)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    if not (norms > 0).all():
        raise ValueError(f"{int((norms == 0).sum()):,} of {len(x):,} features are zero and have no direction")
    x /= norms
    values = np.linalg.eigvalsh((x.T @ x if x.shape[1] < len(x) else x @ x.T) / len(x))
    shares = values[values > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))
