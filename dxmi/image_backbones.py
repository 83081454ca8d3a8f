"""Backbones that DxMI starts from on images of 32 pixels and more: network, official weights, sampler of few steps.

The defaults are the official networks; smaller ones have their fields set. `network` makes the bare network, whose
names are those that `official` gives to the tensors of the released file. `policy` puts the start's sampler around it:
FastDPM's VAR schedule, DDGAN's posterior or Euler-ancestral steps on Karras levels, as DxMI does
(arXiv:2407.00626, section 5.2 and released configurations).
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Generator, Tensor, nn

from dxmi import checkpoints
from dxmi.arrays import ClassLabels, PerSample, Points
from dxmi.backbones import Compute, DataSource, Problem, Streams
from dxmi.checkpoints import Conversion
from dxmi.denoisers import EDMDenoiser
from dxmi.denoising import DDPMLoss, DenoiserTraining, DenoisingLoss, EDMLoss, drawn_steps, noised
from dxmi.fastdpm import LinearChain
from dxmi.losses import mean_square
from dxmi.nets.ddgan import DDGANGenerator
from dxmi.nets.presets import ADM_IMAGENET64, ADM_LSUN256, DDGAN_CIFAR10, DDPM_CIFAR10
from dxmi.nets.steps import AtSteps
from dxmi.nets.unet import UNet
from dxmi.nets.unet_config import UNetConfig
from dxmi.noise import StreamNoise
from dxmi.parallel import ONE_PROCESS
from dxmi.policies import GaussianPolicy, LatentPolicy
from dxmi.schedules import NoiseLevels, VPSchedule

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}

# The consistency models' networks take 1000 ln(sigma) / 4 for EDM's ln(sigma) / 4.
CONSISTENCY_TIME = 1000.0


@dataclass(frozen=True, kw_only=True)
class ImageBackbone(ABC):
    """A UNet of `width * multipliers[level]` channels, and how it is trained where official weights are not at hand.

    Attributes:
        weights: name of the official weights among a task's.
        iterations: of training, by Adam on batches of `batch_size`, lr decaying along a cosine.
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
        problem: Problem,
        compute: Compute,
        streams: Streams,
        *,
        num_classes: int | None,
        official: Mapping[str, Tensor] | None,
        data: DataSource,
    ) -> "DenoiserTraining | Official":
        """The network with the weights of the released file, or, where there are none, its training on `data`.

        Raises:
            ValueError: if the file is of another network, with the first keys that differ, or the problem has other
                classes than the network is told.
        """
        if num_classes != self.num_classes:
            raise ValueError(
                f"the backbone is told {self.num_classes or 'no'} classes and the task has {num_classes or 'none'}; "
                "name a backbone for this task"
            )
        if official is None:
            return self.training(problem, compute, streams, data=data)
        weights = self.official(problem.event_shape)(official)
        net = self.network(problem.event_shape, Generator().manual_seed(0))  # every number is overwritten
        net.load_state_dict(weights)
        return Official(net.to(compute.device))

    def training(self, problem: Problem, compute: Compute, streams: Streams, *, data: DataSource) -> DenoiserTraining:
        """Its training on `data`; over before it begins where the store has the weights of these streams."""
        data_rng, device = streams.numpy("backbone data"), compute.device
        content = {**self.content(), "seed": streams.seed("backbone init"), "device": device}

        def batch() -> Points | tuple[Points, ClassLabels]:
            if self.num_classes is None:
                return data.batch(self.batch_size, rng=data_rng).to(device)
            assert isinstance(data, LabelledData)
            points, labels = data.labelled_batch(self.batch_size, rng=data_rng)
            return points.to(device), labels.to(device)

        return DenoiserTraining(
            self.network(problem.event_shape, streams.torch("backbone init")).to(device),
            self.loss(),
            data=batch,
            noise=StreamNoise(
                batch_size=self.batch_size,
                event_shape=problem.event_shape,
                generator=streams.torch("backbone noise", device=device),
            ),
            iterations=self.iterations,
            lr=self.lr,
            ema_decay=self.ema_decay,
            max_grad_norm=1.0,
            slot=compute.store.slot(content) if compute.store else None,
            parallel=compute.parallel or ONE_PROCESS,
        )

    def content(self) -> dict[str, Any]:
        """What trained weights depend on, besides data and streams."""
        sampling = ("weights", "schedule", "levels", "rho")
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

    def loss(self) -> "FractionalDDPMLoss":
        return FractionalDDPMLoss(schedule=DDPM_CHAIN.step_linear(DDPM_CHAIN.length))

    def check_steps(self, num_steps: int) -> None:
        DDPM_SCHEDULES[self.schedule](num_steps)

    def policy(self, net: nn.Module, *, event_shape: Sequence[int], num_steps: int) -> GaussianPolicy:
        schedule = DDPM_SCHEDULES[self.schedule](num_steps)
        return GaussianPolicy.from_noise_predictor(
            AtSteps(net, DDPM_CHAIN.step_of(schedule.alpha_bar[:-1].log())),
            schedule,
            event_shape=event_shape,
            last_std=self.last_std,
            trainable_std=_all_but_the_last(num_steps),
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

    def policy(self, net: nn.Module, *, event_shape: Sequence[int], num_steps: int) -> LatentPolicy:
        self.check_steps(num_steps)
        return LatentPolicy.from_generator(
            AtSteps(net, torch.arange(num_steps - 1, -1, -1.0)),
            self.schedule,
            event_shape=event_shape,
            latent_channels=self.latent_channels,
            last_std=self.last_std,
            trainable_std=_all_but_the_last(num_steps),
        )

    def _config(self, event_shape: Sequence[int]) -> UNetConfig:
        return replace(self._sized(DDGAN_CIFAR10, event_shape), style_channels=self.style_channels)


PRESETS = {"imagenet64": ADM_IMAGENET64, "lsun256": ADM_LSUN256}
KARRAS = {"to_zero": NoiseLevels.karras, "above_zero": NoiseLevels.karras_above_zero}


@dataclass(frozen=True, kw_only=True)
class ADMUNet(ImageBackbone):
    """The consistency models' EDM denoiser (Song et al. 2023, arXiv:2303.01469), sampled by Euler-ancestral steps.

    Attributes:
        preset: the official network whose fields are not listed here.
        classes: that it is told; 0 for none.
        levels: Karras levels down to 0, whose last step has `last_std`, which stays; or down to sigma_min = 0.002,
            whose last step is as noisy as the others and learns its std too (released: `stochastic_last`).
        precision: of the network's inside while it trains and samples.
    """

    kind: Literal["adm"] = "adm"
    preset: Literal["imagenet64", "lsun256"] = "imagenet64"
    width: int = 192
    multipliers: tuple[int, ...] = (1, 2, 3, 4)
    blocks_per_level: int = 3
    attention_levels: tuple[int, ...] = (1, 2, 3)
    head_channels: int = 64
    classes: int = 1000
    levels: Literal["to_zero", "above_zero"] = "to_zero"
    rho: float = 7.0
    last_std: float = 1e-4
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    weights: str = "edm"
    iterations: int = 400_000
    batch_size: int = 256
    lr: float = 1e-4
    ema_decay: float = 0.9999

    @property
    def num_classes(self) -> int | None:
        return self.classes or None

    def network(self, event_shape: Sequence[int], generator: Generator) -> UNet:
        return UNet(self._config(event_shape), generator=generator)

    def official(self, event_shape: Sequence[int]) -> Conversion:
        return checkpoints.consistency_models(self._config(event_shape))

    def loss(self) -> "ADMLoss":
        return ADMLoss(backbone=self)

    def denoiser(self, net: nn.Module) -> EDMDenoiser:
        """D(x, sigma, labels) of the bare network."""
        return EDMDenoiser(_Timed(net, precision=PRECISIONS[self.precision]))

    def check_steps(self, num_steps: int) -> None:
        KARRAS[self.levels](num_steps, rho=self.rho)

    def policy(self, net: nn.Module, *, event_shape: Sequence[int], num_steps: int) -> GaussianPolicy:
        levels = KARRAS[self.levels](num_steps, rho=self.rho)
        noisy_end = bool(levels.sigmas[-1] > 0)
        return GaussianPolicy.from_denoiser(
            AtSteps(self.denoiser(net), levels.sigmas[:-1]),
            levels,
            event_shape=event_shape,
            last_std=self.last_std,
            trainable_std=[True] * num_steps if noisy_end else _all_but_the_last(num_steps),
        )

    def _config(self, event_shape: Sequence[int]) -> UNetConfig:
        headless = replace(PRESETS[self.preset], head_channels=None, num_classes=self.classes)
        return replace(self._sized(headless, event_shape), head_channels=self.head_channels)


class Official:
    """A backbone whose training others have done.

    Attributes:
        net: to be trained on.
        average: as it came.
    """

    iterations, finished = 0, True

    def __init__(self, net: nn.Module) -> None:
        self.net, self.average = net, copy.deepcopy(net)

    def step(self) -> Tensor:
        raise RuntimeError("nothing to train")

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert not state


@runtime_checkable
class LabelledData(DataSource, Protocol):
    """Training data with classes."""

    def labelled_batch(self, n: int, *, rng: np.random.Generator) -> tuple[Points, ClassLabels]: ...


@dataclass(frozen=True)
class Mirrored:
    """Images [c, h, w] of a source, each mirrored left to right with probability 1/2."""

    source: DataSource

    def batch(self, n: int, *, rng: np.random.Generator) -> Points:
        return _mirrored(self.source.batch(n, rng=rng), rng)

    def labelled_batch(self, n: int, *, rng: np.random.Generator) -> tuple[Points, ClassLabels]:
        assert isinstance(self.source, LabelledData)
        images, labels = self.source.labelled_batch(n, rng=rng)
        return _mirrored(images, rng), labels


def _mirrored(images: Points, rng: np.random.Generator) -> Points:
    chosen = torch.from_numpy(rng.random(len(images)) < 0.5).reshape(-1, 1, 1, 1)
    return torch.where(chosen, images.flip(-1), images)


# The consistency models' denoiser of LSUN Bedroom, in DxMI's four steps.
EDM_LSUN256 = ADMUNet(
    preset="lsun256",
    width=256,
    multipliers=(1, 1, 2, 2, 4, 4),
    blocks_per_level=2,
    attention_levels=(3, 4, 5),
    classes=0,
    levels="above_zero",
    rho=4.0,
)

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


@dataclass(frozen=True, kw_only=True)
class ADMLoss(EDMLoss):
    """EDM's loss of the bare network of a backbone."""

    backbone: ADMUNet

    def __call__(self, net: nn.Module, data: Points, *drawn: Tensor) -> PerSample:
        return super().__call__(self.backbone.denoiser(net), data, *drawn)


class _Timed(nn.Module):
    """F(x, ln(sigma) / 4, labels) of a consistency models' UNet."""

    def __init__(self, net: nn.Module, *, precision: torch.dtype) -> None:
        super().__init__()
        self.net, self.precision = net, precision

    def forward(self, x: Points, time: PerSample, labels: ClassLabels | None = None) -> Tensor:
        with torch.autocast(x.device.type, dtype=self.precision, enabled=self.precision != x.dtype):
            return self.net(x, CONSISTENCY_TIME * time, labels=labels)


def _all_but_the_last(num_steps: int) -> list[bool]:
    return [True] * (num_steps - 1) + [False]
