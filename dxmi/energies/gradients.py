"""Gradients of an energy by its point, and energies that are trained through theirs."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from dxmi.arrays import PerSample, Points
from dxmi.losses import mean_square

Potential = Callable[[Points], PerSample]


def gradient_of(potential: Potential, x: Points, *, differentiable: bool = False) -> Points:
    """grad V(x), [b, *event], row by row: one forward and one backward pass.

    It can be taken where gradients are switched off. `differentiable` keeps the graph, so that parameters can learn
    through it; attention is then computed by the one kernel whose gradient has a gradient.
    """
    attention = sdpa_kernel(SDPBackend.MATH) if differentiable else nullcontext()
    with torch.enable_grad(), attention:
        x = x.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(potential(x).sum(), x, create_graph=differentiable)
    return gradient


def gradient_matching_loss(potential: Potential, x: Points, target: Points) -> PerSample:
    """||grad V(x) - target||^2 / D, whose least mean is where grad V is the mean of the target given x."""
    return mean_square(gradient_of(potential, x, differentiable=True) - target)
