"""KL divergence from samples by variationally weighted kernel density ratios (Yoon et al. 2023, arXiv:2311.03001).

Both densities are estimated with one weight function, p^_i(x) = mean_j alpha(x_j) k_h(x, x_j), which cancels in the
ratio but not in its bias. With s_i = grad log p_i and L_i = Laplacian of p_i over p_i, the ratio's logarithm is off by

    h^2 B(x),   B = grad log alpha . (s_1 - s_2) + (L_1 - L_2) / 2,   L_i = div s_i + |s_i|^2,

to leading order, since Laplacian(alpha p) / (alpha p) = L_alpha + 2 grad log alpha . s + L. The weights, log alpha = a
sum of w_j radial functions, minimise E[B^2]; s_i and L_i are those of fitted Gaussians, the paper's model-based way.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.float64]
Features = NDArray[np.floating]

KL_ESTIMATOR = (
    "variationally weighted kernel density ratio, weights of fitted Gaussians, 200 radial functions, ridge 0.1, "
    "bandwidth n^(-1 / (d + 8)) at unit average covariance"
)
"""For protocols: `kernel_kl` with its defaults."""


@dataclass(frozen=True)
class Scores:
    """s = grad log p [n, d] and L = Laplacian(p) / p [n] at n points."""

    gradient: Array
    laplacian: Array


ScoreFit = Callable[[Array], Callable[[Array], Scores]]


NARROWEST = 0.01
"""Variance that a fitted Gaussian has at least, at unit average covariance: collapsed samples have none."""


def gaussian_scores(points: Array) -> Callable[[Array], Scores]:
    """Scores of a Gaussian fitted to [n, d] points: s = -C^-1 (x - m), L = |s|^2 - tr C^-1."""
    variances, axes = np.linalg.eigh(_covariance(points))
    mean, precision = points.mean(axis=0), (axes / np.maximum(variances, NARROWEST)) @ axes.T

    def at(x: Array) -> Scores:
        gradient = (mean - x) @ precision
        return Scores(gradient, np.square(gradient).sum(axis=1) - np.trace(precision))

    return at


@dataclass(frozen=True)
class Radial:
    """Radial functions exp(-|x - c|^2 / (2 w^2)) of centres [m, d]."""

    centres: Array
    width: float

    def __call__(self, x: Array) -> Array:
        return np.exp(-_squared_distances(x, self.centres) / (2 * self.width**2))

    def along(self, x: Array, v: Array) -> Array:
        """grad phi_j(x) . v of vectors [n, d], [n, m]."""
        towards = v @ self.centres.T - (v * x).sum(axis=1, keepdims=True)
        return self(x) * towards / self.width**2

    def gradient(self, x: Array, weights: Array) -> Array:
        """Gradient of the weighted sum, [n, d]."""
        weighted = self(x) * weights
        return (weighted @ self.centres - weighted.sum(axis=1, keepdims=True) * x) / self.width**2


def radial_functions(points: Array, count: int, rng: np.random.Generator) -> Radial:
    """Centres drawn from the points; width the median distance between them (1 if they coincide)."""
    centres = points[rng.choice(len(points), size=min(count, len(points)), replace=False)]
    apart = np.sqrt(_squared_distances(centres, centres))[np.triu_indices(len(centres), 1)]
    return Radial(centres, float(np.median(apart)) if apart.size and np.median(apart) > 0 else 1.0)


def log_weights(first: Array, second: Array, *, scores: ScoreFit, basis: Radial, ridge: float) -> tuple[Array, Array]:
    """log alpha at the points of both sets, which minimises the mean of B^2 over them plus ridge |w|^2."""
    both = np.concatenate([first, second])
    s1, s2 = scores(first)(both), scores(second)(both)
    moved = basis.along(both, s1.gradient - s2.gradient)
    offset = (s1.laplacian - s2.laplacian) / 2
    products = moved.T @ moved / len(both) + ridge * np.eye(moved.shape[1])
    weights = np.linalg.solve(products, -moved.T @ offset / len(both))
    log_alpha = basis(both) @ weights
    return log_alpha[: len(first)], log_alpha[len(first) :]


def kernel_kl(
    first: Features,
    second: Features,
    *,
    rng: np.random.Generator,
    scores: ScoreFit | None = gaussian_scores,
    functions: int = 200,
    ridge: float = 0.1,
) -> float:
    """Estimate of KL(p_1 || p_2) in nats from draws [n, d] and [m, d]; without `scores`, plain kernel estimates.

    Draws are first brought to unit average covariance, which KL does not see, and `bandwidth` is in those units. The
    estimate leaves each draw of p_1 out of its own density; it may be below 0.

    Raises:
        ValueError: if the widths differ, a set has fewer than d + 2 draws, or a draw is not finite.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"wants two sets of draws of one width, got {first.shape} and {second.shape}")
    wanted = first.shape[1] + 2
    if min(len(first), len(second)) < wanted:
        raise ValueError(f"wants at least {wanted} draws a side in {first.shape[1]} dimensions")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("draws that are not finite have no density")
    x, y = _whitened(first.astype(np.float64), second.astype(np.float64))
    log_alpha = np.zeros(len(x)), np.zeros(len(y))
    if scores is not None:
        basis = radial_functions(np.concatenate([x, y]), functions, rng)
        log_alpha = log_weights(x, y, scores=scores, basis=basis, ridge=ridge)
    h = bandwidth(min(len(x), len(y)), x.shape[1])
    own, other = _squared_distances(x, x), _squared_distances(x, y)
    np.fill_diagonal(own, np.inf)
    return float((_log_mean(own, h, log_alpha[0]) - _log_mean(other, h, log_alpha[1])).mean())


