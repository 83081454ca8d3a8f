"""Losses of a sampler led by the score-function gradient of a critic (Fan & Lee 2023, arXiv:2301.13362)."""

import torch

from dxmi.arrays import PerSample, Points, per_sample
from dxmi.protocols import Energy


def critic_loss(critic: Energy, data: Points, fake: Points, mix: PerSample, *, penalty: float) -> PerSample:
    """f(data) - f(fake) + penalty (||grad f|| - 1)^2 between the two (WGAN-GP, Eq. 3), `mix` the place between."""
    share = per_sample(mix, data)
    between = (share * data + (1 - share) * fake).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic.energy(between).sum(), between, create_graph=True)
    slope = gradient.flatten(1).norm(dim=1)
    return critic.energy(data) - critic.energy(fake) + penalty * (slope - 1).square()


def policy_gradient_loss(log_prob: PerSample, advantage: PerSample) -> PerSample:
    """advantage log pi: its gradient is the score-function estimate of grad E[f]; rows are transitions."""
    return advantage.detach() * log_prob


def centred(advantage: PerSample) -> PerSample:
    """Less its mean: a constant baseline, which takes away noise and, but for 1 / rows, nothing else."""
    return advantage - advantage.mean()
