"""The given energies of the literature whose law can be drawn exactly: two mixtures, a funnel and many wells."""

import math
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dxbench.metrics.points.densities import GaussianMixture
from dxbench.metrics.points.marginals import MarginalKS
from dxbench.tasks.boltzmann import SET_SIZE, SETS, BoltzmannTask

Array = NDArray[np.float64]


@cache
def nine_gaussians() -> GaussianMixture:
    """Nine Gaussians of variance 0.3 and equal weights on the grid {-5, 0, 5}^2, as VGS has them (arXiv:2502.13280)."""
    side = np.array([-5.0, 0.0, 5.0])
    centres = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(9, 2)
    return GaussianMixture(centres=centres, weights=np.full(9, 1 / 9), std=math.sqrt(0.3))


@cache
def forty_gaussians() -> GaussianMixture:
    """Forty Gaussians of equal weights and std softplus(1) with means uniform in [-40, 40]^2 (FAB, arXiv:2208.01893).

    The means are those that torch draws in float32 from seed 0, as FAB and iDEM have them.
    """
    uniform = torch.rand((40, 2), generator=torch.Generator().manual_seed(0))
    centres = ((uniform - 0.5) * 80).double().numpy()
    return GaussianMixture(centres=centres, weights=np.full(40, 1 / 40), std=math.log1p(math.e))


def mixture_energy(mixture: GaussianMixture, x: Tensor) -> Tensor:
    """-log p of a mixture of equal weights, [b]."""
    centres = torch.as_tensor(mixture.centres, dtype=x.dtype, device=x.device)
    square = (x[:, None, :] - centres).square().sum(dim=2)
    logs = torch.logsumexp(-square / (2 * mixture.std**2), dim=1)
    return math.log(len(centres)) + 0.5 * mixture.dim * math.log(2 * math.pi * mixture.std**2) - logs


class GMM9(BoltzmannTask):
    """Nine Gaussians on a grid in the plane, given as an energy to call."""

    name, version = "gmm9", 1
    dim, log_z = 2, 0.0

    @classmethod
    def energy(cls, x: Tensor) -> Tensor:
        return mixture_energy(nine_gaussians(), x)

    @classmethod
    def draw(cls, n: int, rng: np.random.Generator) -> Array:
        return nine_gaussians().sample(n, rng)


class GMM40(BoltzmannTask):
    """Forty Gaussians far apart in the plane, given as an energy to call."""

    name, version = "gmm40", 1
    dim, log_z = 2, 0.0

    @classmethod
    def energy(cls, x: Tensor) -> Tensor:
        return mixture_energy(forty_gaussians(), x)

    @classmethod
    def draw(cls, n: int, rng: np.random.Generator) -> Array:
        return forty_gaussians().sample(n, rng)


class Funnel10(BoltzmannTask):
    """Neal's funnel in ten dimensions, given as an energy to call.

    x_1 ~ N(0, 9), and the other nine N(0, exp(x_1)) each (Neal 2003, doi:10.1214/aos/1056562461, section 8).
    """

    name, version = "funnel10", 1
    dim, log_z = 10, 0.0
    # Its tails are so heavy that w2 does not see half of the law missing.
    also = (MarginalKS(reference=f"{SETS * SET_SIZE} exact draws of funnel10@1"),)
    headline = ("marginal_ks", *BoltzmannTask.headline)

    @classmethod
    def energy(cls, x: Tensor) -> Tensor:
        log_var, rest = x[:, 0], x[:, 1:]
        mouth = log_var.square() / 18 + 0.5 * math.log(2 * math.pi * 9)
        # Held where exp overflows in float32: no draw of the law comes near.
        precise = 0.5 * rest.square().sum(dim=1) * (-log_var).clamp(max=80.0).exp()
        return mouth + precise + 0.5 * rest.shape[1] * (log_var + math.log(2 * math.pi))

    @classmethod
    def draw(cls, n: int, rng: np.random.Generator) -> Array:
        log_var = 3.0 * rng.standard_normal(n)
        rest = np.exp(0.5 * log_var)[:, None] * rng.standard_normal((n, 9))
        return np.concatenate([log_var[:, None], rest], axis=1)


WELLS = 16


def _well(x: Array) -> Array:
    """The energy of one coordinate with two wells."""
    return x**4 - 6 * x**2 - 0.5 * x


@cache
def _well_table() -> tuple[Array, Array, float]:
    """A grid of 2^16 + 1 points out to where exp(-E) is below 1e-60 of its peak, its distribution function, log Z."""
    grid = np.linspace(-5.0, 5.0, 2**16 + 1)
    lowest = _well(grid).min()
    density = np.exp(lowest - _well(grid))
    mass = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]))]) * (grid[1] - grid[0])
    return grid, mass / mass[-1], float(np.log(mass[-1]) - lowest)


class ManyWell32(BoltzmannTask):
    """Sixteen double wells in 32 dimensions, 65,536 modes, given as an energy to call.

    Pairs (a, b) of coordinates with a^4 - 6 a^2 - a / 2 + b^2 / 2 each (FAB, arXiv:2208.01893; Noe et al. 2019). Exact
    draws of a are by its distribution function on a fine grid.
    """

    name, version = "manywell32", 1
    dim, log_z = 2 * WELLS, WELLS * (_well_table()[2] + 0.5 * math.log(2 * math.pi))

    @classmethod
    def energy(cls, x: Tensor) -> Tensor:
        a, b = x[:, 0::2], x[:, 1::2]
        return (a**4 - 6 * a.square() - 0.5 * a + 0.5 * b.square()).sum(dim=1)

    @classmethod
    def draw(cls, n: int, rng: np.random.Generator) -> Array:
        grid, share, _ = _well_table()
        points = np.empty((n, 2 * WELLS))
        points[:, 0::2] = np.interp(rng.random((n, WELLS)), share, grid)
        points[:, 1::2] = rng.standard_normal((n, WELLS))
        return points
