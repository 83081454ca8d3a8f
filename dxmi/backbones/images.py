"""Backbones on images of 32 pixels and more: network, official weights, sampler of few steps; DDPM's and DDGAN's.

The defaults are the official networks; smaller ones have their fields set. `network` makes the bare network, whose
names are those that `official` gives to the tensors of the released file. `policy` puts DxMI's start around it:
FastDPM's VAR schedule, DDGAN's posterior or Euler-ancestral steps on Karras levels (arXiv:2407.00626, section 5.2 and
released configurations). EDM's backbones are in `dxmi.backbones.edm`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from dxmi import checkpoints
from dxmi.arrays import PerSample, PerStep, Points
from dxmi.backbones.small import Compute, Problem, Streams
from dxmi.backbones.starts import Mirrored, NetworkData, Official, Start
from dxmi.checkpoints import Conversion
from dxmi.losses import mean_square
from dxmi.nets.ddgan import DDGANGenerator
from dxmi.nets.presets import DDGAN_CIFAR10, DDPM_CIFAR10
from dxmi.nets.steps import AtSteps
from dxmi.nets.unet import UNet
from dxmi.nets.unet_config import UNetConfig
from dxmi.sampling.denoisers import VPDenoiser
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.policies import GaussianPolicy, LatentPolicy
from dxmi.schedules.chains import Chain, LinearChain
from dxmi.schedules.levels import VPSchedule
from dxmi.training.denoising import DDPMLoss, DenoiserTraining, DenoisingLoss, drawn_steps, noised
from dxmi.training.parallel import ONE_PROCESS


@runtime_checkable
class ImageProblem(Problem, Protocol):
    """What there is to learn, of so many classes or none."""

    @property
    def num_classes(self) -> int | None: ...


@dataclass(frozen=True, kw_only=True)
class ImageBackbone(ABC):
    """A UNet of `width * multipliers[level]` channels, and how it is trained where official weights are not at hand.

    Attributes:
        weights: name of the official weights among a task's.
        iterations: of training, by Adam on batches of `batch_size`, lr decaying along a cosine; 0 leaves the weights as
            they were drawn.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    width: int
    multipliers: tuple[int, ...]
    blocks_per_level: int
    attention_levels: tuple[int, ...]
    weights: str
    iterations: int
    batch_size: int
    lr: float
    ema_decay: float

    @abstractmethod
    def network(self, event_shape: Sequence[int], generator: Generator) -> nn.Module:
        """The bare network, with parameters drawn from the generator."""

    @abstractmethod
    def official(self, event_shape: Sequence[int]) -> Conversion:
        """From the tensors of the released file to those of `network`."""

    @abstractmethod
    def policy(self, net: nn.Module, *, event_shape: Sequence[int], num_steps: int) -> GaussianPolicy:
        """The start's sampler of so many steps around what `network` made, each std as trainable as DxMI has it."""

    @abstractmethod
    def start_velocity(self, num_steps: int) -> PerStep:
        """What DxMI's s_k^2 begin with, variances in units of the data squared: of the forward step that k undoes."""

    @abstractmethod
    def loss(self) -> DenoisingLoss:
        """What `network` is trained by."""

    @property
    def num_classes(self) -> int | None:
        """Classes that the network is told; None where it is told none."""
        return None

    @abstractmethod
    def check_steps(self, num_steps: int) -> None:
        """Raises ValueError for a number of sampling steps that the start has no sampler of."""

    def begin(
        self,
        problem: ImageProblem,
        compute: Compute,
        streams: Streams,
        *,
        official: Mapping[str, Tensor] | None,
        flips: bool,
    ) -> Start:
        """The network with the weights of the released file, or, where there are none, its training.

        `flips` mirrors half of the data.

        Raises:
            ValueError: if the file is of another network, with the first keys that differ, or the problem has other
                classes than the network is told.
        """
        if problem.num_classes != self.num_classes:
            raise ValueError(
                f"the backbone is told {self.num_classes or 'no'} classes and the task has "
                f"{problem.num_classes or 'none'}; name a backbone for this task"
            )
        data = NetworkData(
            source=Mirrored(problem.data) if flips else problem.data,
            device=compute.device,
            num_classes=self.num_classes,
        )
        if official is None:
            return Start(training=self.training(problem, compute, streams, data=data), data=data)
        weights = self.official(problem.event_shape)(official)
        net = self.network(problem.event_shape, Generator().manual_seed(0))  # every number is overwritten
        net.load_state_dict(weights)
        return Start(training=Official(net.to(compute.device)), data=data)

    def training(self, problem: Problem, compute: Compute, streams: Streams, *, data: NetworkData) -> DenoiserTraining:
        """Its training on `data`; over before it begins where the store has the weights of these streams."""
        data_rng, device = streams.numpy("backbone data"), compute.device
        content = {**self.content(), "seed": streams.seed("backbone init"), "device": device}
        return DenoiserTraining(
            self.network(problem.event_shape, streams.torch("backbone init")).to(device),
            self.loss(),
            data=lambda: data.batch(self.batch_size, rng=data_rng),
            noise=StreamNoise(
                batch_size=self.batch_size,
                event_shape=problem.event_shape,
                generator=streams.torch("backbone noise", device=device),
            ),
            iterations=self.iterations,
            lr=self.lr,
            ema_decay=self.ema_decay,
            max_grad_norm=1.0,
            slot=compute.store.slot(content) if compute.store and self.iterations else None,
            parallel=compute.parallel or ONE_PROCESS,
        )

    def content(self) -> dict[str, Any]:
        """What trained weights depend on, besides data and streams: the network and its training, not its sampler."""
        sampling = ("weights", "schedule", "levels", "rho", "last_std")
        chosen = {name: value for name, value in asdict(self).items() if name not in sampling}
        return {"backbone": type(self).__name__, "version": 1, **chosen}

    def _sized(self, preset: UNetConfig, event_shape: Sequence[int]) -> UNetConfig:
        """The preset at this backbone's size."""
        return replace(
            preset,
            width=self.width,
            multipliers=self.multipliers,
            blocks_per_level=self.blocks_per_level,
            attention_levels=self.attention_levels,
            in_channels=event_shape[0],
            out_channels=event_shape[0],
        )


