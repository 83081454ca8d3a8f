"""The networks of one kind of data, so that a method is written once for points and for images."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Generator, nn

from dxmi.nets.mlp import NoiseMLP, StepMLP


@runtime_checkable
class Networks(Protocol):
    """Makes the networks of one kind of data; parameters are drawn from the generator."""

    def denoiser(self, generator: Generator, *, condition_scale: float = 1.0) -> nn.Module:
        """A net (x, one number per sample) to the shape of x, for EDM preconditioning or noise prediction."""
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

    def denoiser(self, generator: Generator, *, condition_scale: float = 1.0) -> nn.Module:
        return NoiseMLP(
            dim=self.dim, hidden=self.hidden, depth=self.depth, generator=generator, condition_scale=condition_scale
        )

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


def networks(event_shape: tuple[int, ...], *, hidden: int, depth: int, data_std: float) -> Networks:
    """The networks for events of this shape.

    Raises:
        ValueError: for events that no networks are here for.
    """
    if len(event_shape) != 1:
        raise ValueError(f"no networks for events of shape {event_shape}; there are some for vectors, [dim]")
    return PointNetworks(dim=event_shape[0], hidden=hidden, depth=depth, x_period=8.0 * data_std)
