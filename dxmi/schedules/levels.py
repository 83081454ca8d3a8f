"""Noise schedules in sampling order: step 0 starts at noise, step K - 1 ends at data.

Two clocks. Variance-preserving: x(k) = sqrt(alpha_bar_k) x_data + sqrt(1 - alpha_bar_k) eps with alpha_bar_0 ~ 0
and alpha_bar_K = 1 (Ho et al. 2020, arXiv:2006.11239, with their t running the other way: k = K - t).
By noise level: x(k) = x_data + sigma_k eps (Karras et al. 2022, arXiv:2206.00364). The second is the first divided by
sqrt(alpha_bar_k), so that sigma_k = sqrt((1 - alpha_bar_k) / alpha_bar_k); samplers run in it (`dxmi.sampling`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from dxmi.arrays import PerStep


def vp_sde_log_alpha_bar(t: Float[Tensor, " n"], *, beta_min: float, beta_max: float) -> Float[Tensor, " n"]:
    """-int_0^t beta(s) ds for beta linear on [0, 1] (Song et al. 2021, arXiv:2011.13456, Eq. 33)."""
    return -0.5 * t**2 * (beta_max - beta_min) - t * beta_min


@dataclass(frozen=True, kw_only=True)
class VPSchedule:
    """Signal levels of the K + 1 states of a variance-preserving chain, float64.

    Raises:
        ValueError: unless 0 < alpha_bar[0] < ... < alpha_bar[K] = 1.
    """

    alpha_bar: Float[Tensor, " levels"]

    def __post_init__(self) -> None:
        levels = self.alpha_bar
        if len(levels) < 2 or levels[0] <= 0 or levels[-1] != 1 or not bool((levels.diff() > 0).all()):
            raise ValueError(f"alpha_bar must rise from above 0 to exactly 1; got {levels.tolist()}")

    @classmethod
    def from_betas(cls, betas: Float[Tensor, " K"]) -> "VPSchedule":
        """Build from DDPM's beta_1 .. beta_T, given in their order (data to noise)."""
        signal = torch.cumprod(1.0 - betas.to(torch.float64), dim=0)
        return cls(alpha_bar=torch.cat([signal.flip(0), torch.ones(1, dtype=torch.float64)]))

    @classmethod
    def linear(
        cls, num_steps: int, *, beta_min: float = 0.1, beta_max: float = 20.0, first_time: float = 0.0
    ) -> "VPSchedule":
        """The VP-SDE with linear beta(t) at `num_steps` equal intervals of [first_time, 1] (Song et al. 2021,
        arXiv:2011.13456, Eq. 33); at 1,000 steps it is DDPM's 1e-4 .. 0.02 to about a percent."""
        t = torch.linspace(1.0, first_time, num_steps + 1, dtype=torch.float64)
        log_signal = vp_sde_log_alpha_bar(t, beta_min=beta_min, beta_max=beta_max)
        return cls(alpha_bar=(log_signal - log_signal[-1]).exp())

    @classmethod
    def cosine(cls, num_steps: int, *, offset: float = 0.008, beta_max: float = 0.999) -> "VPSchedule":
        """Nichol & Dhariwal 2021 (arXiv:2102.09672), Eq. 17, betas clipped at `beta_max`."""
        t = torch.linspace(0.0, 1.0, num_steps + 1, dtype=torch.float64)
        f = torch.cos((t + offset) / (1 + offset) * math.pi / 2) ** 2
        return cls.from_betas((1 - f[1:] / f[:-1]).clamp(max=beta_max))

    def visiting(self, steps: Sequence[int]) -> "VPSchedule":
        """The chain that visits only these of the K states behind noise, in rising order, and ends at data.

        A noise predictor of the whole chain predicts for this one too, step i being step `steps[i]` there
        (Nichol & Dhariwal 2021, section 4; Kong & Ping 2021, arXiv:2106.00132, "STEP").

        Raises:
            ValueError: unless 0 <= steps[0] < ... < K.
        """
        rising = all(a < b for a, b in pairwise(steps))
        if not steps or not rising or steps[0] < 0 or steps[-1] >= self.num_steps:
            raise ValueError(f"steps must rise within 0 .. {self.num_steps - 1}; got {list(steps)}")
        return VPSchedule(alpha_bar=torch.cat([self.alpha_bar[list(steps)], self.alpha_bar[-1:]]))

    @property
    def num_steps(self) -> int:
        return len(self.alpha_bar) - 1

    @property
    def alphas(self) -> PerStep:
        """alpha of the step k -> k + 1: alpha_bar_k / alpha_bar_{k+1}."""
        return self.alpha_bar[:-1] / self.alpha_bar[1:]

    @property
    def noise_levels(self) -> "NoiseLevels":
        """The same states by noise level: x / sqrt(alpha_bar), whose start has std sqrt(1 + sigma_0^2)."""
        return NoiseLevels(
            sigmas=((1 - self.alpha_bar) / self.alpha_bar).sqrt(), start_std=self.alpha_bar[0].rsqrt().item()
        )

    def posterior_mean(self) -> tuple[PerStep, PerStep]:
        """Factors of x_k and of x_data in the mean of q(x_{k+1} | x_k, x_data), DDPM Eq. 7."""
        above, below, alphas = self.alpha_bar[1:], self.alpha_bar[:-1], self.alphas
        return alphas.sqrt() * (1 - above) / (1 - below), above.sqrt() * (1 - alphas) / (1 - below)

    def posterior_std(self) -> PerStep:
        """std of q(x_{k+1} | x_k, x_data), DDPM Eq. 7; 0 at the last step."""
        above, below = self.alpha_bar[1:], self.alpha_bar[:-1]
        return ((1 - above) / (1 - below) * (1 - self.alphas)).sqrt()