DDPM_CHAIN = LinearChain()
DDPM_SCHEDULES: dict[str, Callable[[int], VPSchedule]] = {
    "var_quadratic": DDPM_CHAIN.var_quadratic,
    "step_linear": DDPM_CHAIN.step_linear,
}


@dataclass(frozen=True, kw_only=True)
class DDPMUNet(ImageBackbone):
    """DDPM's noise predictor (Ho et al. 2020, arXiv:2006.11239, App. B), sampled in few steps by FastDPM (1.1 VAR).

    Attributes:
        schedule: which few of the 1,000 noise levels; FastDPM's quadratic variances, or whole steps evenly.
        last_std: of the last step, whose posterior has none; it stays.
    """

    kind: Literal["ddpm"] = "ddpm"
    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    blocks_per_level: int = 2
    attention_levels: tuple[int, ...] = (1,)
    schedule: Literal["var_quadratic", "step_linear"] = "var_quadratic"
    last_std: float = 1e-3
    weights: str = "ddpm"
    iterations: int = 800_000
    batch_size: int = 128
    lr: float = 2e-4
    ema_decay: float = 0.9999

    def network(self, event_shape: Sequence[int], generator: Generator) -> UNet:
        return UNet(self._sized(DDPM_CIFAR10, event_shape), generator=generator)

    def official(self, event_shape: Sequence[int]) -> Conversion:
        return checkpoints.fastdpm(self._sized(DDPM_CIFAR10, event_shape))

    @property
    def chain(self) -> Chain:
        """The steps that the network was trained on."""
        return DDPM_CHAIN

    def loss(self) -> "FractionalDDPMLoss":
        return FractionalDDPMLoss(schedule=DDPM_CHAIN.step_linear(DDPM_CHAIN.length))

    def denoiser(self, net: nn.Module) -> VPDenoiser:
        """D(x, sigma) of the bare network."""
        return VPDenoiser(net, DDPM_CHAIN)

    def check_steps(self, num_steps: int) -> None:
        DDPM_SCHEDULES[self.schedule](num_steps)

    def start_velocity(self, num_steps: int) -> PerStep:
        """1 - alpha_k, FastDPM's eta_k (released trainer of CIFAR-10)."""
        return 1 - DDPM_SCHEDULES[self.schedule](num_steps).alphas

    def policy(self, net: nn.Module, *, event_shape: Sequence[int], num_steps: int) -> GaussianPolicy:
        return self.policy_along(
            net, event_shape=event_shape, num_steps=num_steps, trainable_std=all_but_the_last(num_steps)
        )

    def policy_along(
        self, net: nn.Module, *, event_shape: Sequence[int], num_steps: int, trainable_std: Sequence[bool]
    ) -> GaussianPolicy:
        """Ancestral steps along the few noise levels, where SFT-PG trains no std."""
        schedule = DDPM_SCHEDULES[self.schedule](num_steps)
        return GaussianPolicy.from_noise_predictor(
            AtSteps(net, DDPM_CHAIN.step_of(schedule.alpha_bar[:-1].log())),
            schedule,
            event_shape=event_shape,
            last_std=self.last_std,
            trainable_std=trainable_std,
        )


