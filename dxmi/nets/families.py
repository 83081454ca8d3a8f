"""The networks of one kind of data, so that a method is written once for points and for images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Generator, nn

from dxmi.nets.mlp import NoiseMLP, StepMLP
from dxmi.nets.residual_mlp import NoiseResidualMLP, ResidualMLP
from dxmi.nets.steps import AtSteps


@runtime_checkable
class Networks(Protocol):
    """Makes the networks of one kind of data; parameters are drawn from the generator."""

    def denoiser(self, generator: Generator) -> nn.Module:
        """A net (x, one number per sample, ln(sigma) / 4) to the shape of x, for EDM preconditioning."""
        ...

    def noise_predictor(self, num_levels: int, generator: Generator) -> nn.Module:
        """A net (x, step index below num_levels, 0 the noisiest) to the shape of x, of a long chain."""
        ...

    def policy(self, num_steps: int, generator: Generator) -> nn.Module:
        """A net (x, step index below num_steps) to the shape of x, 0 before training: a residual step."""
        ...

    def critic(self, num_levels: int, generator: Generator) -> nn.Module:
        """A net (x, step index below num_levels) to [b, 1], for energies, values and discriminators."""
        ...


@dataclass(frozen=True, kw_only=True)
class PointNetworks:
    """Multi-layer perceptrons for vectors.

    Attributes:
        x_period: slowest period of the octaves of x that critics see, in units of the data they are given.
    """

    dim: int
    hidden: int
    depth: int
    x_period: float
    x_octaves: int = 3

    def denoiser(self, generator: Generator) -> nn.Module:
        return NoiseMLP(dim=self.dim, hidden=self.hidden, depth=self.depth, generator=generator)

    def noise_predictor(self, num_levels: int, generator: Generator) -> nn.Module:
        net = NoiseMLP(
            dim=self.dim,
            hidden=self.hidden,
            depth=self.depth,
            generator=generator,
            condition_scale=4.0 / num_levels,
        )
        return AtSteps(net, torch.arange(num_levels - 1, -1, -1.0))

    def policy(self, num_steps: int, generator: Generator) -> nn.Module:
        return StepMLP(
            dim_in=self.dim,
            dim_out=self.dim,
            num_levels=num_steps,
            hidden=self.hidden,
            depth=self.depth,
            generator=generator,
            zero_output=True,
        )

    def critic(self, num_levels: int, generator: Generator) -> nn.Module:
        return StepMLP(
            dim_in=self.dim,
            dim_out=1,
            num_levels=num_levels,
            hidden=self.hidden,
            depth=self.depth,
            generator=generator,
            x_octaves=self.x_octaves,
            x_period=self.x_period,
        )


@dataclass(frozen=True, kw_only=True)
class PixelNetworks:
    """Multi-layer perceptrons for small images, taken as vectors: residual ones but for critics."""

    event_shape: tuple[int, ...]
    hidden: int
    depth: int

    def denoiser(self, generator: Generator) -> nn.Module:
        return NoiseResidualMLP(event_shape=self.event_shape, hidden=self.hidden, depth=self.depth, generator=generator)

    def noise_predictor(self, num_levels: int, generator: Generator) -> nn.Module:
        return ResidualMLP(
            event_shape=self.event_shape,
            output_shape=self.event_shape,
            num_levels=num_levels,
            hidden=self.hidden,
            depth=self.depth,
            generator=generator,
        )

    def policy(self, num_steps: int, generator: Generator) -> nn.Module:
        return self.noise_predictor(num_steps, generator)

    def critic(self, num_levels: int, generator: Generator) -> nn.Module:
        return StepMLP(
            dim_in=math.prod(self.event_shape),
            dim_out=1,
            num_levels=num_levels,
            hidden=self.hidden,
            depth=self.depth,
            generator=generator,
        )


def networks(event_shape: Sequence[int], *, hidden: int, depth: int, data_std: float) -> Networks:
    """The networks for events of this shape.

    Raises:
        ValueError: for events that no networks are here for.
    """
    shape = tuple(event_shape)
    match len(shape):
        case 1:
            return PointNetworks(dim=shape[0], hidden=hidden, depth=depth, x_period=8.0 * data_std)
        case 3:
            return PixelNetworks(event_shape=shape, hidden=hidden, depth=depth)
        case _:
            raise ValueError(
                f"no networks for events of shape {shape}; there are some for vectors, [dim], and images, [C, H, W]"
            )
