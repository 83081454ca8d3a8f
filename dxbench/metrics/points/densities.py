"""Exact reference densities of tasks."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class GaussianMixture:
    """Isotropic Gaussians of one std and given weights in R^D.

    Raises:
        ValueError: unless there is one weight per centre, positive and of sum 1, and std > 0 is finite.
    """

    centres: Array
    weights: Array
    std: float

    def __post_init__(self) -> None:
        weights_fit = self.weights.shape == self.centres.shape[:1] and bool((self.weights > 0).all())
        if not (0 < self.std < np.inf and weights_fit and np.isclose(self.weights.sum(), 1.0)):
            raise ValueError(
                f"need std > 0 and one positive weight per centre, of sum 1; got std={self.std}, "
                f"weights={self.weights} for centres of shape {self.centres.shape}"
            )

    @property
    def dim(self) -> int:
        return self.centres.shape[1]

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """[n, D] independent draws."""
        component = rng.choice(len(self.weights), size=n, p=self.weights)
        return self.centres[component] + self.std * rng.standard_normal((n, self.dim))

    def log_prob(self, x: Array) -> Array:
        """Log density in nats, [n]."""
        square = ((x[:, None, :] - self.centres) ** 2).sum(-1)
        normaliser = 0.5 * self.dim * np.log(2 * np.pi * self.std**2)
        return scipy.special.logsumexp(np.log(self.weights) - square / (2 * self.std**2), axis=1) - normaliser

    def project(self, direction: Array) -> "ProjectedMixture":
        """The law of <direction, x> for a unit vector `direction` [D]."""
        return ProjectedMixture(means=self.centres @ direction, weights=self.weights, std=self.std)


@dataclass(frozen=True, kw_only=True, eq=False)
class ProjectedMixture:
    """A mixture of Gaussians of one std on the line."""

    means: Array
    weights: Array
    std: float

    def cdf(self, t: Array) -> Array:
        return scipy.special.ndtr((t[:, None] - self.means) / self.std) @ self.weights

    def partial_mean(self, t: Array) -> Array:
        """E[X; X <= t] = sum_j w_j (m_j Phi(z_j) - std phi(z_j)), z_j = (t - m_j) / std."""
        z = (t[:, None] - self.means) / self.std
        density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
        return (self.means * scipy.special.ndtr(z) - self.std * density) @ self.weights

    @property
    def second_moment(self) -> float:
        return float(self.weights @ self.means**2 + self.std**2)

    @cached_property
    def _table(self) -> tuple[Array, Array, Array]:
        """A fine grid t with cdf(t) and partial_mean(t), out to where the tails hold less than 1e-16."""
        t = np.linspace(self.means.min() - 9 * self.std, self.means.max() + 9 * self.std, 8193)
        return t, self.cdf(t), self.partial_mean(t)

    def bin_means(self, n: int) -> Array:
        """Integral of the quantile function over each of n equal bins of [0, 1], shape [n].

        E[X; X <= Q(u)] as a function of u has derivative Q(u), so cubic Hermite interpolation of the table
        in u, with t as slope, is exact to rounding where the density is not tiny.
        """
        t, u, mean = self._table
        edges = np.arange(1, n) / n
        i = np.clip(np.searchsorted(u, edges) - 1, 0, len(u) - 2)
        h = u[i + 1] - u[i]
        s = (edges - u[i]) / h
        at_edges = (
            (1 + 2 * s) * (1 - s) ** 2 * mean[i]
            + s * (1 - s) ** 2 * h * t[i]
            + s**2 * (3 - 2 * s) * mean[i + 1]
            + s**2 * (s - 1) * h * t[i + 1]
        )
        total = float(self.weights @ self.means)
        return np.diff(at_edges, prepend=0.0, append=total)
