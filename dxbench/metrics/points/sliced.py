"""Sliced Wasserstein-2 distances (Bonneel et al. 2015, doi:10.1007/s10851-014-0506-3), rooted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from dxbench.api import Estimate, EvaluationInputs, MetricProtocol, NotApplicable, Recheck
from dxbench.api.streams import derive_seed
from dxbench.metrics.adjust import Adjustable, Choice, first_number, whole
from dxbench.metrics.points.densities import GaussianMixture
from dxbench.metrics.scoring import repeated, require_part, require_samples, single

Array = NDArray[np.float64]

ROUNDING = 1e-4  # claims rest on the samples in full precision, parts on what is kept of them

BLOCKS = {
    "n_samples": Choice(attribute="num_samples", read=whole),
    "n_reference": Choice(attribute="num_samples", read=whole),
    "repeats": Choice(attribute="repeats", read=whole),
}
"""Settings of a metric that compares blocks of samples with sets of test draws (`blocks_and_draws`)."""


class HasTestDraws(Protocol):
    """A reference with disjoint sets of test draws, each [n, D]."""

    test_draws: Sequence[Array]


def blocks_and_draws(inputs: EvaluationInputs, *, num_samples: int, repeats: int) -> list[tuple[Array, Array]]:
    """The i-th block of samples beside as many of the i-th set of test draws, `repeats` times [num_samples, d].

    Raises:
        NotApplicable: if there are too few samples, or the reference has too few draws.
    """
    samples = require_samples(inputs, num_samples * repeats)
    reference: HasTestDraws = inputs.reference
    if repeats > len(reference.test_draws) or num_samples > len(reference.test_draws[0]):
        raise NotApplicable(f"the reference has fewer than {repeats} sets of {num_samples:,} draws")
    blocks = samples[: num_samples * repeats].reshape(repeats, num_samples, -1)
    return [(block, draws[:num_samples]) for block, draws in zip(blocks, reference.test_draws, strict=False)]


class HasMixture(Protocol):
    """A reference that is a Gaussian mixture in the plane, known in closed form."""

    mixture: GaussianMixture


def random_directions(count: int, dim: int, rng: np.random.Generator) -> Array:
    """[D, count] unit vectors, uniform on the sphere."""
    directions = rng.standard_normal((dim, count))
    return directions / np.linalg.norm(directions, axis=0)


def sliced_wasserstein2(x: Array, y: Array, directions: Array) -> float:
    """(mean over directions of W2^2 of the projections)^(1/2), for x and y of equal size.

    Equal to `ot.sliced_wasserstein_distance(x, y, projections=directions, p=2)` of POT.

    Raises:
        ValueError: if x and y differ in size.
    """
    if x.shape != y.shape:
        raise ValueError(f"need two sets of equal shape, got {x.shape} and {y.shape}")
    total = 0.0
    for direction in directions.T:
        total += np.mean((np.sort(x @ direction) - np.sort(y @ direction)) ** 2)
    return float(np.sqrt(total / directions.shape[1]))


def sampling_distance(x: Array, directions: Array, *, parts: int = 4) -> float:
    """Root mean square sliced W2 between `parts` equal parts of x, over their pairs.

    For exchangeable x it bounds, with room to spare, how far x lies from a larger set that it was drawn from at
    random: a quarter lies further off than the whole, and two quarters lie further apart than either from the law.
    That a claim may honestly be *larger* cannot be bounded from a part: one far sample that it misses is enough.
    """
    x = x[: len(x) // parts * parts]
    total = 0.0
    for direction in directions.T:
        ranked = np.sort((x @ direction).reshape(parts, -1), axis=1)
        total += 2.0 * ranked.var(axis=0, ddof=1).mean()  # mean square difference of a pair
    return float(np.sqrt(total / directions.shape[1])) + ROUNDING


def sliced_wasserstein2_to_mixture(x: Array, mixture: GaussianMixture, directions: Array) -> float:
    """The sliced distance to the exact law of a mixture, so that the reference adds no noise.

    W2^2 between sorted points x_i of weight 1/n and a law with quantile function Q is
    mean(x^2) - 2 sum_i x_i int_{(i-1)/n}^{i/n} Q(u) du + int Q^2, in closed form for a mixture.
    """
    total = 0.0
    for direction in directions.T:
        points = np.sort(x @ direction)
        law = mixture.project(direction)
        total += np.mean(points**2) - 2.0 * points @ law.bin_means(len(points)) + law.second_moment
    return float(np.sqrt(max(total, 0.0) / directions.shape[1]))


@dataclass(frozen=True, kw_only=True)
class SlicedWasserstein(Adjustable):
    """The DxMI paper's SW: samples against test draws of equal number, repeated over disjoint draws.

    The i-th block of samples meets the i-th set of test draws; the estimate is their mean and std
    (arXiv:2407.00626, App. C.1: 1,000 projections, 10k samples, 5 samplings).
    """

    choices: ClassVar = {
        "projections": Choice(attribute="num_projections", read=whole),
        **BLOCKS,
    }

    name: str = "sw2"
    title: str = "sliced W2"
    num_projections: int = 1000
    num_samples: int = 10_000
    repeats: int = 5
    reference: str

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(
            name=self.name,
            version=1,
            fields={
                "distance": "(mean over projections of W2^2)^(1/2)",
                "projections": self.num_projections,
                "projection_seeds": "sha256 of (sw2, projections, repeat)",
                "n_samples": self.num_samples,
                "n_reference": self.num_samples,
                "repeats": self.repeats,
                "reference": self.reference,
                "dtype": "float64",
            },
        )

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        pairs = blocks_and_draws(inputs, num_samples=self.num_samples, repeats=self.repeats)
        values = [
            sliced_wasserstein2(block, draws, self._directions(i, block.shape[1]))
            for i, (block, draws) in enumerate(pairs)
        ]
        return repeated(self.protocol, values, better="lower")

    def recheck(self, inputs: EvaluationInputs) -> Recheck:
        """Blocks of the part take the claim's blocks' places in turn, so that the test draws are those of the claim.

        The distance obeys the triangle inequality: a block of the same law in another's place moves the value by
        at most the distance of the two.
        """
        samples = require_part(inputs, at_least=2 * self.num_samples)
        usable = samples[: len(samples) // self.num_samples * self.num_samples]
        blocks = usable.reshape(-1, self.num_samples, samples.shape[1])
        reference: HasTestDraws = inputs.reference
        directions = [self._directions(i, samples.shape[1]) for i in range(self.repeats)]
        values = [
            sliced_wasserstein2(blocks[i % len(blocks)], reference.test_draws[i], directions[i])
            for i in range(self.repeats)
        ]
        value = float(np.mean(values))
        return Recheck(value=value, low=value - sampling_distance(usable, directions[0]), high=None)

    def _directions(self, repeat: int, dim: int) -> Array:
        rng = np.random.default_rng(derive_seed("sw2", "projections", repeat))
        return random_directions(self.num_projections, dim, rng)


@dataclass(frozen=True, kw_only=True)
class ExactSlicedWasserstein(Adjustable):
    """Sliced W2 to the closed-form quantiles of the true mixture, at equally spaced angles."""

    choices: ClassVar = {
        "projections": Choice(attribute="num_angles", read=first_number),
        "n_samples": Choice(attribute="num_samples", read=whole),
    }

    name: str = "sw2_exact"
    title: str = "sliced W2 (exact reference)"
    num_angles: int = 200
    num_samples: int = 100_000
    reference: str

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(
            name=self.name,
            version=1,
            fields={
                "distance": "(mean over projections of W2^2)^(1/2)",
                "projections": f"{self.num_angles} equally spaced angles on [0, pi)",
                "n_samples": self.num_samples,
                "reference": f"closed-form quantiles of {self.reference}",
                "dtype": "float64",
            },
        )

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        samples = require_samples(inputs, self.num_samples)
        reference: HasMixture = inputs.reference
        value = sliced_wasserstein2_to_mixture(samples, reference.mixture, self._directions)
        return single(self.protocol, value, better="lower")

    def recheck(self, inputs: EvaluationInputs) -> Recheck:
        """Check a part: by the triangle inequality its value is off by at most its distance to all samples."""
        samples = require_part(inputs)
        reference: HasMixture = inputs.reference
        value = sliced_wasserstein2_to_mixture(samples, reference.mixture, self._directions)
        return Recheck(value=value, low=value - sampling_distance(samples, self._directions), high=None)

    @property
    def _directions(self) -> Array:
        angles = np.pi * np.arange(self.num_angles) / self.num_angles
        return np.stack([np.cos(angles), np.sin(angles)])
