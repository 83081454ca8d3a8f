"""Metrics of particles: energies and distances of pairs, compared as numbers on the line."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dxbench.api import Estimate, EvaluationInputs, MetricProtocol
from dxbench.metrics.adjust import Adjustable
from dxbench.metrics.points.given_energy import HasEnergy
from dxbench.metrics.points.sliced import BLOCKS, blocks_and_draws, sliced_wasserstein2
from dxbench.metrics.scoring import repeated

Array = NDArray[np.float64]


def w2_on_the_line(x: Array, y: Array) -> float:
    """The W2 of two sets of as many numbers, rooted: by the sorted ones."""
    return sliced_wasserstein2(x.reshape(-1, 1), y.reshape(-1, 1), np.ones((1, 1)))


def pair_distances(x: Array, particles: int) -> Array:
    """The distances of all pairs of particles, [n, particles (particles - 1) / 2] of points [n, D]."""
    positions = x.reshape(len(x), particles, -1)
    i, j = np.triu_indices(particles, k=1)
    return np.asarray(np.linalg.norm(positions[:, i] - positions[:, j], axis=2))


@dataclass(frozen=True, kw_only=True)
class _OnTheLine(Adjustable, ABC):
    """W2 of what is read off samples, to what is read off as many test draws, mean and std over disjoint blocks."""

    choices: ClassVar = BLOCKS
    of: ClassVar[str]
    name: str
    title: str
    num_samples: int = 2_000
    repeats: int = 5
    reference: str

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(
            name=self.name,
            version=1,
            fields={
                "distance": f"(optimal transport of the squared difference of {self.of})^(1/2), by sorting",
                "n_samples": self.num_samples,
                "n_reference": self.num_samples,
                "repeats": self.repeats,
                "reference": self.reference,
            },
        )

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        pairs = blocks_and_draws(inputs, num_samples=self.num_samples, repeats=self.repeats)
        read = self.reader(inputs)
        return repeated(self.protocol, [w2_on_the_line(read(x), read(y)) for x, y in pairs], better="lower")

    @abstractmethod
    def reader(self, inputs: EvaluationInputs) -> Callable[[Array], Array]:
        """A function from points [n, D] to the numbers that are compared, as many for each point."""


@dataclass(frozen=True, kw_only=True)
class EnergyW2(_OnTheLine):
    """W2 of the given energies of samples to those of test draws."""

    of = "energies"
    name: str = "energy_w2"
    title: str = "W2 of energies"

    def reader(self, inputs: EvaluationInputs) -> Callable[[Array], Array]:
        reference: HasEnergy = inputs.reference
        return reference.energy


@dataclass(frozen=True, kw_only=True)
class DistanceW2(_OnTheLine):
    """W2 of the distances of pairs of particles of samples to those of test draws, all pairs together."""

    of = "distances of all pairs of particles"
    name: str = "distance_w2"
    title: str = "W2 of distances of pairs"
    particles: int

    def reader(self, inputs: EvaluationInputs) -> Callable[[Array], Array]:
        return lambda x: pair_distances(x, self.particles)
