"""Samplers of a denoiser: objects that go from noise to samples along noise levels.

All run in the clock of noise levels, x = data + sigma eps, where the probability flow is dx/dsigma = (x - D) / sigma
(Karras et al. 2022, arXiv:2206.00364, Eq. 1 with their schedule sigma(t) = t).
"""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from dxmi.arrays import PerSample, Points, per_sample
from dxmi.protocols import Denoiser
from dxmi.sampling.noise import Noise
from dxmi.schedules.levels import NoiseLevels


class Sampler(ABC):
    """A way from noise to samples along levels. Draw 0 of the noise is the start, draw k + 1 belongs to step k."""

    @abstractmethod
    def states(self, denoiser: Denoiser, levels: NoiseLevels, noise: Noise) -> Iterator[Points]:
        """x at every level from noise on; the last are the samples."""

    def __call__(self, denoiser: Denoiser, levels: NoiseLevels, noise: Noise) -> Points:
        """The samples."""
        return deque(self.states(denoiser, levels, noise), maxlen=1).pop()

    @abstractmethod
    def nfe(self, levels: NoiseLevels) -> int:
        """Denoiser passes that one sample takes."""


def _start(levels: NoiseLevels, noise: Noise) -> Points:
    return levels.start_std * noise.normal(0)


def _steps(levels: NoiseLevels) -> Iterator[tuple[int, float, float]]:
    """k, sigma_k and sigma_{k+1} of every step."""
    for k, (sigma, after) in enumerate(pairwise(levels.sigmas.tolist())):
        yield k, sigma, after


def slope(denoiser: Denoiser, x: Points, sigma: PerSample) -> Points:
    """dx/dsigma = (x - D(x, sigma)) / sigma of the probability flow."""
    return (x - denoiser(x, sigma)) / per_sample(sigma, x)


def heun_step(denoiser: Denoiser, x: Points, sigma: PerSample, after: PerSample) -> Points:
    """One Heun step of the probability flow, levels per sample, sigma > after > 0 (Karras et al. 2022, Algorithm 1)."""
    step = per_sample(after - sigma, x)
    first = slope(denoiser, x, sigma)
    second = slope(denoiser, x + step * first, after)
    return x + step * (first + second) / 2


@dataclass(frozen=True, kw_only=True)
class Ancestral(Sampler):
    """x' = D + sigma_down (x - D) / sigma + sigma_up z, sigma_down^2 + sigma_up^2 = sigma'^2.

    sigma_up = kappa sigma' sqrt(1 - sigma'^2 / sigma^2). In this clock one formula is four samplers: kappa = 0 is
    Euler and is DDIM (Song et al. 2021, arXiv:2010.02502, Eq. 12); kappa = 1 is Euler-ancestral and is DDPM's
    posterior step (arXiv:2006.11239, Eq. 7); between them lies FastDPM's kappa. Order 1.

    Attributes:
        last_std: std of the noise of a last step to sigma = 0, which has none of its own; SFT-PG and DxMI put 0.001
            there, so that log pi exists.
    """

    kappa: float
    last_std: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.kappa <= 1:
            raise ValueError(f"kappa runs from 0 (DDIM) to 1 (DDPM), got {self.kappa}")

    def states(self, denoiser: Denoiser, levels: NoiseLevels, noise: Noise) -> Iterator[Points]:
        x = _start(levels, noise)
        yield x
        downs, ups = (part.tolist() for part in levels.ancestral(kappa=self.kappa))
        for k, sigma, after in _steps(levels):
            denoised = denoiser(x, x.new_full((len(x),), sigma))
            x = denoised + downs[k] / sigma * (x - denoised)
            std = ups[k] if after > 0 else self.last_std
            if std > 0:
                x = x + std * noise.normal(k + 1)
            yield x

    def nfe(self, levels: NoiseLevels) -> int:
        return levels.num_steps


def euler() -> Ancestral:
    """Euler's method on the probability flow, which is DDIM."""
    return Ancestral(kappa=0.0)


