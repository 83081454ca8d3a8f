"""Layouts of the networks that energies, values and discriminators are made of.

All give [b, 1]; parameters are drawn from the generator.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Generator, nn

from dxmi.nets.critics import ConvCritic, StepValue
from dxmi.nets.energy_resnet import EnergyResNet
from dxmi.nets.families import is_image
from dxmi.nets.mlp import StepMLP, Unconditional
from dxmi.nets.precision import PRECISIONS, Precision


@dataclass(frozen=True, kw_only=True)
class Critic(ABC):
    """The layout of a network of points, or of points and steps."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    @abstractmethod
    def net(
        self, event_shape: Sequence[int], *, num_levels: int | None, data_std: float, generator: Generator
    ) -> nn.Module:
        """A net (x, step index below num_levels), or x alone for None, of data of this std.

        Raises:
            ValueError: for events or steps that it has no layers for.
        """


@dataclass(frozen=True, kw_only=True)
class MLPCritic(Critic):
    """A multi-layer perceptron of the flattened point.

    Attributes:
        octaves: of cos and sin of each coordinate that it also sees where points are vectors; none of images.
        period: of the slowest octave; None for eight std of the data.
    """

    kind: Literal["mlp"] = "mlp"
    hidden: PositiveInt = 128
    depth: PositiveInt = 3
    octaves: NonNegativeInt = 3
    period: PositiveFloat | None = None

    def net(
        self, event_shape: Sequence[int], *, num_levels: int | None, data_std: float, generator: Generator
    ) -> nn.Module:
        net = StepMLP(
            dim_in=math.prod(event_shape),
            dim_out=1,
            num_levels=num_levels or 1,
            hidden=self.hidden,
            depth=self.depth,
            generator=generator,
            x_octaves=0 if is_image(event_shape) else self.octaves,
            x_period=self.period or 8.0 * data_std,
        )
        return Unconditional(net) if num_levels is None else net


@dataclass(frozen=True, kw_only=True)
class ResNetCritic(Critic):
    """DxMI's energy net of images (`EnergyResNet`), which takes no step.

    Attributes:
        precision: of the network's inside where the run does not say one.
    """

    kind: Literal["resnet"] = "resnet"
    width: PositiveInt = 128
    precision: Precision = "float32"

    def net(
        self, event_shape: Sequence[int], *, num_levels: int | None, data_std: float, generator: Generator
    ) -> nn.Module:
        if num_levels is not None:
            raise ValueError("an energy net of images takes no step; set value=time_independent, or kind=mlp")
        return EnergyResNet(
            generator=generator,
            in_channels=event_shape[0],
            width=self.width,
            precision=PRECISIONS[self.precision],
        )


@dataclass(frozen=True, kw_only=True)
class ConvolutionCritic(Critic):
    """SFT-PG's critic of images and, with steps, its value."""

    kind: Literal["conv"] = "conv"
    width: PositiveInt = 128

    def net(
        self, event_shape: Sequence[int], *, num_levels: int | None, data_std: float, generator: Generator
    ) -> nn.Module:
        if num_levels is None:
            return ConvCritic(event_shape, generator=generator, width=self.width)
        return StepValue(event_shape, num_levels=num_levels, generator=generator)


AnyCritic = Annotated[MLPCritic | ResNetCritic | ConvolutionCritic, Field(discriminator="kind")]
