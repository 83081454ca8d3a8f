"""Frechet distance between Gaussians fitted to features (Heusel et al. 2017, arXiv:1706.08500)."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Features = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Mean and covariance of a feature set.

    Attributes:
        n: how many features they are of; None where the file they were read from does not say.
        mean: [d] float64.
        cov: [d, d] float64, ddof 1.
    """

    n: int | None
    mean: Array
    cov: Array

    def __post_init__(self) -> None:
        d = self.mean.shape[0] if self.mean.ndim == 1 else -1
        if self.cov.shape != (d, d):
            raise ValueError(f"wants mean [d] and cov [d, d], got {self.mean.shape} and {self.cov.shape}")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.cov).all()):
            raise ValueError("mean and covariance have to be finite")

    @cached_property
    def root(self) -> Array:
        """R [rank, d] with R^T R = cov, by Cholesky, or by eigenvectors where cov is singular; kept for references.

        Eigenvalues below d * eps * the largest are rounding noise of a singular covariance (n <= d). Their roots
        would be 1e-8 of the largest each, and thousands of them add up, so they are left out.
        """
        noise = len(self.cov) * np.finfo(np.float64).eps
        try:
            factor = np.asarray(np.linalg.cholesky(self.cov), dtype=np.float64)
            pivots = np.diag(factor) ** 2
            if pivots.min() > noise * pivots.max():
                return factor.T
        except np.linalg.LinAlgError:
            pass
        values, vectors = np.linalg.eigh(self.cov)
        kept = values > noise * max(values[-1], 0.0)
        return np.sqrt(values[kept])[:, None] * vectors[:, kept].T


class MomentAccumulator:
    """Streams features into float64 moments by the pairwise update of Chan, Golub and LeVeque (1979)."""

    def __init__(self, dim: int) -> None:
        self._n = 0
        self._mean = np.zeros(dim)
        self._scatter = np.zeros((dim, dim))

    def update(self, features: Features) -> None:
        """Take in [b, d] more.

        Raises:
            ValueError: if the batch has another width or holds NaN or infinity.
        """
        if features.ndim != 2 or features.shape[1] != len(self._mean):
            raise ValueError(f"wants features [b, {len(self._mean)}], got {list(features.shape)}")
        if not np.isfinite(features).all():
            raise ValueError("features are not finite")
        b = len(features)
        if b == 0:
            return
        x = features.astype(np.float64)
        mean = x.mean(axis=0)
        x -= mean
        shift = mean - self._mean
        total = self._n + b
        self._scatter += x.T @ x + np.outer(shift, shift) * (self._n * b / total)
        self._mean += shift * (b / total)
        self._n = total

    def moments(self) -> Moments:
        """Moments of all that came in.

        Raises:
            ValueError: for fewer than two features.
        """
        if self._n < 2:
            raise ValueError(f"a covariance wants at least 2 features, got {self._n}")
        return Moments(n=self._n, mean=self._mean.copy(), cov=self._scatter / (self._n - 1))


def moments_of(batches: Iterable[Features]) -> Moments:
    """Moments of batches [b, d], read once.

    Raises:
        ValueError: if they hold fewer than two features, differ in width or are not finite.
    """
    accumulator: MomentAccumulator | None = None
    for batch in batches:
        accumulator = accumulator or MomentAccumulator(batch.shape[-1])
        accumulator.update(batch)
    if accumulator is None:
        raise ValueError("a covariance wants at least 2 features, got none")
    return accumulator.moments()


def array_moments(features: Features, *, block: int = 4096) -> Moments:
    """Moments of one array [n, d], in blocks so that no float64 copy of it is made."""
    return moments_of(features[start : start + block] for start in range(0, max(len(features), 1), block))


def frechet_distance(a: Moments, b: Moments) -> float:
    """||m_a - m_b||^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), the squared 2-Wasserstein distance of two Gaussians.

    Dowson and Landau 1982, doi:10.1016/0047-259X(82)90077-X. Nothing becomes complex and singular covariances
    (n <= d) need no jitter, unlike with a square root of the matrix C_a C_b.

    Raises:
        ValueError: if the dimensions differ.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features of {len(a.mean)} and {len(b.mean)} dimensions cannot be compared")
    shift = a.mean - b.mean
    # Rounding may leave -1e-13 of a distance of nothing.
    return max(float(shift @ shift + np.trace(a.cov) + np.trace(b.cov) - 2.0 * _trace_of_root(a, b)), 0.0)


def _trace_of_root(a: Moments, b: Moments) -> float:
    """tr (C_a C_b)^(1/2): the sum of the singular values of R_a R_b^T for any roots C = R^T R."""
    if len(a.root) == len(b.root) == len(a.mean):
        # The same by the eigenvalues of a symmetric matrix, three times as fast. Squares lose half of the digits,
        # which matters for singular values that ought to be zero; here there are none.
        values = np.linalg.eigvalsh(a.root @ b.cov @ a.root.T)
        return float(np.sqrt(np.maximum(values, 0.0)).sum())
    if len(a.root) == 0 or len(b.root) == 0:
        return 0.0
    return float(np.linalg.svd(a.root @ b.root.T, compute_uv=False).sum())
