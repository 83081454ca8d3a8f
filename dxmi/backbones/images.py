"""UNets on images of 32 pixels and more: DDPM's noise predictor and DDGAN's generator.

The defaults are the official networks; smaller ones have their fields set. `network` makes the bare network, whose
names are those that `official` gives to the tensors of the released file. EDM's are in `dxmi.backbones.edm`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from dxmi import checkpoints
from dxmi.arrays import PerSample, Points
from dxmi.backbones.small import ChainNetwork, Network
from dxmi.checkpoints import Conversion
from dxmi.losses import mean_square
from dxmi.nets.ddgan import DDGANGenerator
from dxmi.nets.precision import PRECISIONS, Precision
from dxmi.nets.presets import DDGAN_CIFAR10, DDPM_CIFAR10
from dxmi.nets.unet import UNet
from dxmi.nets.unet_config import UNetConfig
from dxmi.schedules.chains import Chain, LinearChain
from dxmi.schedules.levels import VPSchedule
from dxmi.training.denoising import Batch, DDPMLoss, drawn_steps, noised


@dataclass(frozen=True, kw_only=True)
class UNetNetwork(Network):
    """A UNet of `width * multipliers[level]` channels.

    Attributes:
        precision: of the network's inside where the run does not say one (autocast around it, which rules then);
            float16 is the run's to say, since its gradients need their losses scaled.
    """

    events = "images"

    width: int
    multipliers: tuple[int, ...]
    blocks_per_level: int
    attention_levels: tuple[int, ...]
    precision: Precision = "float32"

    def _sized(self, preset: UNetConfig, event_shape: Sequence[int]) -> UNetConfig:
        """The preset at this network's size."""
        return replace(
            preset,
            width=self.width,
            multipliers=self.multipliers,
            blocks_per_level=self.blocks_per_level,
            attention_levels=self.attention_levels,
            in_channels=event_shape[0],
            out_channels=event_shape[0],
            precision=PRECISIONS[self.precision],
        )


DDPM_CHAIN = LinearChain()


@dataclass(frozen=True, kw_only=True)
class DDPMUNet(UNetNetwork, ChainNetwork):
    """DDPM's noise predictor (Ho et al. 2020, arXiv:2006.11239, App. B)."""

    kind: Literal["ddpm_unet"] = "ddpm_unet"
    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    blocks_per_level: int = 2
    attention_levels: tuple[int, ...] = (1,)

    @property
    def chain(self) -> Chain:
        return DDPM_CHAIN

    def network(self, event_shape: Sequence[int], generator: Generator) -> UNet:
        return UNet(self._sized(DDPM_CIFAR10, event_shape), generator=generator)

    def official(self, event_shape: Sequence[int]) -> Conversion:
        return checkpoints.fastdpm(self._sized(DDPM_CIFAR10, event_shape))

    def loss(self) -> "FractionalDDPMLoss":
        return FractionalDDPMLoss(schedule=DDPM_CHAIN.step_linear(DDPM_CHAIN.length))

    def between(self, net: nn.Module) -> nn.Module:
        return net


@dataclass(frozen=True, kw_only=True)
class DDGANUNet(UNetNetwork):
    """The generator of a denoising diffusion GAN (Xiao et al. 2022, arXiv:2112.07804), of `num_steps` steps.

    Where it is trained here, it learns the mean of the data given x_k, not by a GAN: the start is then a DDPM of
    few steps in DDGAN's network.
    """

    kind: Literal["ddgan_unet"] = "ddgan_unet"
    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    blocks_per_level: int = 2
    attention_levels: tuple[int, ...] = (1,)
    style_channels: int = 256
    latent_channels: int = 100
    mapping_depth: int = 5
    num_steps: int = 4

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
        """The chain of few steps, from noise to data."""
        return VPSchedule.linear(self.num_steps, first_time=1e-3)

    def loss(self) -> "DataPredictionLoss":
        return DataPredictionLoss(schedule=self.schedule, latent_channels=self.latent_channels)

    def denoiser(self, net: nn.Module) -> nn.Module:
        raise ValueError("DDGAN's generator takes a latent and a few whole steps; it denoises no other noise level")

    def _config(self, event_shape: Sequence[int]) -> UNetConfig:
        return replace(self._sized(DDGAN_CIFAR10, event_shape), style_channels=self.style_channels)


@dataclass(frozen=True, kw_only=True)
class FractionalDDPMLoss(DDPMLoss):
    """DDPM's loss of a net that takes the step t = K - 1 - k of the chain, as it will at fractional ones."""

    def __call__(self, net: nn.Module, data: Points, *drawn: Tensor) -> PerSample:
        return super().__call__(lambda x, k: net(x, self.schedule.num_steps - 1 - k), data, *drawn)


@dataclass(frozen=True, kw_only=True)
class DataPredictionLoss:
    """||G(x_k, K - 1 - k, z) - data||^2 / D over a schedule's steps k, z ~ N(0, I): G learns the mean of the data."""

    schedule: VPSchedule
    latent_channels: int

    def draw(self, batch: Batch) -> tuple[Tensor, ...]:
        noise = batch.noise
        shape, generator = (noise.batch_size, self.latent_channels), noise.generator
        return *drawn_steps(self.schedule, noise), torch.randn(shape, generator=generator, device=generator.device)

    def __call__(self, net: nn.Module, data: Points, *drawn: Tensor) -> PerSample:
        k, eps, latents = drawn
        steps = self.schedule.num_steps - 1 - k
        return mean_square(net(noised(self.schedule, data, k, eps), steps, latents) - data)