def euler_ancestral() -> Ancestral:
    """Euler's method downwards, noise upwards, which is DDPM's ancestral sampling."""
    return Ancestral(kappa=1.0)


@dataclass(frozen=True)
class Heun(Sampler):
    """EDM's deterministic sampler: order 2, an Euler step where the next level is 0 (Algorithm 1)."""

    def states(self, denoiser: Denoiser, levels: NoiseLevels, noise: Noise) -> Iterator[Points]:
        x = _start(levels, noise)
        yield x
        for _, sigma, after in _steps(levels):
            now = x.new_full((len(x),), sigma)
            x = heun_step(denoiser, x, now, x.new_full((len(x),), after)) if after > 0 else denoiser(x, now)
            yield x

    def nfe(self, levels: NoiseLevels) -> int:
        return 2 * levels.num_steps - int(levels.sigmas[-1] == 0)


# Adams-Bashforth weights of the newest slope first.
ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


@dataclass(frozen=True)
class IPNDM(Sampler):
    """Adams-Bashforth on the slope with the weights of equal steps, orders 1, 2, 3, then 4.

    Improved pseudo-numerical methods (Zhang & Chen 2023, arXiv:2204.13902, App. H.2): the weights are those of equal
    steps whatever the levels.
    """

    def states(self, denoiser: Denoiser, levels: NoiseLevels, noise: Noise) -> Iterator[Points]:
        x = _start(levels, noise)
        yield x
        slopes: list[Tensor] = []
        for _, sigma, after in _steps(levels):
            slopes = [slope(denoiser, x, x.new_full((len(x),), sigma)), *slopes[:3]]
            weights = ADAMS_BASHFORTH[len(slopes) - 1]
            x = x + (after - sigma) * sum(w * s for w, s in zip(weights, slopes, strict=True))
            yield x

    def nfe(self, levels: NoiseLevels) -> int:
        return levels.num_steps


@dataclass(frozen=True)
class DPMSolverPP3M(Sampler):
    """DPM-Solver++(3M): exponential integrator on D, a polynomial through its last three values.

    Lu et al. 2022, arXiv:2211.01095. With l = -ln sigma the flow is x' = (sigma'/sigma) x + int e^(u - h) D(l + u) du
    over u in [0, h]; D is replaced by Newton's interpolation through the values at l, l_1, l_2 (fewer at the start).
    A step to sigma = 0, where h is infinite, is x' = D.
    """

    def states(self, denoiser: Denoiser, levels: NoiseLevels, noise: Noise) -> Iterator[Points]:
        x = _start(levels, noise)
        yield x
        past: list[tuple[float, Tensor]] = []
        for _, sigma, after in _steps(levels):
            denoised = denoiser(x, x.new_full((len(x),), sigma))
            if after > 0:
                past = [(-math.log(sigma), denoised), *past[:2]]
                x = after / sigma * x + _exponential_integral(past, h=math.log(sigma / after))
            else:
                x = denoised
            yield x

    def nfe(self, levels: NoiseLevels) -> int:
        return levels.num_steps


def _exponential_integral(past: list[tuple[float, Tensor]], *, h: float) -> Tensor:
    """int_0^h e^(u - h) p(l_0 + u) du for Newton's polynomial p through (l_i, D_i), newest first."""
    zeroth = -math.expm1(-h)  # int e^(u - h) du
    first = h - zeroth  # int u e^(u - h) du
    second = h**2 - 2 * first  # int u^2 e^(u - h) du
    (now, value), *earlier = past
    integral = zeroth * value
    if earlier:
        (then, before), *older = earlier
        difference = (value - before) / (now - then)
        integral = integral + first * difference
        if older:
            ((long_ago, oldest),) = older
            second_difference = (difference - (before - oldest) / (then - long_ago)) / (now - long_ago)
            integral = integral + (second + (now - then) * first) * second_difference
    return integral
