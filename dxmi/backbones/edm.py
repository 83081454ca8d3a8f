"""EDM's denoisers on images of 32 pixels and more: the released networks of its authors and of consistency models.

Karras et al. 2022 (arXiv:2206.00364) and Song et al. 2023 (arXiv:2303.01469) precondition alike and train by the same
loss; their networks differ in layout and in the noise level's form that they take.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Generator, Tensor, nn

from dxmi import checkpoints
from dxmi.arrays import ClassLabels, PerSample, Points
from dxmi.backbones.images import UNetNetwork
from dxmi.checkpoints import Conversion
from dxmi.nets.precision import Precision
from dxmi.nets.presets import ADM_IMAGENET64, ADM_LSUN256, DDPMPP_CIFAR10, NCSNPP_CIFAR10
from dxmi.nets.unet import UNet
from dxmi.nets.unet_config import UNetConfig
from dxmi.sampling.denoisers import EDMDenoiser
from dxmi.training.denoising import EDMLoss


@dataclass(frozen=True, kw_only=True)
class LaidOutUNet(UNetNetwork):
    """A UNet of a released layout, which classes may condition.

    Attributes:
        classes: number of classes that it is conditioned on; 0 for none.
    """

    head_channels: int | None
    classes: int
    precision: Precision = "bfloat16"

    @property
    @abstractmethod
    def layout(self) -> UNetConfig:
        """The official network whose fields are not listed here."""

    @property
    def num_classes(self) -> int | None:
        return self.classes or None

    def network(self, event_shape: Sequence[int], generator: Generator) -> UNet:
        return UNet(self.config(event_shape), generator=generator)

    def config(self, event_shape: Sequence[int]) -> UNetConfig:
        """The UNet at this network's size."""
        headless = replace(self.layout, head_channels=None, num_classes=self.classes)
        return replace(self._sized(headless, event_shape), head_channels=self.head_channels)


@dataclass(frozen=True, kw_only=True)
class EDMFamily(LaidOutUNet):
    """An EDM denoiser of a released layout."""

    @property
    @abstractmethod
    def clock(self) -> float:
        """The factor of ln(sigma) / 4 in what the network takes."""

    def loss(self) -> "BareEDMLoss":
        return BareEDMLoss(network=self)

    def denoiser(self, net: nn.Module) -> EDMDenoiser:
        """D(x, sigma, labels) of the bare network."""
        return EDMDenoiser(Timed(net, clock=self.clock))


ADM_LAYOUTS = {"imagenet64": ADM_IMAGENET64, "lsun256": ADM_LSUN256}
EDM_LAYOUTS = {"ddpmpp": DDPMPP_CIFAR10, "ncsnpp": NCSNPP_CIFAR10, "adm": ADM_IMAGENET64}


@dataclass(frozen=True, kw_only=True)
class ADMUNet(EDMFamily):
    """The consistency models' EDM denoiser (Song et al. 2023, arXiv:2303.01469), and what was distilled from it.

    Attributes:
        preset: the official network whose fields are not listed here.
    """

    kind: Literal["adm_unet"] = "adm_unet"
    preset: Literal["imagenet64", "lsun256"] = "imagenet64"
    width: int = 192
    multipliers: tuple[int, ...] = (1, 2, 3, 4)
    blocks_per_level: int = 3
    attention_levels: tuple[int, ...] = (1, 2, 3)
    head_channels: int | None = 64
    classes: int = 1000

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

    All three are preconditioned as EDM; VP and VE name the networks' origins.

    Attributes:
        preset: the official network whose fields are not listed here.
    """

    kind: Literal["edm_unet"] = "edm_unet"
    preset: Literal["ddpmpp", "ncsnpp", "adm"] = "ddpmpp"
    width: int = 128
    multipliers: tuple[int, ...] = (2, 2, 2)
    blocks_per_level: int = 4
    attention_levels: tuple[int, ...] = (1,)
    head_channels: int | None = None
    classes: int = 0
    precision: Precision = "float32"

    @property
    def layout(self) -> UNetConfig:
        return EDM_LAYOUTS[self.preset]

    @property
    def clock(self) -> float:
        return 1.0

    def official(self, event_shape: Sequence[int]) -> Conversion:
        make: Callable[..., Conversion] = checkpoints.edm_adm if self.preset == "adm" else checkpoints.edm_song
        return make(self.config(event_shape), size=event_shape[-1])


@dataclass(frozen=True, kw_only=True)
class BareEDMLoss(EDMLoss):
    """EDM's loss of a bare network."""

    network: EDMFamily

    def __call__(self, net: nn.Module, data: Points, *drawn: Tensor) -> PerSample:
        return super().__call__(self.network.denoiser(net), data, *drawn)


class Timed(nn.Module):
    """F(x, time, labels) of a UNet with a clock of its own."""

    def __init__(self, net: nn.Module, *, clock: float = 1.0) -> None:
        super().__init__()
        self.net, self.clock = net, clock

    def forward(self, x: Points, time: PerSample, labels: ClassLabels | None = None) -> Tensor:
        return self.net(x, self.clock * time, labels=labels)
