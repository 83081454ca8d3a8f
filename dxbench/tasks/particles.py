"""The given energies of the literature whose points are particles: four in double wells, thirteen of Lennard-Jones."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dxbench import paths
from dxbench.api import short_hash
from dxbench.files import refusing_damage, save_arrays
from dxbench.metrics.points.particles import DistanceW2, EnergyW2
from dxbench.tasks.boltzmann import SET_SIZE, SETS, BoltzmannTask
from dxbench.tasks.particle_chains import chained

Array = NDArray[np.float64]
Pairs = TypeVar("Pairs", Tensor, Array)


class ParticleTask(BoltzmannTask):
    """Particles whose energy is the same wherever, however and in whatever order they lie.

    An energy that no translation changes has no density, so that the literature has its law on the subspace of
    centre 0 (Koehler, Klein, Noe 2020, arXiv:2006.02425). Here the energy that methods are given has n |centre|^2 / 2
    beside it, under which the centre is N(0, I / n) and independent of all else; every metric moves the centre of
    samples to 0 first, so that samples from elsewhere may have it there or anywhere.

    Attributes:
        particles: n, of `dim` / n coordinates each; a point is x_1, ..., x_n one after the other.
    """

    particles: ClassVar[int]

    @staticmethod
    @abstractmethod
    def potential(positions: Tensor) -> Tensor:
        """U of [b, n, d] positions whose centre is 0, [b]."""

    @classmethod
    def energy(cls, x: Tensor) -> Tensor:
        where = x.unflatten(1, (cls.particles, -1))
        centre = where.mean(dim=1, keepdim=True)
        return cls.potential(where - centre) + 0.5 * cls.particles * centre.square().sum(dim=(1, 2))

    @staticmethod
    @abstractmethod
    def positions(n: int, rng: np.random.Generator) -> Array:
        """n draws of the law, [n, particles, d], however they lie and in whatever order."""

    @classmethod
    def draw(cls, n: int, rng: np.random.Generator) -> Array:
        """Draws by the next seed of `rng`, from the cache if they are there, each turned and mixed anew."""
        return _placed(_kept(cls, n, int(rng.integers(2**63))), rng)

    @classmethod
    def draw_of(cls, seeds: Sequence[int]) -> Array:
        """Rows of one set of draws, each placed by its seed."""
        pool = _kept(cls, SETS * SET_SIZE, 1)
        rngs = [np.random.Generator(np.random.Philox(key=seed)) for seed in seeds]
        rows = [_placed(pool[[seed % len(pool)]], rng) for seed, rng in zip(seeds, rngs, strict=True)]
        return np.concatenate(rows)

    @classmethod
    def seen(cls, samples: Array) -> Array:
        where = samples.reshape(len(samples), cls.particles, -1)
        return np.asarray((where - where.mean(axis=1, keepdims=True)).reshape(len(samples), -1))


def distances(positions: Tensor) -> Tensor:
    """The distance of each pair of particles, [b, n (n - 1) / 2] of [b, n, d]; of slope 0 where two coincide."""
    i, j = torch.triu_indices(positions.shape[1], positions.shape[1], offset=1, device=positions.device)
    return (positions[:, i] - positions[:, j]).square().sum(dim=2).clamp(min=1e-12).sqrt()


def _kept(kind: type[ParticleTask], n: int, seed: int) -> Array:
    """The positions that a seed gives, from the cache; computed and kept there if it has none.

    Raises:
        InvalidFile: if what the cache holds is no such set.
    """
    key = short_hash([kind.name, kind.version, n, seed], digits=16)
    path = paths.cache() / "particles" / f"{kind.name}-{key}.npz"
    if not path.is_file():
        save_arrays(path, {"positions": kind.positions(n, np.random.default_rng(seed))})
    with refusing_damage(f"{path} is no set of draws; delete it, and it is made again"):
        return np.asarray(
            np.load(path, allow_pickle=False)["positions"].reshape(n, kind.particles, -1), dtype=np.float64
        )


def _placed(positions: Array, rng: np.random.Generator) -> Array:
    """Positions [n, particles, d] as points [n, D]: turned or mirrored, mixed, and with a centre of its law."""
    n, particles, dim = positions.shape
    turns, upper = np.linalg.qr(rng.standard_normal((n, dim, dim)))
    turns = turns * np.sign(np.diagonal(upper, axis1=1, axis2=2))[:, None, :]
    order = rng.random((n, particles)).argsort(axis=1)
    mixed = np.take_along_axis(positions - positions.mean(axis=1, keepdims=True), order[:, :, None], axis=1)
    centre = rng.standard_normal((n, 1, dim)) / math.sqrt(particles)
    return np.asarray((mixed @ turns + centre).reshape(n, particles * dim))


def _particle_metrics(of: str, particles: int) -> tuple[EnergyW2, DistanceW2]:
    reference = f"{SETS} disjoint sets of {SET_SIZE} draws of {of}, of centre 0"
    return EnergyW2(reference=reference), DistanceW2(reference=reference, particles=particles)


# --- four particles in double wells --------------------------------------------------------------------------


def double_well(r: Pairs) -> Pairs:
    """-4 (r - 4)^2 + 0.9 (r - 4)^4, the energy of a pair at distance r."""
    square = (r - 4) ** 2
    return square * (0.9 * square - 4)  # infinite, and not NaN, where the fourth power overflows


DEEPEST = -(4.0**2) / (4 * 0.9)
"""The least energy of a pair."""


@cache
def _pair_table() -> tuple[Array, Array]:
    """Distances, and the distribution function of r exp(-E(r)): of the second particle about the first."""
    grid = np.linspace(0.0, 9.0, 2**16 + 1)
    density = grid * np.exp(DEEPEST - double_well(grid))
    mass = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return grid, mass / mass[-1]


PROPOSALS = 20_000
"""Of four particles at a time, of which some 43 are kept."""


def _about_the_first(n: int, rng: np.random.Generator) -> Array:
    """Second particles where the first is at 0, [n, 1, 2]."""
    grid, share = _pair_table()
    radius, angle = np.interp(rng.random(n), share, grid), rng.uniform(0.0, 2 * math.pi, n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, None]


class DW4(ParticleTask):
    """Four particles in the plane, each pair in a double well, given as an energy to call.

    The sum over pairs of -4 (r - 4)^2 + 0.9 (r - 4)^4 (Koehler, Klein, Noe 2020, arXiv:2006.02425, at temperature 1).
    Draws are exact: the others about the first particle by the distribution function of a pair's distance, each kept
    with the probability exp(-E) of its other pairs over the largest that there is; one of 465 is.
    """

    name, version = "dw4", 1
    particles, dim = 4, 8
    log_z = 31.505109299  # by quadrature, as tests/tasks/test_particles.py has it
    also = _particle_metrics("dw4@1", 4)
    headline = ("energy_w2", "distance_w2", *BoltzmannTask.headline)

    @staticmethod
    def potential(positions: Tensor) -> Tensor:
        return double_well(distances(positions)).sum(dim=1)

    @staticmethod
    def positions(n: int, rng: np.random.Generator) -> Array:
        kept = [np.empty((0, 4, 2))]
        while sum(map(len, kept)) < n:
            positions = np.zeros((PROPOSALS, 1, 2))
            for new in range(1, 4):
                positions = np.concatenate([positions, _about_the_first(len(positions), rng)], axis=1)
                for other in range(1, new):
                    apart = np.hypot(*(positions[:, new] - positions[:, other]).T)
                    positions = positions[np.log(rng.random(len(apart))) < DEEPEST - double_well(apart)]
            kept.append(positions)
        return np.concatenate(kept)[:n]


# --- thirteen particles of Lennard-Jones ---------------------------------------------------------------------

CORE = 0.6
"""Nearer than this a pair's energy goes on as a straight line, where it is 833 nats and exp(-E) nothing."""


