"""Layouts of energies that are trained through their gradient, which a piecewise linear net would leave constant."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Generator, nn
from torch.nn import functional as F

from dxmi.nets.embeddings import ADMSinusoid
from dxmi.nets.layers import ADM_INITIALISER
from dxmi.nets.mlp import StepMLP, Unconditional
from dxmi.nets.potentials import InnerProductNet, UNetPotential
from dxmi.nets.residual_mlp import ResidualMLP
from dxmi.nets.unet_config import UNetConfig


@dataclass(frozen=True, kw_only=True)
class PotentialLayout:
    """The layout of a smooth net of points alone, [b, *event] to [b, 1].

    Attributes:
        events: kind of data that it has layers for.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    events: ClassVar[Literal["small", "images"]]

    @abstractmethod
    def net(self, event_shape: Sequence[int], *, data_std: float, generator: Generator) -> nn.Module:
        """A net of such points, its parameters drawn from the generator.

        Raises:
            ValueError: for points that it has no layers for.
        """


@dataclass(frozen=True, kw_only=True)
class SmoothMLP(PotentialLayout):
    """A multi-layer perceptron with SiLU, of the flattened point.

    Attributes:
        octaves: of cos and sin of each coordinate that it also sees; the slowest has a period of eight std of the data.
    """

    events = "small"

    kind: Literal["mlp"] = "mlp"
    hidden: PositiveInt = 128
    depth: PositiveInt = 2
    octaves: NonNegativeInt = 3

    def net(self, event_shape: Sequence[int], *, data_std: float, generator: Generator) -> nn.Module:
        return Unconditional(
            StepMLP(
                dim_in=math.prod(event_shape),
                dim_out=1,
                num_levels=1,
                hidden=self.hidden,
                depth=self.depth,
                generator=generator,
                x_octaves=self.octaves,
                x_period=8.0 * data_std,
                activation=F.silu,
            )
        )


@dataclass(frozen=True, kw_only=True)
class InnerProduct(PotentialLayout):
    """<x, f(x)> with a residual perceptron f from points to points, 0 at first (EqM-E's form, arXiv:2510.02300)."""

    events = "small"

    kind: Literal["inner_product"] = "inner_product"
    hidden: PositiveInt = 256
    depth: PositiveInt = 3

    def net(self, event_shape: Sequence[int], *, data_std: float, generator: Generator) -> nn.Module:
        shape = tuple(event_shape)
        return InnerProductNet(
            Unconditional(
                ResidualMLP(
                    event_shape=shape,
                    output_shape=shape,
                    num_levels=1,
                    hidden=self.hidden,
                    depth=self.depth,
                    generator=generator,
                )
            )
        )


@dataclass(frozen=True, kw_only=True)
class UNetTransformer(PotentialLayout):
    """`UNetPotential`; the defaults are the released network of CIFAR-10.

    Attributes:
        patch: side of the patches of the UNet's output.
        channels: of the transformer.
        layers: of the transformer.
    """

    events = "images"

    kind: Literal["unet_transformer"] = "unet_transformer"
    width: PositiveInt = 128
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    blocks_per_level: PositiveInt = 2
    attention_levels: tuple[int, ...] = (1,)
    head_channels: PositiveInt | None = 64
    patch: PositiveInt = 4
    channels: PositiveInt = 384
    heads: PositiveInt = 4
    layers: PositiveInt = 8
    output_scale: PositiveFloat = 1000.0

    def net(self, event_shape: Sequence[int], *, data_std: float, generator: Generator) -> nn.Module:
        channels, height, width = event_shape
        config = UNetConfig(
            width=self.width,
            multipliers=self.multipliers,
            blocks_per_level=self.blocks_per_level,
            attention_levels=self.attention_levels,
            features=ADMSinusoid,
            law=ADM_INITIALISER,
            eps=1e-5,
            filter=None,
            head_channels=self.head_channels,
            in_channels=channels,
            out_channels=channels,
        )
        return UNetPotential(
            config,
            (height, width),
            generator=generator,
            patch=self.patch,
            channels=self.channels,
            heads=self.heads,
            depth=self.layers,
            output_scale=self.output_scale,
        )


AnyPotential = Annotated[SmoothMLP | InnerProduct | UNetTransformer, Field(discriminator="kind")]