def kernel_kl_on_axes(real: Features, generated: Features, *, components: int, rng: np.random.Generator) -> float:
    """`kernel_kl` of p_1 = real over p_2 = generated, along the leading principal axes of `real`, [n, d] and [m, d].

    A lower bound of the KL of whole features, where kernels would see nothing. Real draws come first: the other
    direction hardly sees what the samples lack, and kernels that reach from cluster to cluster make it negative.
    """
    covariance = np.atleast_2d(np.cov(real, rowvar=False, dtype=np.float64))
    axes = np.linalg.eigh(covariance)[1][:, -components:]
    return kernel_kl(real.astype(np.float64) @ axes, generated.astype(np.float64) @ axes, rng=rng)


def bandwidth(n: int, dim: int) -> float:
    """n^(-1 / (d + 8)): the balance of variance 1 / (n h^d) with a squared bias of h^8, the next order after B's."""
    return n ** (-1 / (dim + 8))


def _log_mean(squared: Array, h: float, log_weight: Array) -> Array:
    """log of the mean of weighted kernels exp(-r^2 / (2 h^2)) per row; infinite distances are left out."""
    counted = np.isfinite(squared[0]).sum()
    return scipy.special.logsumexp(log_weight - squared / (2 * h**2), axis=1) - np.log(counted)


def _whitened(x: Array, y: Array) -> tuple[Array, Array]:
    average = (_covariance(x) + _covariance(y)) / 2
    variances, axes = np.linalg.eigh(average)
    kept = variances > 1e-9 * variances.max()  # directions in which neither set varies
    whitener = axes[:, kept] / np.sqrt(variances[kept])
    origin = x.mean(axis=0)
    return (x - origin) @ whitener, (y - origin) @ whitener


def _covariance(points: Array) -> Array:
    covariance = np.atleast_2d(np.cov(points, rowvar=False))
    return covariance + 1e-9 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))


def _squared_distances(x: Array, y: Array) -> Array:
    squared = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * x @ y.T
    return np.maximum(squared, 0.0)