def lennard_jones(r: Tensor) -> Tensor:
    """2 (r^-12 - 2 r^-6), the energy of a pair at distance r, of depth 2 at r = 1."""
    held = r.clamp(min=CORE)
    slope = -24 * (CORE**-13 - CORE**-7)
    return 2 * (held**-12 - 2 * held**-6) + slope * (r - CORE).clamp(max=0.0)


class LJ13(ParticleTask):
    """Thirteen Lennard-Jones particles in a harmonic trap, given as an energy to call.

    The sum over ordered pairs of r^-12 - 2 r^-6, and half the squared distances from the centre, as the public code of
    iDEM (arXiv:2402.06121) and of adjoint samplers has it; with a factor 1 / 2 before the sum it would be half as deep.
    Nobody can draw it exactly: `particle_chains` has the chains.
    """

    name, version = "lj13", 1
    particles, dim = 13, 39
    also = _particle_metrics("lj13@1", 13)
    headline = ("energy_w2", "distance_w2", "w2", "energy_tv", "ess", "sampling_calls", "training_calls")

    @staticmethod
    def potential(positions: Tensor) -> Tensor:
        return lennard_jones(distances(positions)).sum(dim=1) + 0.5 * positions.square().sum(dim=(1, 2))

    @staticmethod
    def positions(n: int, rng: np.random.Generator) -> Array:
        return chained(n, rng)
