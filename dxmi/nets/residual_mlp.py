"""Step-conditioned residual multi-layer perceptron for small images, taken as vectors."""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from dxmi.arrays import Points, StepIndex
from dxmi.nets.mlp import fourier_features, linear


class ResidualMLP(nn.Module):
    """[b, *event] and step indices 0 .. num_levels - 1 to [b, *output].

    Blocks h <- h + W2 silu(W1 layernorm(h) + features of k); the output layer begins at 0.

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
        super().__init__()
        if depth < 1 or num_levels < 1:
            raise ValueError(f"got depth={depth}, num_levels={num_levels}; both must be at least 1")
        self.output_shape = tuple(output_shape)
        features = fourier_features(num_levels, num_frequencies)
        self.register_buffer("features", features, persistent=False)
        self.input = linear(math.prod(event_shape) + features.shape[1], hidden, generator)
        self.blocks = nn.ModuleList(_Block(hidden, features.shape[1], generator) for _ in range(depth))
        self.output = linear(hidden, math.prod(output_shape), generator)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, x: Points, k: StepIndex) -> Tensor:
        step = self.features[k]
        hidden = self.input(torch.cat([x.flatten(1), step], dim=1))
        for block in self.blocks:
            hidden = block(hidden, step)
        return self.output(functional.silu(hidden)).unflatten(1, self.output_shape)


class _Block(nn.Module):
    def __init__(self, hidden: int, step_features: int, generator: Generator) -> None:
        super().__init__()
        self.first = linear(hidden, hidden, generator)
        self.step = linear(step_features, hidden, generator)
        self.second = linear(hidden, hidden, generator)

    def forward(self, hidden: Tensor, step: Tensor) -> Tensor:
        normed = functional.layer_norm(hidden, hidden.shape[1:])
        return hidden + self.second(functional.silu(self.first(normed) + self.step(step)))


class Strided(nn.Module):
    """A net of a long chain as the net of the shorter one that visits only `steps` of it."""

    steps: Tensor

    def __init__(self, net: nn.Module, steps: Sequence[int]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("steps", torch.tensor(list(steps)), persistent=False)

    def forward(self, x: Points, k: StepIndex) -> Tensor:
        return self.net(x, self.steps[k])
