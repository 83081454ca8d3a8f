"""Average velocities: a network learns the mean velocity u(x, t, r) of the flow from time t down to r.

(t - r) u(x_t, t, r) is the way from x_t to x_r, so that u(z, 1, 0) takes noise to data in one pass, and u(x, t, t) is
the velocity. MeanFlow (Geng et al. 2025, arXiv:2505.13447), improved MeanFlow (2025, arXiv:2512.02012), alpha-flow
(Zhang et al. 2025, arXiv:2510.20771) and shortcut models (Frans et al. 2024, arXiv:2410.12557) regress u on targets of
one form. Along some direction w at x_t, with s = t - alpha (t - r),

    alpha w + (1 - alpha) u(x_t - (t - s) w, s, r)          for alpha > 0,
    v - (t - r) (w d_x u + d_t u)(x_t, t, r)                 for alpha = 0, v the velocity of the pair.

The second is the limit of the first for w = v: u(x_t, t, r) - target is alpha times as large there.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from dxmi.arrays import ClassLabels, PerSample, Points, per_sample
from dxmi.protocols import AverageVelocity
from dxmi.sampling.flows import straight_path
from dxmi.sampling.noise import StreamNoise
from dxmi.training.denoising import Batch
from dxmi.training.flows import AnyTimes, IndependentCoupling, LogitNormalTimes, OptimalCoupling


def along_the_path(
    field: AverageVelocity, x: Points, t: PerSample, r: PerSample, direction: Points, *labels: ClassLabels
) -> Points:
    """d/dt of u(x_t, t, r) while x_t moves with `direction` and r stays: one forward-mode derivative."""
    _load_forward_mode()
    # No other kernel of attention has a forward-mode derivative.
    with sdpa_kernel(SDPBackend.MATH):
        moved = torch.func.jvp(lambda x, t: field(x, t, r, *labels), (x, t), (direction, torch.ones_like(t)))
    return moved[1]


@cache
def _load_forward_mode() -> None:
    """Let torch load its rules for forward-mode derivatives without the warning of a function that it uses there."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated")
        torch.func.jvp(torch.sin, (torch.zeros(()),), (torch.ones(()),))


class MeanTarget(ABC):
    """The target that u(x_t, t, r) is regressed on."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def alpha(self, progress: float) -> float:
        """alpha at this share of the training."""
        return 0.0

    @abstractmethod
    def direction(
        self, field: AverageVelocity, x: Points, velocity: Points, t: PerSample, s: PerSample, *labels: ClassLabels
    ) -> Points:
        """w at x_t, on the way to s."""

    def weight(self, alpha: PerSample) -> PerSample:
        """The factor of the loss where r < t."""
        return torch.ones_like(alpha)

    @torch.no_grad()
    def __call__(
        self,
        field: AverageVelocity,
        x: Points,
        velocity: Points,
        t: PerSample,
        r: PerSample,
        alpha: PerSample,
        *labels: ClassLabels,
    ) -> Points:
        """The target, without gradient; `velocity` is that of the pair of noise and data, `alpha` is on the host."""
        instantaneous, alpha = not bool(alpha.any()), alpha.to(t.device)
        s = t - alpha * (t - r)
        along = self.direction(field, x, velocity, t, s, *labels)
        if instantaneous:
            return velocity - per_sample(t - r, x) * along_the_path(field, x, t, r, along, *labels)
        share = per_sample(alpha, x)
        return share * along + (1 - share) * field(x - per_sample(t - s, x) * along, s, r, *labels)


class _AlongThePair(MeanTarget):
    """w is the velocity of the pair."""

    def direction(
        self, field: AverageVelocity, x: Points, velocity: Points, t: PerSample, s: PerSample, *labels: ClassLabels
    ) -> Points:
        return velocity


@dataclass(frozen=True, kw_only=True)
class MeanFlowTarget(_AlongThePair):
    """v - (t - r) (v d_x u + d_t u), v the velocity of the pair (MeanFlow, Eq. 8 to 10)."""

    kind: Literal["meanflow"] = "meanflow"


@dataclass(frozen=True, kw_only=True)
class ImprovedTarget(MeanTarget):
    """v - (t - r) (w d_x u + d_t u), w = u(x_t, t, t): the derivative no longer has the noise of the pair in it.

    That is improved MeanFlow's loss ||u + (t - r) sg(du/dt) - v||^2 on the velocity.
    """

    kind: Literal["improved"] = "improved"

    def direction(
        self, field: AverageVelocity, x: Points, velocity: Points, t: PerSample, s: PerSample, *labels: ClassLabels
    ) -> Points:
        return field(x, t, t, *labels)


@dataclass(frozen=True, kw_only=True)
class AlphaFlowTarget(_AlongThePair):
    """alpha v + (1 - alpha) u(x_s, s, r), alpha falling from 1, flow matching, to 0, MeanFlow, along a sigmoid.

    Attributes:
        steepness: of the sigmoid, in units of the whole training.
        clamp: what is nearer to 0 or 1 than this is 0 or 1.
    """

    kind: Literal["alpha"] = "alpha"
    steepness: PositiveFloat = 25.0
    clamp: Annotated[float, Field(gt=0, lt=0.5)] = 0.005

    def alpha(self, progress: float) -> float:
        alpha = float(torch.sigmoid(torch.tensor(self.steepness * (0.5 - progress), dtype=torch.float64)))
        if alpha < self.clamp:
            return 0.0
        return 1.0 if alpha > 1 - self.clamp else alpha

    def weight(self, alpha: PerSample) -> PerSample:
        return torch.where(alpha > 0, alpha, 1.0)


@dataclass(frozen=True, kw_only=True)
class ShortcutTarget(MeanTarget):
    """The mean of two passes of half the length, each where the one before has led (shortcut models, Eq. 4).

    Attributes:
        shortest: what is as short is asked for as the velocity, which flow matching trains.
    """

    kind: Literal["shortcut"] = "shortcut"
    shortest: PositiveFloat = 1 / 128

    def alpha(self, progress: float) -> float:
        return 0.5

    def direction(
        self, field: AverageVelocity, x: Points, velocity: Points, t: PerSample, s: PerSample, *labels: ClassLabels
    ) -> Points:
        return field(x, t, torch.where(t - s > self.shortest, s, t), *labels)


AnyTarget = Annotated[MeanFlowTarget | ImprovedTarget | AlphaFlowTarget | ShortcutTarget, Field(discriminator="kind")]
MEANFLOW = MeanFlowTarget()


MIDDLE = LogitNormalTimes(mean=-0.4)


class PairsOfTimes(ABC):
    """A law of the times r <= t; where they are equal, u is trained as the velocity."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    @abstractmethod
    def draw(self, noise: StreamNoise) -> tuple[PerSample, PerSample]:
        """t and r, one of each per sample of the stream."""