@dataclass(frozen=True, kw_only=True)
class NoiseLevels:
    """Noise levels of the K + 1 states of a sampler, in units of the data, float64.

    Attributes:
        sigmas: sigma_0 > sigma_1 > ... > sigma_K >= 0.
        start_std: std that x_0 is drawn with.

    Raises:
        ValueError: unless the levels fall, the last is not negative, and there are two or more.
    """

    sigmas: Float[Tensor, " levels"]
    start_std: float

    def __post_init__(self) -> None:
        sigmas = self.sigmas
        if len(sigmas) < 2 or sigmas[-1] < 0 or not bool((sigmas.diff() < 0).all()):
            raise ValueError(f"noise levels must fall to 0 or above it; got {sigmas.tolist()}")

    @classmethod
    def karras(
        cls, num_steps: int, *, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
    ) -> "NoiseLevels":
        """Karras et al. 2022, Eq. 5: `num_steps` levels sigma_max .. sigma_min, then 0.

        DxMI starts from it at ten steps; its last step, to 0, has no noise of its own.
        """
        levels = karras_sigmas(num_steps, sigma_min=sigma_min, sigma_max=sigma_max, rho=rho)
        return cls(sigmas=torch.cat([levels, torch.zeros(1, dtype=torch.float64)]), start_std=sigma_max)

    @classmethod
    def karras_above_zero(
        cls, num_steps: int, *, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 4.0
    ) -> "NoiseLevels":
        """Eq. 5 with `num_steps` + 1 levels and no 0 behind them: every step, the last too, is noisy.

        DxMI starts from it at four steps (arXiv:2407.00626, released configurations: rho 4).
        """
        return cls(
            sigmas=karras_sigmas(num_steps + 1, sigma_min=sigma_min, sigma_max=sigma_max, rho=rho), start_std=sigma_max
        )

    @property
    def num_steps(self) -> int:
        return len(self.sigmas) - 1

    def ancestral(self, *, kappa: float = 1.0) -> tuple[PerStep, PerStep]:
        """sigma_down and sigma_up of every step, sigma_down^2 + sigma_up^2 = sigma_{k+1}^2.

        sigma_up = kappa sigma_{k+1} sqrt(1 - sigma_{k+1}^2 / sigma_k^2): the noise that a step adds, and the level that
        it goes down to before.
        """
        sigma, after = self.sigmas[:-1], self.sigmas[1:]
        up = kappa * after * (1 - (after / sigma).square()).sqrt()
        return (after.square() - up.square()).sqrt(), up


def karras_sigmas(num_levels: int, *, sigma_min: float, sigma_max: float, rho: float) -> Float[Tensor, " levels"]:
    """(sigma_max^(1/rho) + i/(n-1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho, i = 0 .. n-1 (Eq. 5).

    Raises:
        ValueError: unless num_levels >= 1 and 0 < sigma_min < sigma_max.
    """
    if num_levels < 1 or not 0 < sigma_min < sigma_max:
        raise ValueError(
            f"got {num_levels} levels from {sigma_max} to {sigma_min}; wanted one or more, falling, above 0"
        )
    ramp = torch.linspace(0.0, 1.0, num_levels, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return (high + ramp * (low - high)) ** rho
