"""Samplers of few Gaussian steps around a network that was trained for many: where SFT-PG, GCD and DxMI start.

None of their settings has a part in the network's training.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeVar

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import nn

from dxmi.arrays import PerStep
from dxmi.backbones.edm import EDMFamily
from dxmi.backbones.images import DDGANUNet
from dxmi.backbones.small import DDPMMLP, EDMMLP, ChainNetwork, Network, StepsMLP
from dxmi.nets.steps import AtSteps, Strided
from dxmi.sampling.policies import GaussianPolicy, LatentPolicy
from dxmi.schedules.chains import Chain
from dxmi.schedules.levels import NoiseLevels, VPSchedule


@dataclass(frozen=True, kw_only=True)
class FewSteps(ABC):
    """A way to sample a network in few Gaussian steps.

    Attributes:
        noiseless_last_step: a sample is the mean of the last step, whose noise is for training only.
        fix_last: the std of the last step stays as it is where the others are trained.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    noiseless_last_step: bool = False
    fix_last: bool = True

    @abstractmethod
    def check(self, network: Network, num_steps: int) -> None:
        """Refuse a network or a number of steps that there is no such sampler of.

        Raises:
            ValueError: with what there is one of.
        """

    @abstractmethod
    def policy(
        self, network: Network, net: nn.Module, *, event_shape: Sequence[int], num_steps: int, trainable: bool = True
    ) -> GaussianPolicy:
        """The sampler of so many steps around what `network` made; without `trainable` no std is."""

    def start_velocity(self, network: Network, num_steps: int) -> PerStep | None:
        """Variances that DxMI's s_k^2 begin with, in units of the data squared: of the forward step that k undoes.

        None for the policy's own std_k^2.
        """
        return None

    def _trainable(self, num_steps: int, trainable: bool) -> list[bool]:
        return [trainable] * (num_steps - 1) + [trainable and not self.fix_last]


@dataclass(frozen=True, kw_only=True)
class ResidualSteps(FewSteps):
    """x_{k+1} = x_k + net(x_k, k) + std eps, from scratch."""

    kind: Literal["residual"] = "residual"
    fix_last: bool = False
    std: PositiveFloat = 0.5

    def check(self, network: Network, num_steps: int) -> None:
        _wanted(self, network, StepsMLP)

    def policy(
        self, network: Network, net: nn.Module, *, event_shape: Sequence[int], num_steps: int, trainable: bool = True
    ) -> GaussianPolicy:
        std = torch.full((num_steps,), self.std)
        return GaussianPolicy.from_scratch(
            net, event_shape=event_shape, std=std, trainable_std=self._trainable(num_steps, trainable)
        )


@dataclass(frozen=True, kw_only=True)
class StridedSteps(FewSteps):
    """DDPM's ancestral sampling that visits a few whole steps of the chain, evenly from `first_level` on.

    Attributes:
        first_level: step of the chain that sampling begins at, 0 the noisiest.
        last_std: of the last step, whose posterior has none.
    """

    kind: Literal["strided"] = "strided"
    first_level: NonNegativeInt = 0
    last_std: PositiveFloat = 1e-3

    def check(self, network: Network, num_steps: int) -> None:
        self._steps(network, num_steps)

    def policy(
        self, network: Network, net: nn.Module, *, event_shape: Sequence[int], num_steps: int, trainable: bool = True
    ) -> GaussianPolicy:
        whole, steps = self._steps(network, num_steps)
        return GaussianPolicy.from_noise_predictor(
            Strided(net, steps),
            whole.visiting(steps),
            event_shape=event_shape,
            last_std=self.last_std,
            trainable_std=self._trainable(num_steps, trainable),
        )

    def _steps(self, network: Network, num_steps: int) -> tuple[VPSchedule, list[int]]:
        whole = _wanted(self, network, DDPMMLP, StepsMLP).whole
        return whole, strided_steps(whole.num_steps, num_steps=num_steps, first=self.first_level)


SCHEDULES: dict[str, Callable[[Chain, int], VPSchedule]] = {
    "var_quadratic": Chain.var_quadratic,
    "step_linear": Chain.step_linear,
}


@dataclass(frozen=True, kw_only=True)
class FastDPMSteps(FewSteps):
    """DDPM's ancestral sampling along a few, also fractional, steps of the chain (Kong & Ping 2021, arXiv:2106.00132).

    Attributes:
        schedule: which few noise levels; FastDPM's quadratic variances, or whole steps evenly.
        last_std: of the last step, whose posterior has none.
        min_std: no step has a std below it.
    """

    kind: Literal["fastdpm"] = "fastdpm"
    schedule: Literal["var_quadratic", "step_linear"] = "var_quadratic"
    last_std: PositiveFloat = 1e-3
    min_std: NonNegativeFloat = 0.0

    def check(self, network: Network, num_steps: int) -> None:
        self._schedule(network, num_steps)

    def policy(
        self, network: Network, net: nn.Module, *, event_shape: Sequence[int], num_steps: int, trainable: bool = True
    ) -> GaussianPolicy:
        network, schedule = self._schedule(network, num_steps)
        return GaussianPolicy.from_noise_predictor(
            AtSteps(network.between(net), network.chain.step_of(schedule.alpha_bar[:-1].log())),
            schedule,
            event_shape=event_shape,
            last_std=self.last_std,
            min_std=self.min_std,
            trainable_std=self._trainable(num_steps, trainable),
        )

    def start_velocity(self, network: Network, num_steps: int) -> PerStep:
        """1 - alpha_k, FastDPM's eta_k (released trainer of CIFAR-10)."""
        return 1 - self._schedule(network, num_steps)[1].alphas

    def _schedule(self, network: Network, num_steps: int) -> tuple[ChainNetwork, VPSchedule]:
        network = _wanted(self, network, ChainNetwork)
        return network, SCHEDULES[self.schedule](network.chain, num_steps)