@dataclass(frozen=True, kw_only=True)
class DDGANGeneratorNet(ImageBackbone):
    """The generator of a denoising diffusion GAN (Xiao et al. 2022, arXiv:2112.07804), of `num_steps` steps.

    Where it is trained here, it learns the mean of the data given x_k, not by a GAN: the start is then a DDPM of
    few steps in DDGAN's network.

    Attributes:
        last_std: of the last step, whose posterior has none; it stays.
    """

    kind: Literal["ddgan"] = "ddgan"
    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    blocks_per_level: int = 2
    attention_levels: tuple[int, ...] = (1,)
    style_channels: int = 256
    latent_channels: int = 100
    mapping_depth: int = 5
    num_steps: int = 4
    last_std: float = 1e-3
    weights: str = "ddgan"
    iterations: int = 400_000
    batch_size: int = 256
    lr: float = 1.6e-4
    ema_decay: float = 0.9999

    def network(self, event_shape: Sequence[int], generator: Generator) -> DDGANGenerator:
        return DDGANGenerator(
            self._config(event_shape),
            generator=generator,
            latent_channels=self.latent_channels,
            mapping_depth=self.mapping_depth,
        )

    def official(self, event_shape: Sequence[int]) -> Conversion:
        return checkpoints.ddgan(
            self._config(event_shape), latent_channels=self.latent_channels, mapping_depth=self.mapping_depth
        )

    @cached_property
    def schedule(self) -> VPSchedule:
        return VPSchedule.linear(self.num_steps, first_time=1e-3)

    def loss(self) -> "DataPredictionLoss":
        return DataPredictionLoss(schedule=self.schedule, latent_channels=self.latent_channels)

    def check_steps(self, num_steps: int) -> None:
        if num_steps != self.num_steps:
            raise ValueError(f"a DDGAN samples in the {self.num_steps} steps it was trained for, got {num_steps}")

    def start_velocity(self, num_steps: int) -> PerStep:
        """1 - alpha_k, as for DDPM's start (inferred: DDGAN's module was not released)."""
        return 1 - self.schedule.alphas

    def policy(self, net: nn.Module, *, event_shape: Sequence[int], num_steps: int) -> LatentPolicy:
        self.check_steps(num_steps)
        return LatentPolicy.from_generator(
            AtSteps(net, torch.arange(num_steps - 1, -1, -1.0)),
            self.schedule,
            event_shape=event_shape,
            latent_channels=self.latent_channels,
            last_std=self.last_std,
            trainable_std=all_but_the_last(num_steps),
        )

    def _config(self, event_shape: Sequence[int]) -> UNetConfig:
        return replace(self._sized(DDGAN_CIFAR10, event_shape), style_channels=self.style_channels)


# For runs that show that all works, within minutes on a processor.
SMALL_DDPM = DDPMUNet(
    width=16, multipliers=(1, 2), blocks_per_level=1, attention_levels=(), iterations=100, batch_size=16
)


@dataclass(frozen=True, kw_only=True)
class FractionalDDPMLoss(DDPMLoss):
    """DDPM's loss of a net that is told the step t = K - 1 - k of the chain, as it will be at fractional ones."""

    def __call__(self, net: nn.Module, data: Points, *drawn: Tensor) -> PerSample:
        return super().__call__(lambda x, k: net(x, self.schedule.num_steps - 1 - k), data, *drawn)


@dataclass(frozen=True, kw_only=True)
class DataPredictionLoss:
    """||G(x_k, K - 1 - k, z) - data||^2 / D over a schedule's steps k, z ~ N(0, I): G learns the mean of the data."""

    schedule: VPSchedule
    latent_channels: int

    def draw(self, noise: StreamNoise) -> tuple[Tensor, ...]:
        shape, generator = (noise.batch_size, self.latent_channels), noise.generator
        return *drawn_steps(self.schedule, noise), torch.randn(shape, generator=generator, device=generator.device)

    def __call__(self, net: nn.Module, data: Points, *drawn: Tensor) -> PerSample:
        k, eps, latents = drawn
        steps = self.schedule.num_steps - 1 - k
        return mean_square(net(noised(self.schedule, data, k, eps), steps, latents) - data)


def all_but_the_last(num_steps: int) -> list[bool]:
    return [True] * (num_steps - 1) + [False]
