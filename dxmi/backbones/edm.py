"""EDM's denoisers on images of 32 pixels and more: the released networks of its authors and of consistency models.

Karras et al. 2022 (arXiv:2206.00364) and Song et al. 2023 (arXiv:2303.01469) precondition alike and train by the same
loss; their networks differ in layout and in the clock that they are told.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from dxmi import checkpoints
from dxmi.arrays import ClassLabels, PerSample, PerStep, Points
from dxmi.backbones.images import ImageBackbone, all_but_the_last
from dxmi.checkpoints import Conversion
from dxmi.nets.presets import ADM_IMAGENET64, ADM_LSUN256, DDPMPP_CIFAR10, NCSNPP_CIFAR10
from dxmi.nets.steps import AtSteps
from dxmi.nets.unet import UNet
from dxmi.nets.unet_config import UNetConfig
from dxmi.sampling.denoisers import EDMDenoiser
from dxmi.sampling.policies import GaussianPolicy
from dxmi.schedules.levels import NoiseLevels
from dxmi.training.denoising import EDMLoss

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
KARRAS = {"to_zero": NoiseLevels.karras, "above_zero": NoiseLevels.karras_above_zero}


@dataclass(frozen=True, kw_only=True)
class EDMFamily(ImageBackbone):
    """An EDM denoiser; DxMI's start is Euler-ancestral steps.

    Attributes:
        classes: that it is told; 0 for none.
        levels: Karras levels down to 0, whose last step has `last_std`; or down to sigma_min = 0.002, whose last step
            has the noise of that level (released: `stochastic_last`). In both the last std stays (`fix_last`).
        precision: of the network's inside where the run does not say one (autocast around it, which rules then);
            float16 is the run's to say, since its gradients need their losses scaled.
    """

    head_channels: int | None
    classes: int
    levels: Literal["to_zero", "above_zero"] = "to_zero"
    rho: float = 7.0
    last_std: float = 1e-4
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    iterations: int = 400_000
    lr: float = 1e-4
    ema_decay: float = 0.9999

    @property
    @abstractmethod
    def layout(self) -> UNetConfig:
        """The official network whose fields are not listed here."""

    @property
    @abstractmethod
    def clock(self) -> float:
        """The network is told this many times ln(sigma) / 4."""

    @property
    def num_classes(self) -> int | None:
        return self.classes or None

    def network(self, event_shape: Sequence[int], generator: Generator) -> UNet:
        return UNet(self.config(event_shape), generator=generator)

    def loss(self) -> "BareEDMLoss":
        return BareEDMLoss(backbone=self)

    def denoiser(self, net: nn.Module) -> EDMDenoiser:
        """D(x, sigma, labels) of the bare network."""
        return EDMDenoiser(_Timed(net, clock=self.clock, precision=PRECISIONS[self.precision]))

    def check_steps(self, num_steps: int) -> None:
        KARRAS[self.levels](num_steps, rho=self.rho)

    def policy(self, net: nn.Module, *, event_shape: Sequence[int], num_steps: int) -> GaussianPolicy:
        levels = KARRAS[self.levels](num_steps, rho=self.rho)
        return GaussianPolicy.from_denoiser(
            AtSteps(self.denoiser(net), levels.sigmas[:-1]),
            levels,
            event_shape=event_shape,
            last_std=self.last_std,
            trainable_std=all_but_the_last(num_steps),
        )

    def start_velocity(self, num_steps: int) -> PerStep:
        """sigma_k^2, the noise level that step k begins at (released trainers of ImageNet and LSUN)."""
        return KARRAS[self.levels](num_steps, rho=self.rho).sigmas[:-1].square()

    def config(self, event_shape: Sequence[int]) -> UNetConfig:
        """Of the network at this backbone's size."""
        headless = replace(self.layout, head_channels=None, num_classes=self.classes)
        return replace(self._sized(headless, event_shape), head_channels=self.head_channels)


ADM_LAYOUTS = {"imagenet64": ADM_IMAGENET64, "lsun256": ADM_LSUN256}
EDM_LAYOUTS = {"ddpmpp": DDPMPP_CIFAR10, "ncsnpp": NCSNPP_CIFAR10, "adm": ADM_IMAGENET64}


