"""Multi-layer perceptrons of vectors [dim] and of small images [C, H, W], so that a method is written once for both.

Parameters are drawn from the generator.
"""

from collections.abc import Sequence

import torch
from torch import Generator, nn

from dxmi.nets.mlp import NoiseMLP
from dxmi.nets.residual_mlp import NoiseResidualMLP, ResidualMLP
from dxmi.nets.steps import AtSteps


def denoising_net(
    event_shape: Sequence[int],
    *,
    hidden: int,
    depth: int,
    generator: Generator,
    condition_scale: float = 1.0,
    num_conditions: int = 1,
    num_frequencies: int = 6,
) -> nn.Module:
    """A net (x, one number per sample or several) to the shape of x: ln(sigma) / 4 for EDM, times for flows.

    Raises:
        ValueError: for events that are neither vectors nor images.
    """
    if is_image(event_shape):
        return NoiseResidualMLP(
            event_shape=tuple(event_shape),
            hidden=hidden,
            depth=depth,
            generator=generator,
            condition_scale=condition_scale,
            num_conditions=num_conditions,
            num_frequencies=num_frequencies,
        )
    return NoiseMLP(
        dim=event_shape[0],
        hidden=hidden,
        depth=depth,
        generator=generator,
        condition_scale=condition_scale,
        num_conditions=num_conditions,
        num_frequencies=num_frequencies,
    )


def noise_predictor(
    event_shape: Sequence[int], num_levels: int, *, hidden: int, depth: int, generator: Generator
) -> nn.Module:
    """A net (x, step index below num_levels, 0 the noisiest) to the shape of x, of a long chain.

    Raises:
        ValueError: for events that are neither vectors nor images.
    """
    if is_image(event_shape):
        shape = tuple(event_shape)
        return ResidualMLP(
            event_shape=shape,
            output_shape=shape,
            num_levels=num_levels,
            hidden=hidden,
            depth=depth,
            generator=generator,
        )
    net = NoiseMLP(
        dim=event_shape[0], hidden=hidden, depth=depth, generator=generator, condition_scale=4.0 / num_levels
    )
    return AtSteps(net, torch.arange(num_levels - 1, -1, -1.0))


def is_image(event_shape: Sequence[int]) -> bool:
    """True where events are images [C, H, W] and not vectors [dim].

    Raises:
        ValueError: if they are neither.
    """
    if len(event_shape) not in (1, 3):
        raise ValueError(
            f"no networks for events of shape {tuple(event_shape)}; there are some for vectors, [dim], "
            "and images, [C, H, W]"
        )
    return len(event_shape) == 3
