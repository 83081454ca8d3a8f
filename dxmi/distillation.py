"""Score distillation: what brings the law of a generator to a teacher's, compared under noise.

At x = G + sigma eps, G a generated point, a teacher says D_T = E[data | x] and a fake D_F = E[G | x]. Their difference
is sigma^2 times that of the scores. Diff-Instruct and DMD follow it (arXiv:2305.18455, arXiv:2405.14867), SiD and SIM
make it small (arXiv:2404.04057, arXiv:2410.16794).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor
from torch.special import ndtr, ndtri

from dxmi.arrays import ClassLabels, PerSample, Points, per_sample
from dxmi.losses import mean_square
from dxmi.sampling.denoisers import EDMDenoiser
from dxmi.sampling.noise import StreamNoise

DIVERGENCES: dict[str, Callable[[PerSample], PerSample]] = {
    "reverse_kl": torch.ones_like,
    "forward_kl": lambda r: r,
    "jensen_shannon": lambda r: r / (1 + r),
    "softened_reverse_kl": lambda r: 1 / (1 + r),
    "jeffreys": lambda r: 1 + r,
    "squared_hellinger": lambda r: r.sqrt(),
    "neyman": lambda r: 1 / r,
}
"""h(r) = r^2 f''(r) of D_f = E_q f(r), r = p / q of the teacher's law p and the generator's q (f-distill,
arXiv:2502.15681): the gradient of D_f is that of the reverse KL, weighted by h."""

LOG_RATIO_BOUND = 5.0
"""Density ratios are kept between exp of plus and minus this."""


def density_ratio(energy: PerSample) -> PerSample:
    """r = p / q by a critic that tells both laws apart, its logit -energy, within `LOG_RATIO_BOUND`."""
    return (-energy.detach()).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).exp()


def teacher_error(generated: Points, teacher: Points) -> PerSample:
    """The mean of |G - D_T| over coordinates, without gradient: the unit of DMD2's and SiD's losses."""
    return (generated - teacher).detach().abs().flatten(1).mean(dim=1).clamp(min=1e-5)


def matching_loss(generated: Points, teacher: Points, fake: Points, weight: PerSample) -> PerSample:
    """A number whose gradient in G is weight (D_F - D_T) / D, D the dimension: downhill in a divergence.

    With weight 1 the mean over x is sigma^2 / D times the gradient of KL(q_sigma || p_sigma) (Diff-Instruct); with
    1 / `teacher_error` it is DMD's, with h(r) over it f-distill's.
    """
    direction = per_sample(weight, generated) * (fake - teacher).detach()
    return (generated * direction).flatten(1).mean(dim=1)


@dataclass(frozen=True, kw_only=True)
class SquaredDistance:
    """d(y) = ||y||^2 / D, in units of the teacher's error: SiD's."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    kind: Literal["squared"] = "squared"

    def __call__(self, y: Points) -> PerSample:
        return mean_square(y)

    def half_slope(self, y: Points) -> Points:
        """D d'(y) / 2."""
        return y

    def weight(self, generated: Points, teacher: Points) -> PerSample:
        """The factor of a sample's loss."""
        return 1 / teacher_error(generated, teacher)


@dataclass(frozen=True, kw_only=True)
class HuberDistance:
    """d(y) = 2 (sqrt(||y||^2 / D + c^2) - c): SIM's pseudo-Huber distance, whose slope is bounded."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    kind: Literal["pseudo_huber"] = "pseudo_huber"
    c: PositiveFloat = 0.01

    def __call__(self, y: Points) -> PerSample:
        return 2 * ((mean_square(y) + self.c**2).sqrt() - self.c)

    def half_slope(self, y: Points) -> Points:
        """D d'(y) / 2."""
        return y / per_sample((mean_square(y) + self.c**2).sqrt(), y)

    def weight(self, generated: Points, teacher: Points) -> PerSample:
        """The factor of a sample's loss: 1, since the slope has no scale."""
        return torch.ones_like(generated.flatten(1)[:, 0])


ScoreDistance = SquaredDistance | HuberDistance


def score_identity_loss(
    generated: Points, teacher: Points, fake: Points, *, alpha: float, distance: ScoreDistance
) -> PerSample:
    """(1 - alpha) d(y) + d'(y) (D_F - G) / 2 with y = D_T - D_F, to be differentiated through G and both denoisers.

    With the squared distance it is SiD's (D_T - D_F) (D_T - G - alpha (D_T - D_F)) / D (arXiv:2404.04057). The second
    part alone, alpha = 1, is SIM's (arXiv:2410.16794): its mean has half the gradient that E d(y) has through the
    fake's dependence on the generator, the points x held; the first has the gradient through the points. So the squared
    distance's own gradient is that of alpha = 1/2, doubled.
    """
    y = teacher - fake
    through_scores = (distance.half_slope(y) * (fake - generated)).flatten(1).mean(dim=1)
    return (1 - alpha) * distance(y) + through_scores


