"""Networks that learn the velocity of the straight path between data and noise, or averages of it along the flow."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import NonNegativeFloat
from torch import Generator, Tensor, nn

from dxmi.arrays import ClassLabels, PerSample, Points
from dxmi.backbones.edm import EDM_LAYOUTS, LaidOutUNet, Timed
from dxmi.backbones.small import MLPNetwork, Network
from dxmi.nets.families import denoising_net, is_image
from dxmi.nets.mlp import condition_features, condition_octaves
from dxmi.nets.precision import Precision
from dxmi.nets.unet_config import UNetConfig
from dxmi.sampling.denoisers import FlowDenoiser
from dxmi.training.flows import INDEPENDENT, UNIFORM, AnyCoupling, AnyTimes, FlowLoss
from dxmi.training.mean_flows import MEANFLOW, SORTED, AnyPairs, AnyTarget, MeanFlowLoss

# Times run from 0 to 1, and small nets see octaves of numbers up to 4.
TIME_SCALE = 4.0
# Of both times of an average velocity, whose derivative in t is trained on: fast octaves would be most of it.
SPAN_FREQUENCIES = 2


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

    def times_net(
        self, event_shape: Sequence[int], generator: Generator, *, times: int, num_frequencies: int
    ) -> nn.Module:
        """A net of a point and so many times, each by so many octaves."""
        return denoising_net(
            event_shape,
            hidden=self.hidden,
            depth=self.depth,
            generator=generator,
            condition_scale=TIME_SCALE,
            num_conditions=times,
            num_frequencies=num_frequencies,
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
        return self.times_net(event_shape, generator, times=1, num_frequencies=6)

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


@dataclass(frozen=True, kw_only=True)
class MeanFlowNetwork(VelocityNetwork):
    """u(x, t, r), the average velocity from t down to r.

    Attributes:
        target: what it is regressed on.
        coupling: which noise goes with which data in a batch.
        pairs: the law of t and r.
        power: of the adaptive weight (`MeanFlowLoss`).
    """

    differentiated = True

    target: AnyTarget = MEANFLOW
    coupling: AnyCoupling = INDEPENDENT
    pairs: AnyPairs = SORTED
    power: NonNegativeFloat = 0.0

    @abstractmethod
    def field(self, net: nn.Module) -> nn.Module:
        """u(x, t, r, labels) of what `network` made."""

    def velocity(self, net: nn.Module) -> "AtOneTime":
        return AtOneTime(self.field(net))

    def loss(self) -> MeanFlowLoss:
        return MeanFlowLoss(
            field=self.field, target=self.target, coupling=self.coupling, pairs=self.pairs, power=self.power
        )


@dataclass(frozen=True, kw_only=True)
class MeanFlowMLP(VelocityMLP, MeanFlowNetwork):
    """An average velocity of vectors and small images."""

    kind: Literal["meanflow_mlp"] = "meanflow_mlp"

    def network(self, event_shape: Sequence[int], generator: Generator) -> nn.Module:
        return self.times_net(event_shape, generator, times=2, num_frequencies=SPAN_FREQUENCIES)

    def field(self, net: nn.Module) -> "Span":
        return Span(net)


@dataclass(frozen=True, kw_only=True)
class MeanFlowUNet(LaidOutUNet, MeanFlowNetwork):
    """An average velocity of images; t - r comes in beside t where EDM's augmentation labels do."""

    kind: Literal["meanflow_unet"] = "meanflow_unet"
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
        return replace(EDM_LAYOUTS[self.preset], augment_channels=1 + 2 * SPAN_FREQUENCIES)

    def field(self, net: nn.Module) -> "SpanUNet":
        return SpanUNet(net)


class Span(nn.Module):
    """u(x, t, r) of a net of t and t - r."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Points, t: PerSample, r: PerSample) -> Points:
        return self.net(x, t, t - r)


class SpanUNet(nn.Module):
    """u(x, t, r, labels) of a UNet of t that sees t - r by its octaves."""

    octaves: Tensor

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        device = next(net.parameters()).device
        self.register_buffer("octaves", condition_octaves(SPAN_FREQUENCIES).to(device), persistent=False)

    def forward(self, x: Points, t: PerSample, r: PerSample, labels: ClassLabels | None = None) -> Points:
        span = condition_features([TIME_SCALE * (t - r)], self.octaves)
        return self.net(x, t, labels=labels, augment=span)


class AtOneTime(nn.Module):
    """v(x, t) = u(x, t, t) of an average velocity."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field = field

    def forward(self, x: Points, t: PerSample, *labels: ClassLabels) -> Points:
        return self.field(x, t, t, *labels)
