"""Few steps of a DDPM of many: FastDPM (Kong & Ping 2021, arXiv:2106.00132).

A chain of T discrete steps is continued to fractional ones, so that a net trained on T steps can be asked at any
noise level; a schedule of few steps is then chosen among them. All in float64: in float32 the last fractional step
is off by half a step.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dxmi.schedules.levels import VPSchedule, vp_sde_log_alpha_bar

NEWTON_STEPS = 10


class Chain(ABC):
    """A variance-preserving chain of `length` steps, t = 0 .. length - 1 from data to noise, and shorter ones in it."""

    length: int

    @abstractmethod
    def first_variance(self) -> float:
        """beta of the first step from the data."""

    @abstractmethod
    def log_alpha_bar(self, t: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Logarithm of the signal level at whole and fractional t >= -1."""

    @abstractmethod
    def step_of(self, log_alpha_bar: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """The fractional t at which the chain has this signal level: inverse of `log_alpha_bar`."""

    def var_quadratic(self, num_steps: int) -> VPSchedule:
        """VAR: variances eta_i = beta_0 (1 + a i)^2, beta_0 the first, a such that prod (1 - eta_i) is the chain's own.

        As in the released code, a stays below 0.95 / (S sqrt(beta_0)), which keeps every eta well below 1;
        few steps then start at a lower noise level than the chain's.

        Raises:
            ValueError: for fewer than two steps.
        """
        _two_or_more(num_steps)
        index, first = torch.arange(num_steps, dtype=torch.float64), self.first_variance()

        def variances(a: float) -> Tensor:
            return first * (1 + a * index) ** 2

        return VPSchedule.from_betas(variances(self._root(variances, 0.95 / (num_steps * math.sqrt(first)))))

    def var_linear(self, num_steps: int) -> VPSchedule:
        """VAR: variances rising linearly from the first to b < 0.99, b such that the product is the chain's own.

        Raises:
            ValueError: for fewer than two steps.
        """
        _two_or_more(num_steps)
        first = self.first_variance()

        def variances(last: float) -> Tensor:
            return torch.linspace(first, last, num_steps, dtype=torch.float64)

        return VPSchedule.from_betas(variances(self._root(variances, 0.99)))

    def _root(self, variances: Callable[[float], Tensor], largest: float) -> float:
        """The parameter in (0, largest] at which the product of 1 - variances is the chain's."""
        end = self.log_alpha_bar(torch.tensor([self.length - 1.0])).item()

        def excess(parameter: float) -> float:
            return torch.log1p(-variances(parameter)).sum().item() - end

        return largest if excess(largest) > 0 else _zero(excess, 0.0, largest)

    def step_quadratic(self, num_steps: int) -> VPSchedule:
        """STEP: the whole steps floor(linspace(0, sqrt(0.8 T), S)^2) of the chain (DDIM, arXiv:2010.02502, App. D.2).

        Raises:
            ValueError: for fewer than two steps, or so many that two fall together.
        """
        _two_or_more(num_steps)
        roots = torch.linspace(0.0, math.sqrt(0.8 * self.length), num_steps, dtype=torch.float64)
        return self.at_steps(roots.square().floor())

    def step_linear(self, num_steps: int) -> VPSchedule:
        """STEP: the whole steps floor(i T / S).

        Raises:
            ValueError: for fewer than two steps, or more than the chain has.
        """
        _two_or_more(num_steps)
        return self.at_steps((torch.arange(num_steps, dtype=torch.float64) * self.length / num_steps).floor())

    def at_steps(self, t: Float[Tensor, " K"]) -> VPSchedule:
        """The schedule that visits these steps of the chain, given from data to noise.

        Raises:
            ValueError: unless they rise and lie in 0 .. T - 1.
        """
        if not bool((t.diff() > 0).all()) or t[0] < 0 or t[-1] > self.length - 1:
            raise ValueError(
                f"{len(t)} different steps cannot be had this way from a chain of {self.length}; "
                "take fewer, or STEP linear"
            )
        signal = self.log_alpha_bar(t).exp()
        return VPSchedule(alpha_bar=torch.cat([signal.flip(0), torch.ones(1, dtype=torch.float64)]))


@dataclass(frozen=True, kw_only=True)
class LinearChain(Chain):
    """DDPM's forward chain with T betas rising linearly (arXiv:2006.11239, section 4), t = 0 .. T - 1.

    Raises:
        ValueError: unless there are two steps or more and 0 < beta_first < beta_last < 1.
    """

    length: int = 1000
    beta_first: float = 1e-4
    beta_last: float = 0.02

    def __post_init__(self) -> None:
        if self.length < 2 or not 0 < self.beta_first < self.beta_last < 1:
            raise ValueError(f"wanted a length of 2 or more and betas rising inside (0, 1), got {self}")

    @property
    def _slope(self) -> float:
        return (self.beta_last - self.beta_first) / (self.length - 1)

    @property
    def _top(self) -> float:
        """1 - beta_t = slope (top - t)."""
        return (1 - self.beta_first) / self._slope

    def first_variance(self) -> float:
        return self.beta_first

    def log_alpha_bar(self, t: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """log prod_{i <= t} (1 - beta_i) at whole and fractional t >= -1, by the Gamma function (their section 3.1)."""
        top, t = self._top, t.double()
        return (t + 1) * math.log(self._slope) + math.lgamma(top + 1) - torch.lgamma(top - t)

    def step_of(self, log_alpha_bar: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """The fractional t at which the chain has this signal level: inverse of `log_alpha_bar`.

        log_alpha_bar(t) falls and is concave, so that Newton's method from above converges without a bracket.
        """
        target = log_alpha_bar.double()
        t = (-2 * target / self._slope).sqrt()
        for _ in range(NEWTON_STEPS):
            slope = math.log(self._slope) + torch.digamma(self._top - t)
            t = t - (self.log_alpha_bar(t) - target) / slope
        return t


@dataclass(frozen=True, kw_only=True)
class SDEChain(Chain):
    """The VP-SDE with linear beta at `length` equal intervals: the states of `VPSchedule.linear`, t = length - 1 - k.

    Raises:
        ValueError: unless there are two steps or more and 0 < beta_min < beta_max.
    """

    length: int = 1000
    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        if self.length < 2 or not 0 < self.beta_min < self.beta_max:
            raise ValueError(f"wanted a length of 2 or more and betas rising above 0, got {self}")

    def first_variance(self) -> float:
        return -math.expm1(self.log_alpha_bar(torch.zeros(1)).item())

    def log_alpha_bar(self, t: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        return vp_sde_log_alpha_bar((t.double() + 1) / self.length, beta_min=self.beta_min, beta_max=self.beta_max)

    def step_of(self, log_alpha_bar: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        rise = self.beta_max - self.beta_min
        time = ((self.beta_min**2 - 2 * rise * log_alpha_bar.double()).sqrt() - self.beta_min) / rise
        return time * self.length - 1


def _zero(falling: Callable[[float], float], low: float, high: float) -> float:
    """Find where a falling function changes sign, by bisection to the last bit or so."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return high


def _two_or_more(num_steps: int) -> None:
    if num_steps < 2:
        raise ValueError(f"a FastDPM schedule needs two steps or more, got {num_steps}")
