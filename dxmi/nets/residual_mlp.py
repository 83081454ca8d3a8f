"""Residual multi-layer perceptrons for small images, taken as vectors, conditioned on a step or a noise level."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional

from dxmi.arrays import PerSample, Points, StepIndex
from dxmi.nets.mlp import condition_features, condition_octaves, fourier_features, linear, phase_features


class _ResidualNet(nn.Module):
    """Blocks h <- h + W2 silu(W1 layernorm(h) + W3 features), features of the step beside the flattened x at the input.

    The output layer begins at 0.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        output_shape: Sequence[int],
        num_features: int,
        hidden: int,
        depth: int,
        generator: Generator,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"got depth={depth}; it must be at least 1")
        self.output_shape = tuple(output_shape)
        self.input = linear(math.prod(event_shape) + num_features, hidden, generator)
        self.blocks = nn.ModuleList(_Block(hidden, num_features, generator) for _ in range(depth))
        self.output = linear(hidden, math.prod(output_shape), generator)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def run(self, x: Points, features: Float[Tensor, "b features"]) -> Tensor:
        hidden = self.input(torch.cat([x.flatten(1), features], dim=1))
        for block in self.blocks:
            hidden = block(hidden, features)
        return self.output(functional.silu(hidden)).unflatten(1, self.output_shape)


class ResidualMLP(_ResidualNet):
    """[b, *event] and step indices 0 .. num_levels - 1 to [b, *output].

    Raises:
        ValueError: unless depth >= 1 and num_levels >= 1.
    """

    features: Tensor

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        output_shape: Sequence[int],
        num_levels: int,
        hidden: int,
        depth: int,
        generator: Generator,
        num_frequencies: int = 8,
    ) -> None:
        if num_levels < 1:
            raise ValueError(f"got num_levels={num_levels}; it must be at least 1")
        super().__init__(
            event_shape=event_shape,
            output_shape=output_shape,
            num_features=2 * num_frequencies,
            hidden=hidden,
            depth=depth,
            generator=generator,
        )
        self.num_frequencies = num_frequencies
        self.register_buffer("features", fourier_features(num_levels, num_frequencies), persistent=False)

    def forward(self, x: Points, k: StepIndex) -> Tensor:
        return self.run(x, self.features[k])


class BetweenSteps(nn.Module):
    """A `ResidualMLP` asked at fractional steps, t = num_levels - 1 - k counted from the last step backwards."""

    def __init__(self, net: ResidualMLP) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Points, t: PerSample) -> Tensor:
        last = len(self.net.features) - 1
        return self.net.run(x, phase_features((last - t.double()) / last, self.net.num_frequencies))


class NoiseResidualMLP(_ResidualNet):
    """[b, *event] and one number per sample, or several, to [b, *event]; scale and octaves of them as in `NoiseMLP`.

    Raises:
        ValueError: unless depth >= 1.
    """

    octaves: Tensor

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        hidden: int,
        depth: int,
        generator: Generator,
        condition_scale: float = 1.0,
        num_conditions: int = 1,
        num_frequencies: int = 6,
    ) -> None:
        super().__init__(
            event_shape=event_shape,
            output_shape=event_shape,
            num_features=num_conditions * (1 + 2 * num_frequencies),
            hidden=hidden,
            depth=depth,
            generator=generator,
        )
        self.condition_scale = condition_scale
        self.register_buffer("octaves", condition_octaves(num_frequencies), persistent=False)

    def forward(self, x: Points, *conditions: PerSample) -> Tensor:
        return self.run(x, condition_features([self.condition_scale * c for c in conditions], self.octaves))


class _Block(nn.Module):
    def __init__(self, hidden: int, step_features: int, generator: Generator) -> None:
        super().__init__()
        self.first = linear(hidden, hidden, generator)
        self.step = linear(step_features, hidden, generator)
        self.second = linear(hidden, hidden, generator)

    def forward(self, hidden: Tensor, step: Tensor) -> Tensor:
        normed = functional.layer_norm(hidden, hidden.shape[1:])
        return hidden + self.second(functional.silu(self.first(normed) + self.step(step)))
