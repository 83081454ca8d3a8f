"""Critic and value of SFT-PG on images (Fan & Lee 2023, arXiv:2301.13362, released networks of CIFAR-10).

Weights begin uniform where the released ones begin normal, of the same variance, and biases at 0.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from dxmi.arrays import Points, StepIndex
from dxmi.nets.layers import DDPM_INITIALISER, Initialiser, Layers

HE_INITIALISER = Initialiser(bound=lambda fan_in, fan_out: math.sqrt(6.0 / fan_in), draws_bias=False, branch_end=1.0)


class ConvCritic(nn.Module):
    """[b, c, h, w] to [b, 1]: three 4x4 convolutions that halve the size, then one without padding, and its mean.

    2,636,673 parameters for three channels at width 128. The last one is 4x4, or as large as what is left of images of
    fewer than 32 pixels a side: 3x3 for 28.

    Raises:
        ValueError: for images of fewer than 8 pixels a side.
    """

    def __init__(self, event_shape: Sequence[int], *, generator: Generator, width: int = 128) -> None:
        super().__init__()
        channels, *sides = event_shape
        if min(sides) < 8:
            raise ValueError(f"the critic halves images three times and takes sides from 8 on, got {tuple(sides)}")
        layers, widths = Layers(HE_INITIALISER, generator), (channels, width, 2 * width, 4 * width)
        self.convs = nn.ModuleList(layers.conv(cin, cout, 4, padding=1, stride=2) for cin, cout in pairwise(widths))
        self.head = layers.conv(widths[-1], 1, min(4, min(sides) // 8), padding=0)

    def forward(self, x: Points) -> Float[Tensor, " b 1"]:
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.2)
        return self.head(x).mean(dim=(2, 3))


class GatedLinear(nn.Module):
    """A dense layer whose outputs are multiplied by a learned vector of the step, uniform on [0, 1] at first."""

    def __init__(self, layers: Layers, cin: int, cout: int, *, num_levels: int) -> None:
        super().__init__()
        self.dense = layers.linear(cin, cout)
        gates = torch.empty(num_levels, cout)
        if not gates.is_meta:
            gates.uniform_(generator=layers.generator)
        self.gate = nn.Embedding.from_pretrained(gates, freeze=False)

    def forward(self, x: Float[Tensor, " b cin"], k: StepIndex) -> Float[Tensor, " b cout"]:
        return self.gate(k) * self.dense(x)


class StepValue(nn.Module):
    """(x, step index below num_levels) to [b, 1]: three gated dense layers of 1024, 1024 and 256, and a plain one.

    4,482,049 parameters for 3 x 32 x 32 and ten levels.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        num_levels: int,
        generator: Generator,
        widths: Sequence[int] = (1024, 1024, 256),
    ) -> None:
        super().__init__()
        layers, sizes = Layers(DDPM_INITIALISER, generator), (math.prod(event_shape), *widths)
        self.layers = nn.ModuleList(
            GatedLinear(layers, cin, cout, num_levels=num_levels) for cin, cout in pairwise(sizes)
        )
        self.head = layers.linear(sizes[-1], 1)

    def forward(self, x: Points, k: StepIndex) -> Float[Tensor, " b 1"]:
        hidden = x.flatten(1)
        for layer in self.layers:
            hidden = F.relu(layer(hidden, k))
        return self.head(hidden)