class NoisedCritic(EDMDenoiser):
    """The energy of a point under noise: minus the mean of what a denoising network gives.

    It has the weights of a denoiser to begin from, and tells data from samples at every noise level.
    """

    def energy(self, x: Points, sigma: PerSample, *labels: ClassLabels) -> PerSample:
        total = per_sample((sigma.square() + self.sigma_data**2).sqrt(), x)
        return -self.net(x / total, sigma.log() / 4, *labels).flatten(1).mean(dim=1)


class RatioCritic(NoisedCritic):
    """A noised critic whose energy is multiplied by sigma_data / s, s^2 = sigma^2 + sigma_data^2.

    Noise makes two laws alike. With the factor, what the network gives moves x - sigma^2 grad E by no more than
    sigma_data times its slope, at any level; without it, by sigma times that.
    """

    def energy(self, x: Points, sigma: PerSample, *labels: ClassLabels) -> PerSample:
        return self.sigma_data / (sigma.square() + self.sigma_data**2).sqrt() * super().energy(x, sigma, *labels)


@dataclass(frozen=True, kw_only=True)
class NoiseLaw(ABC):
    """A law of noise levels, in units of the data."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    @abstractmethod
    def cdf(self, sigma: Tensor) -> Tensor:
        """The probability of levels up to sigma >= 0."""

    @abstractmethod
    def quantile(self, u: Tensor) -> Tensor:
        """The level below which a share u of the levels lies."""

    def draw(self, noise: StreamNoise, low: PerSample | float = 0.0, high: PerSample | float = torch.inf) -> PerSample:
        """Levels between `low` and `high`, one per sample of the stream."""
        start, end = (self.cdf(torch.as_tensor(edge, dtype=torch.float64)) for edge in (low, high))
        generator = noise.generator
        u = torch.rand(noise.batch_size, generator=generator, device=generator.device, dtype=torch.float64)
        return self.quantile(start + u * (end - start)).to(noise.dtype)


@dataclass(frozen=True, kw_only=True)
class LogNormalNoise(NoiseLaw):
    """ln sigma ~ N(mean, std^2), as EDM trains (arXiv:2206.00364)."""

    kind: Literal["lognormal"] = "lognormal"
    mean: float = -1.2
    std: PositiveFloat = 1.2

    def cdf(self, sigma: Tensor) -> Tensor:
        return ndtr((sigma.log() - self.mean) / self.std)

    def quantile(self, u: Tensor) -> Tensor:
        return (self.mean + self.std * ndtri(u.clamp(1e-12, 1 - 1e-12))).exp()


@dataclass(frozen=True, kw_only=True)
class KarrasNoise(NoiseLaw):
    """Uniform along Karras's grid from sigma_min to sigma_max (arXiv:2206.00364, Eq. 5), between two shares of it."""

    kind: Literal["karras"] = "karras"
    sigma_min: PositiveFloat = 0.002
    sigma_max: PositiveFloat = 80.0
    rho: PositiveFloat = 7.0
    first: Annotated[float, Field(ge=0, lt=1)] = 0.0
    last: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _rises(self) -> "KarrasNoise":
        if not (self.sigma_min < self.sigma_max and self.first < self.last):
            raise ValueError(
                f"noise levels go from {self.sigma_min} to {self.sigma_max}, shares {self.first} to {self.last} of the "
                "grid; both must rise"
            )
        return self

    def cdf(self, sigma: Tensor) -> Tensor:
        low, high = self._roots
        along = (sigma ** (1 / self.rho) - low) / (high - low)
        return ((along - self.first) / (self.last - self.first)).clamp(0, 1)

    def quantile(self, u: Tensor) -> Tensor:
        low, high = self._roots
        return (low + (self.first + u * (self.last - self.first)) * (high - low)) ** self.rho

    @property
    def _roots(self) -> tuple[float, float]:
        return math.pow(self.sigma_min, 1 / self.rho), math.pow(self.sigma_max, 1 / self.rho)


AnyNoiseLaw = Annotated[LogNormalNoise | KarrasNoise, Field(discriminator="kind")]