KARRAS = {"to_zero": NoiseLevels.karras, "above_zero": NoiseLevels.karras_above_zero}


@dataclass(frozen=True, kw_only=True)
class KarrasSteps(FewSteps):
    """Euler-ancestral steps of an EDM denoiser.

    Attributes:
        levels: Karras levels down to 0, whose last step has `last_std`; or down to `sigma_min`, whose last step has
            the noise of that level (released: `stochastic_last`).
        sigma_min: the least level above 0, in units of what the network sees.
        sigma_max: the first level. Both are Karras's by default, as DxMI's release has them.
    """

    kind: Literal["karras"] = "karras"
    levels: Literal["to_zero", "above_zero"] = "to_zero"
    rho: PositiveFloat = 7.0
    sigma_min: PositiveFloat = 0.002
    sigma_max: PositiveFloat = 80.0
    last_std: PositiveFloat = 1e-4

    def check(self, network: Network, num_steps: int) -> None:
        _wanted(self, network, EDMFamily, EDMMLP)
        self._levels(num_steps)

    def policy(
        self, network: Network, net: nn.Module, *, event_shape: Sequence[int], num_steps: int, trainable: bool = True
    ) -> GaussianPolicy:
        levels = self._levels(num_steps)
        return GaussianPolicy.from_denoiser(
            AtSteps(network.denoiser(net), levels.sigmas[:-1]),
            levels,
            event_shape=event_shape,
            last_std=self.last_std,
            trainable_std=self._trainable(num_steps, trainable),
        )

    def start_velocity(self, network: Network, num_steps: int) -> PerStep:
        """sigma_k^2, the noise level that step k begins at (released trainers of ImageNet and LSUN)."""
        return self._levels(num_steps).sigmas[:-1].square()

    def _levels(self, num_steps: int) -> NoiseLevels:
        return KARRAS[self.levels](num_steps, sigma_min=self.sigma_min, sigma_max=self.sigma_max, rho=self.rho)


@dataclass(frozen=True, kw_only=True)
class DDGANSteps(FewSteps):
    """The posterior steps of a denoising diffusion GAN.

    Attributes:
        last_std: of the last step, whose posterior has none.
    """

    kind: Literal["ddgan"] = "ddgan"
    last_std: PositiveFloat = 1e-3

    def check(self, network: Network, num_steps: int) -> None:
        trained_for = _wanted(self, network, DDGANUNet).num_steps
        if num_steps != trained_for:
            raise ValueError(f"a DDGAN samples in the {trained_for} steps it was trained for, got {num_steps}")

    def policy(
        self, network: Network, net: nn.Module, *, event_shape: Sequence[int], num_steps: int, trainable: bool = True
    ) -> LatentPolicy:
        self.check(network, num_steps)
        network = _wanted(self, network, DDGANUNet)
        return LatentPolicy.from_generator(
            AtSteps(net, torch.arange(num_steps - 1, -1, -1.0)),
            network.schedule,
            event_shape=event_shape,
            latent_channels=network.latent_channels,
            last_std=self.last_std,
            trainable_std=self._trainable(num_steps, trainable),
        )

    def start_velocity(self, network: Network, num_steps: int) -> PerStep:
        """1 - alpha_k, as for DDPM's start (inferred: DDGAN's module was not released)."""
        return 1 - _wanted(self, network, DDGANUNet).schedule.alphas


AnyFewSteps = Annotated[
    ResidualSteps | StridedSteps | FastDPMSteps | KarrasSteps | DDGANSteps, Field(discriminator="kind")
]


T = TypeVar("T")


def _wanted(sampler: FewSteps, network: Network, *kinds: type[T]) -> T:
    if not isinstance(network, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"{type(sampler).__name__} sample a {names}, got a {type(network).__name__}")
    return network


def strided_steps(levels: int, *, num_steps: int, first: int) -> list[int]:
    """`num_steps` steps of a chain of `levels`, evenly from `first` to the end.

    Raises:
        ValueError: unless 0 <= first and first + num_steps <= levels.
    """
    if first < 0 or first + num_steps > levels:
        raise ValueError(f"no {num_steps} steps of {levels} from {first} on; take fewer steps or an earlier first")
    return [first + (levels - first) * i // num_steps for i in range(num_steps)]