@dataclass(frozen=True, kw_only=True)
class ADMUNet(EDMFamily):
    """The consistency models' EDM denoiser (Song et al. 2023, arXiv:2303.01469), and what was distilled from it.

    Attributes:
        preset: the official network whose fields are not listed here.
    """

    kind: Literal["adm"] = "adm"
    preset: Literal["imagenet64", "lsun256"] = "imagenet64"
    width: int = 192
    multipliers: tuple[int, ...] = (1, 2, 3, 4)
    blocks_per_level: int = 3
    attention_levels: tuple[int, ...] = (1, 2, 3)
    head_channels: int | None = 64
    classes: int = 1000
    weights: str = "edm"
    batch_size: int = 256

    @property
    def layout(self) -> UNetConfig:
        return ADM_LAYOUTS[self.preset]

    @property
    def clock(self) -> float:
        return 1000.0

    def official(self, event_shape: Sequence[int]) -> Conversion:
        return checkpoints.consistency_models(self.config(event_shape))


@dataclass(frozen=True, kw_only=True)
class EDMUNet(EDMFamily):
    """A denoiser of EDM's authors (Karras et al. 2022, arXiv:2206.00364): DDPM++ (their VP), NCSN++ (VE) or ADM.

    All three are preconditioned as EDM; VP and VE name the networks' origins. Where they are trained here, it is in
    batches of 512 at 1e-3 for about 200 million images, as the released command does, without its dropout and
    augmentation.

    Attributes:
        preset: the official network whose fields are not listed here.
    """

    kind: Literal["edm"] = "edm"
    preset: Literal["ddpmpp", "ncsnpp", "adm"] = "ddpmpp"
    width: int = 128
    multipliers: tuple[int, ...] = (2, 2, 2)
    blocks_per_level: int = 4
    attention_levels: tuple[int, ...] = (1,)
    head_channels: int | None = None
    classes: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    weights: str = "edm"
    batch_size: int = 512
    lr: float = 1e-3

    @property
    def layout(self) -> UNetConfig:
        return EDM_LAYOUTS[self.preset]

    @property
    def clock(self) -> float:
        return 1.0

    def official(self, event_shape: Sequence[int]) -> Conversion:
        make: Callable[..., Conversion] = checkpoints.edm_adm if self.preset == "adm" else checkpoints.edm_song
        return make(self.config(event_shape), size=event_shape[-1])


# EDM's NCSN++ of CIFAR-10, the network of the consistency models there too.
EDM_VE = EDMUNet(preset="ncsnpp", weights="edm-ve")
# EDM's own ADM of ImageNet 64x64.
EDM_ADM = EDMUNet(
    preset="adm",
    width=192,
    multipliers=(1, 2, 3, 4),
    blocks_per_level=3,
    attention_levels=(1, 2, 3),
    head_channels=64,
    classes=1000,
    precision="bfloat16",
    weights="edm-nvidia",
    lr=1e-4,
)
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
SMALL_EDM = EDMUNet(
    width=16, multipliers=(1, 2), blocks_per_level=1, attention_levels=(), iterations=100, batch_size=16
)


@dataclass(frozen=True, kw_only=True)
class BareEDMLoss(EDMLoss):
    """EDM's loss of the bare network of a backbone."""

    backbone: EDMFamily

    def __call__(self, net: nn.Module, data: Points, *drawn: Tensor) -> PerSample:
        return super().__call__(self.backbone.denoiser(net), data, *drawn)


class _Timed(nn.Module):
    """F(x, ln(sigma) / 4, labels) of a UNet with a clock of its own."""

    def __init__(self, net: nn.Module, *, clock: float, precision: torch.dtype) -> None:
        super().__init__()
        self.net, self.clock, self.precision = net, clock, precision

    def forward(self, x: Points, time: PerSample, labels: ClassLabels | None = None) -> Tensor:
        own = self.precision != x.dtype and not torch.is_autocast_enabled(x.device.type)
        with torch.autocast(x.device.type, dtype=self.precision) if own else nullcontext():
            return self.net(x, self.clock * time, labels=labels)
