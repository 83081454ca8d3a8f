"""Step-conditioned multi-layer perceptron for points in the plane and other small vectors."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from dxmi.arrays import Points, StepIndex


def fourier_features(num_levels: int, num_frequencies: int) -> Float[Tensor, "levels features"]:
    """cos and sin of octaves of k / (num_levels - 1), one row per step index k."""
    phase = torch.linspace(0.0, 1.0, num_levels, dtype=torch.float64) if num_levels > 1 else torch.zeros(1)
    return phase_features(phase, num_frequencies)


def phase_features(phase: Float[Tensor, " b"], num_frequencies: int) -> Float[Tensor, "b features"]:
    """cos and sin of octaves of pi times each phase, computed in float64, as float32."""
    octaves = 2.0 ** torch.arange(num_frequencies, dtype=torch.float64, device=phase.device)
    angle = phase.double()[:, None] * math.pi * octaves
    return torch.cat([angle.cos(), angle.sin()], dim=1).float()


def unrounded(layer: nn.Linear, x: Float[Tensor, " b _"]) -> Float[Tensor, " b _"]:
    """A last layer in the precision of its weights, also under autocast: energies of 8 bits would tie."""
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.to(layer.weight.dtype))


class StepMLP(nn.Module):
    """[b, *event] of `dim_in` entries and step indices 0 .. num_levels - 1 to [b, dim_out].

    Step features beside the flattened x at the input; ReLU, or another `activation`.

    With `x_octaves` > 0 the net also sees cos and sin of each coordinate at that many octaves, the slowest of
    period `x_period`: it then learns an energy with narrow modes sooner (Tancik et al. 2020, arXiv:2006.10739).

    Raises:
        ValueError: unless depth >= 1 and num_levels >= 1.
    """

    features: Tensor
    angular: Tensor

    def __init__(
        self,
        *,
        dim_in: int,
        dim_out: int,
        num_levels: int,
        hidden: int,
        depth: int,
        generator: Generator,
        zero_output: bool = False,
        num_frequencies: int = 6,
        x_octaves: int = 0,
        x_period: float = 16.0,
        activation: Callable[[Tensor], Tensor] = F.relu,
    ) -> None:
        super().__init__()
        if depth < 1 or num_levels < 1:
            raise ValueError(f"got depth={depth}, num_levels={num_levels}; both must be at least 1")
        self.activation = activation
        self.register_buffer("features", fourier_features(num_levels, num_frequencies), persistent=False)
        angular = 2.0 * math.pi / x_period * 2.0 ** torch.arange(x_octaves)
        self.register_buffer("angular", angular, persistent=False)
        widths = [dim_in * (1 + 2 * x_octaves) + 2 * num_frequencies] + [hidden] * depth
        self.hidden = nn.ModuleList(linear(a, b, generator) for a, b in pairwise(widths))
        self.output = linear(hidden, dim_out, generator)
        if zero_output:
            nn.init.zeros_(self.output.weight)
            nn.init.zeros_(self.output.bias)

    def forward(self, x: Points, k: StepIndex) -> Float[Tensor, " b dim_out"]:
        x = x.flatten(1)
        angle = (x[:, :, None] * self.angular).flatten(1)
        hidden = torch.cat([x, angle.cos(), angle.sin(), self.features[k]], dim=1)
        for layer in self.hidden:
            hidden = self.activation(layer(hidden))
        return unrounded(self.output, hidden)


class NoiseMLP(nn.Module):
    """[b, dim] and one number per sample, or several, to [b, dim] or [b, dim_out]; ReLU, or another `activation`.

    The cos and sin of the numbers stand beside x at the input.

    A number, such as a noise level in a log clock or a step of a long chain, is multiplied by `condition_scale`, which
    is to bring it to a range of at most 4; beside it the net sees its octaves from period 8 down.

    Raises:
        ValueError: unless depth >= 1.
    """

    octaves: Tensor

    def __init__(
        self,
        *,
        dim: int,
        hidden: int,
        depth: int,
        generator: Generator,
        dim_out: int | None = None,
        condition_scale: float = 1.0,
        num_conditions: int = 1,
        num_frequencies: int = 6,
        activation: Callable[[Tensor], Tensor] = F.relu,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"got depth={depth}; it must be at least 1")
        self.condition_scale, self.activation = condition_scale, activation
        self.register_buffer("octaves", condition_octaves(num_frequencies), persistent=False)
        widths = [dim + num_conditions * (1 + 2 * num_frequencies)] + [hidden] * depth
        self.hidden = nn.ModuleList(linear(a, b, generator) for a, b in pairwise(widths))
        self.output = linear(hidden, dim if dim_out is None else dim_out, generator)

    def forward(self, x: Float[Tensor, " b dim"], *conditions: Float[Tensor, " b"]) -> Float[Tensor, " b dim_out"]:
        numbers = [self.condition_scale * condition for condition in conditions]
        hidden = torch.cat([x, condition_features(numbers, self.octaves)], dim=1)
        for layer in self.hidden:
            hidden = self.activation(layer(hidden))
        return self.output(hidden)


def condition_octaves(num_frequencies: int) -> Float[Tensor, " frequencies"]:
    """Angular frequencies of periods 8, 4, 2, ..."""
    return math.pi / 4 * 2.0 ** torch.arange(num_frequencies)


def condition_features(
    numbers: Sequence[Float[Tensor, " b"]], octaves: Float[Tensor, " frequencies"]
) -> Float[Tensor, "b features"]:
    """Each number with the cos and sin of its octaves."""
    angles = [number[:, None] * octaves for number in numbers]
    parts = [(number[:, None], angle.cos(), angle.sin()) for number, angle in zip(numbers, angles, strict=True)]
    return torch.cat([part for of_number in parts for part in of_number], dim=1)


def linear(fan_in: int, fan_out: int, generator: Generator) -> nn.Linear:
    """nn.Linear with torch's default law, U(-1/sqrt(fan_in), 1/sqrt(fan_in)), drawn from `generator`."""
    layer = skip_init(nn.Linear, fan_in, fan_out)
    assert isinstance(layer, nn.Linear)
    bound = 1.0 / math.sqrt(fan_in)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


class Unconditional(nn.Module):
    """A step-conditioned net of one level as a function of the point alone."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Points) -> Float[Tensor, " b *out"]:
        return self.net(x, x.new_zeros(len(x), dtype=torch.int64))