def _uniform(noise: StreamNoise) -> PerSample:
    return torch.rand(noise.batch_size, generator=noise.generator, device=noise.generator.device, dtype=noise.dtype)


@dataclass(frozen=True, kw_only=True)
class SortedTimes(PairsOfTimes):
    """The larger and the smaller of two draws, as MeanFlow has them.

    Attributes:
        apart: share of the pairs that are; in the others r = t.
    """

    kind: Literal["sorted"] = "sorted"
    law: AnyTimes = MIDDLE
    apart: Annotated[float, Field(ge=0, le=1)] = 0.75

    def draw(self, noise: StreamNoise) -> tuple[PerSample, PerSample]:
        first, second = self.law.draw(noise), self.law.draw(noise)
        t = torch.maximum(first, second)
        return t, torch.where(_uniform(noise) < self.apart, torch.minimum(first, second), t)


@dataclass(frozen=True, kw_only=True)
class DyadicTimes(PairsOfTimes):
    """t - r = 2^-k, k uniform on 0 .. levels - 1, t a multiple of it, as shortcut models have them.

    Attributes:
        apart: share of the pairs that are; in the others r = t, uniform.
    """

    kind: Literal["dyadic"] = "dyadic"
    levels: PositiveInt = 7
    apart: Annotated[float, Field(ge=0, le=1)] = 0.25

    def draw(self, noise: StreamNoise) -> tuple[PerSample, PerSample]:
        length = 0.5 ** (self.levels * _uniform(noise)).floor()
        place = _uniform(noise)
        t = ((place / length).floor() + 1) * length
        apart = _uniform(noise) < self.apart
        return torch.where(apart, t, place), torch.where(apart, t - length, place)


AnyPairs = Annotated[SortedTimes | DyadicTimes, Field(discriminator="kind")]
SORTED = SortedTimes()


@dataclass(frozen=True, kw_only=True)
class MeanFlowLoss:
    """w(alpha) e / (sg e + c)^power, e = ||u(x_t, t, r) - target||^2, as a `DenoisingLoss`.

    Attributes:
        field: u of the network that is trained.
        power: of the adaptive weight; 0 for none. Above 0 the minimum is no longer the mean of the targets, which
            matters where their noise differs from point to point, as in few dimensions.
    """

    field: Callable[[Any], AverageVelocity]
    target: MeanTarget
    coupling: IndependentCoupling | OptimalCoupling
    pairs: PairsOfTimes
    power: NonNegativeFloat
    c: PositiveFloat = 1e-3

    def draw(self, batch: Batch) -> tuple[Tensor, ...]:
        t, r = self.pairs.draw(batch.noise)
        # On the host, where asking for its value waits for no device.
        alpha = torch.full((len(t),), self.target.alpha(batch.progress), dtype=t.dtype)
        return t, r, alpha, self.coupling(batch, batch.noise.normal(0))

    def __call__(self, net: Any, data: Points, *drawn: Tensor) -> PerSample:
        t, r, alpha, z, *labels = drawn
        x, velocity = straight_path(data, z, t)
        field = self.field(net)
        apart = r < t
        target = self.target(field, x, velocity, t, r, alpha, *labels)
        target = torch.where(per_sample(apart, x), target, velocity)
        error = (field(x, t, r, *labels) - target).flatten(1).square().sum(dim=1)
        weight = torch.where(apart, self.target.weight(alpha.to(t.device)), 1.0)
        return weight * error / (error.detach() + self.c) ** self.power
