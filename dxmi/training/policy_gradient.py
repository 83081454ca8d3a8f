"""Losses of a sampler led by the score-function gradient of a critic (Fan & Lee 2023, arXiv:2301.13362)."""

import torch

from dxmi.arrays import PerSample, Points, StepIndex, per_sample
from dxmi.protocols import Energy
from dxmi.sampling.policies import GaussianPolicy


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


def clipped_loss(log_prob: PerSample, before: PerSample, advantage: PerSample, *, clip: float) -> PerSample:
    """max(rho A, clip(rho, 1 - clip, 1 + clip) A), rho = pi / pi_before and A the advantage of a cost: PPO's loss.

    Schulman et al. 2017, arXiv:1707.06347, Eq. 7, with the sign of a reward turned. Where pi is still what drew the
    transition, its gradient is that of `policy_gradient_loss`; once a step has changed by the clip, it is 0.
    """
    ratio, advantage = (log_prob - before.detach()).exp(), advantage.detach()
    return torch.maximum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def group_relative(cost: PerSample, group: int, *, scaled: bool) -> PerSample:
    """Costs less the mean of their group and, `scaled`, over its std (GRPO: Shao et al. 2024, arXiv:2402.03300).

    Args:
        cost: [b], groups one behind the other.
        group: members of each, of which b is a multiple.
    """
    rows = cost.reshape(-1, group)
    relative = rows - rows.mean(dim=1, keepdim=True)
    return (relative / (rows.std(dim=1, keepdim=True) + 1e-6) if scaled else relative).reshape(-1)


def step_divergence(policy: GaussianPolicy, reference: GaussianPolicy, x: Points, k: StepIndex) -> PerSample:
    """KL(pi(. | x, k) || pi_reference(. | x, k)) in nats, summed over the event (DPOK, arXiv:2305.16381)."""
    with torch.no_grad():
        there, log_std = reference.mean(x, k), reference.log_std(k)
    apart = (policy.mean(x, k) - there).flatten(1)
    log_ratio = policy.log_std(k) - log_std
    spread = apart.shape[1] * (0.5 * (2 * log_ratio).exp() - log_ratio - 0.5)
    return spread + 0.5 * apart.square().sum(dim=1) * (-2 * log_std).exp()
