"""Flow matching: a network learns the velocity of the straight path between data and noise, by regression.

||v(x_t, t) - (z - data)||^2 (Lipman et al. 2023, arXiv:2210.02747), whose minimum is the mean velocity at x_t and
carries the noise to the data. Which noise is paired with which data is a choice (Tong et al. 2024, arXiv:2302.00482).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, FiniteFloat, PositiveFloat
from torch import Tensor

from dxmi.arrays import ClassLabels, PerSample, Points
from dxmi.losses import mean_square
from dxmi.protocols import Velocity
from dxmi.sampling.flows import straight_path
from dxmi.sampling.noise import StreamNoise
from dxmi.training.coupling import optimal_pairs
from dxmi.training.denoising import Batch


@dataclass(frozen=True, kw_only=True)
class IndependentCoupling:
    """Noise and data as they were drawn."""

    kind: Literal["independent"] = "independent"

    def __call__(self, batch: Batch, z: Points) -> Points:
        return z


@dataclass(frozen=True, kw_only=True)
class OptimalCoupling:
    """Noise and data paired so that their squared distances sum to the least in the batch, class by class (OT-CFM).

    Within a class, since the noise of each class is to stay N(0, I). The assignment is exact and costs O(b^3).
    """

    kind: Literal["optimal_transport"] = "optimal_transport"

    def __call__(self, batch: Batch, z: Points) -> Points:
        paired = z.clone()
        for rows in _rows_by_class(len(z), *batch.labels):
            paired[rows] = z[rows][optimal_pairs(z[rows], batch.data[rows])]
        return paired


def _rows_by_class(n: int, *labels: ClassLabels) -> Iterator[Tensor]:
    """Rows of each class; all of them where there are no classes."""
    if not labels:
        yield torch.arange(n)
    for classes in labels:
        for label in classes.unique():
            yield (classes == label).nonzero().squeeze(1)


AnyCoupling = Annotated[IndependentCoupling | OptimalCoupling, Field(discriminator="kind")]
INDEPENDENT = IndependentCoupling()


class Times(ABC):
    """A law of the time t on [0, 1] that a network learns at."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    @abstractmethod
    def draw(self, noise: StreamNoise) -> PerSample:
        """One time per sample of the stream."""


@dataclass(frozen=True, kw_only=True)
class UniformTimes(Times):
    """All times alike, as the sources of flow matching have them."""

    kind: Literal["uniform"] = "uniform"

    def draw(self, noise: StreamNoise) -> PerSample:
        generator = noise.generator
        return torch.rand(noise.batch_size, generator=generator, device=generator.device, dtype=noise.dtype)


@dataclass(frozen=True, kw_only=True)
class LogitNormalTimes(Times):
    """ln(t / (1 - t)) ~ N(mean, std^2), most often in the middle (Esser et al. 2024, arXiv:2403.03206)."""

    kind: Literal["logit_normal"] = "logit_normal"
    mean: FiniteFloat = 0.0
    std: PositiveFloat = 1.0

    def draw(self, noise: StreamNoise) -> PerSample:
        generator = noise.generator
        z = torch.randn(noise.batch_size, generator=generator, device=generator.device, dtype=noise.dtype)
        return (self.mean + self.std * z).sigmoid()


AnyTimes = Annotated[UniformTimes | LogitNormalTimes, Field(discriminator="kind")]
UNIFORM = UniformTimes()


@dataclass(frozen=True, kw_only=True)
class FlowLoss:
    """||v(x_t, t) - (z - data)||^2 / D, as a `DenoisingLoss`.

    Attributes:
        velocity: v of the network that is trained.
    """

    velocity: Callable[[Any], Velocity]
    coupling: IndependentCoupling | OptimalCoupling
    times: Times

    def draw(self, batch: Batch) -> tuple[Tensor, ...]:
        return self.times.draw(batch.noise), self.coupling(batch, batch.noise.normal(0))

    def __call__(self, net: Any, data: Points, *drawn: Tensor) -> PerSample:
        t, z, *labels = drawn
        x, velocity = straight_path(data, z, t)
        return mean_square(self.velocity(net)(x, t, *labels) - velocity)
