"""Energies of points under noise, and what trains them without samples of a model."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from dxmi.arrays import ClassLabels, PerSample, Points, per_sample
from dxmi.energies.gradients import gradient_of
from dxmi.training.denoising import edm_loss


@runtime_checkable
class NoisyEnergy(Protocol):
    """E(x, sigma), [b], of points under noise, for data of a known std."""

    sigma_data: float

    def __call__(self, x: Points, sigma: PerSample) -> PerSample: ...


ClassEnergy = Callable[..., PerSample]
"""E(x, sigma), [b], of points under noise, conditioned on the class labels of its rows or on none."""


class GradientDenoiser(nn.Module):
    """D(x, sigma) = x - sigma^2 grad E(x, sigma), the denoiser whose score is that of exp(-E) (Tweedie's formula).

    `differentiable` keeps the graph, for training E through it.
    """

    def __init__(self, potential: NoisyEnergy, *, differentiable: bool = False) -> None:
        super().__init__()
        self.potential, self.differentiable = potential, differentiable

    @property
    def sigma_data(self) -> float:
        return self.potential.sigma_data

    def forward(self, x: Points, sigma: PerSample) -> Points:
        slope = gradient_of(lambda points: self.potential(points, sigma), x, differentiable=self.differentiable)
        return x - per_sample(sigma.square(), x) * slope


class GuidedDenoiser(nn.Module):
    """D(x, sigma) - weight sigma^2 grad E(x, sigma): the score of a denoiser with that of exp(-weight E) added.

    Where E is minus the log of a ratio of densities under the noise, of the data over a denoiser's own, weight 1 turns
    the denoiser's score into the data's (discriminator guidance: Kim et al. 2023, arXiv:2211.17091, Eq. 6).
    """

    def __init__(self, denoiser: nn.Module, energy: ClassEnergy, *, weight: float) -> None:
        super().__init__()
        self.denoiser, self.energy, self.weight = denoiser, energy, weight

    def forward(self, x: Points, sigma: PerSample, *labels: ClassLabels) -> Points:
        slope = gradient_of(lambda points: self.energy(points, sigma, *labels), x)
        return self.denoiser(x, sigma, *labels) - per_sample(self.weight * sigma.square(), x) * slope


def score_matching_loss(potential: NoisyEnergy, data: Points, sigma: PerSample, eps: Points) -> PerSample:
    """EDM's denoising loss of the gradient's denoiser, which E is trained through."""
    return edm_loss(GradientDenoiser(potential, differentiable=True), data, sigma, eps)


def classification_loss(
    potential: NoisyEnergy, data: Points, eps: Points, sigmas: Float[Tensor, " levels"]
) -> PerSample:
    """-ln of the share of exp(-E(x, sigma_k)) among all levels, x = data + sigma_k eps, a level k per row in turn.

    The cross-entropy of telling the level that made x, each as likely as another (DiffCLF, arXiv:2601.21025). Its least
    mean fixes the energies at every x up to one function of x, which score matching beside it makes a constant.

    Args:
        sigmas: the levels, [levels].
    """
    count, levels = len(data), len(sigmas)
    made_by = torch.arange(count, device=data.device) % levels
    x = data + per_sample(sigmas[made_by], data) * eps
    energies = potential(x.repeat_interleave(levels, dim=0), sigmas.repeat(count)).reshape(count, levels)
    return F.cross_entropy(-energies, made_by, reduction="none")
