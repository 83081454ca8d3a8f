"""Networks that learn the velocity of the straight path between data and noise."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Generator, nn

from dxmi.backbones.edm import EDM_LAYOUTS, LaidOutUNet, Timed
from dxmi.backbones.small import MLPNetwork, Network
from dxmi.nets.families import denoising_net, is_image
from dxmi.nets.precision import Precision
from dxmi.nets.unet_config import UNetConfig
from dxmi.sampling.denoisers import FlowDenoiser
from dxmi.training.flows import INDEPENDENT, UNIFORM, AnyCoupling, AnyTimes, FlowLoss

# Times run from 0 to 1, and small nets see octaves of numbers up to 4.
TIME_SCALE = 4.0


@dataclass(frozen=True, kw_only=True)
class VelocityNetwork(Network):
    """A velocity of the straight path; its field is what samples follow."""

    @abstractmethod
    def field(self, net: nn.Module) -> nn.Module:
        """The field of what `network` made, as `dxmi.sampling.flows.FlowSteps` ask it."""

    @abstractmethod
    def velocity(self, net: nn.Module) -> nn.Module:
        """v(x, t, labels) of what `network` made."""

    def denoiser(self, net: nn.Module) -> FlowDenoiser:
        return FlowDenoiser(self.velocity(net))


@dataclass(frozen=True, kw_only=True)
class VelocityMLP(MLPNetwork, VelocityNetwork):
    """A velocity of vectors, scaled to a std of 1 as the noise is, and of small images, which stay in [-1, 1]."""

    def scale(self, event_shape: Sequence[int], data_std: float) -> float:
        return 1.0 if is_image(event_shape) else 1.0 / data_std

    def times_net(self, event_shape: Sequence[int], generator: Generator, *, times: int) -> nn.Module:
        """A net of a point and so many times."""
        return denoising_net(
            event_shape,
            hidden=self.hidden,
            depth=self.depth,
            generator=generator,
            condition_scale=TIME_SCALE,
            num_conditions=times,
        )


@dataclass(frozen=True, kw_only=True)
class FlowNetwork(VelocityNetwork):
    """v(x, t) by flow matching.

    Attributes:
        coupling: which noise goes with which data in a batch.
        times: the law of t.
    """

    coupling: AnyCoupling = INDEPENDENT
    times: AnyTimes = UNIFORM

    def field(self, net: nn.Module) -> nn.Module:
        return self.velocity(net)

    def loss(self) -> FlowLoss:
        return FlowLoss(velocity=self.velocity, coupling=self.coupling, times=self.times)


@dataclass(frozen=True, kw_only=True)
class FlowMLP(VelocityMLP, FlowNetwork):
    """Flow matching on vectors and small images."""

    kind: Literal["flow_mlp"] = "flow_mlp"

    def network(self, event_shape: Sequence[int], generator: Generator) -> nn.Module:
        return self.times_net(event_shape, generator, times=1)

    def velocity(self, net: nn.Module) -> nn.Module:
        return net


@dataclass(frozen=True, kw_only=True)
class FlowUNet(LaidOutUNet, FlowNetwork):
    """Flow matching on images, in a network of EDM's authors, which takes t as it is."""

    kind: Literal["flow_unet"] = "flow_unet"
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

    def velocity(self, net: nn.Module) -> Timed:
        return Timed(net)
