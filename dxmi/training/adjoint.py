r"""Adjoint matching (Domingo-Enrich et al. 2024, arXiv:2409.08861) for samplers of a few Gaussian steps.

A policy N(m_k(x_k), s_k^2 I) departs from a start N(b_k(x_k), sigma_k^2 I) to lower a cost of its samples:

    J = E[E(x_K)] + temperature KL(policy's chains || start's chains).

With V_k its cost-to-go, the best step minimises E[V_{k+1}(m + s z)] + temperature (||m - b||^2 + D (s^2 - sigma^2
ln s^2)) / (2 sigma^2) over m and s, so that m - b = -(sigma^2 / temperature) E[grad V_{k+1}(x_{k+1}) | x_k]. By the
envelope theorem grad V_k = J_b^T E[grad V_{k+1} | x_k], J_b the Jacobian of the start's mean alone: that of the
policy, and the penalty's own slope, cancel at the optimum. Hence the lean adjoint (the source's is its
limit of many steps),

    a_K = grad E(x_K),    a_k = J_b(x_k, k)^T a_{k+1},

whose mean given x_k is grad V_k(x_k) wherever the policy is the best one, and the regression of m - b on it. For a
chain of given length this holds as it stands; no step size has to be small.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dxmi.arrays import PerSample, PerStep, Points, StepIndex, per_sample
from dxmi.sampling.noise import Noise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.trajectory import Trajectory

PerStepAndChain = Float[Tensor, " K b *event"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalRollout:
    """Chains whose steps each keep the graph of their own mean and of no other.

    Attributes:
        means: m_k(x_k), [K, b, *event], differentiable by the policy's parameters with x_k held.
        eps: the noise of each step, [K, b, *event].
    """

    chains: Trajectory
    means: PerStepAndChain
    eps: PerStepAndChain


def local_rollout(policy: GaussianPolicy, noise: Noise) -> LocalRollout:
    """Draw chains and keep what a regression of every step needs, at one pass of the network per step."""
    states, means, eps = [policy.start(noise.normal(0))], [], []
    stds = policy.step_log_stds().detach().exp()
    for step in range(policy.num_steps):
        means.append(policy.mean(states[-1], _index(states[-1], step)))
        eps.append(noise.normal(step + 1))
        states.append(means[-1].detach() + stds[step] * eps[-1])
    return LocalRollout(chains=Trajectory(states=torch.stack(states)), means=torch.stack(means), eps=torch.stack(eps))


def replayed_rollout(policy: GaussianPolicy, chains: Trajectory) -> LocalRollout:
    """Chains of another law as the policy's own: its means there, and the noise by which it would have moved so."""
    move = chains.transitions(tuple(range(chains.num_steps)))
    mean = policy.mean(move.x, move.k)
    eps = (move.x_next - mean.detach()) / per_sample(policy.log_std(move.k).detach().exp(), mean)
    shape = chains.states[1:].shape
    return LocalRollout(chains=chains, means=mean.reshape(shape), eps=eps.reshape(shape))


def lean_adjoint(start: GaussianPolicy, chains: Trajectory, end: Points) -> tuple[PerStepAndChain, PerStepAndChain]:
    """a_1 ... a_K along the chains of a policy, and the start's means b_0 ... b_{K-1} at their states.

    One step at a time, so that no more than one graph of the start's network is in memory; a_0 is nobody's target.

    Args:
        end: a_K, the cost's gradient at the samples, [b, *event].
    """
    adjoint, means = [end], []
    for step in reversed(range(chains.num_steps)):
        x = chains.states[step].detach().requires_grad_(step > 0)
        with torch.enable_grad():
            mean = start.mean(x, _index(x, step))
        means.append(mean.detach())
        if step > 0:
            adjoint.append(*torch.autograd.grad(mean, x, adjoint[-1]))
    return torch.stack(adjoint[::-1]), torch.stack(means[::-1])


def adjoint_matching_loss(
    rollout: LocalRollout,
    log_std: PerStep,
    *,
    adjoint: PerStepAndChain,
    start_means: PerStepAndChain,
    start_log_std: PerStep,
    temperature: float,
    weights: PerStep | None = None,
) -> PerSample:
    """sum_k w_k temperature / 2 ||(m_k - b_k) / sigma_k + sigma_k a_{k+1} / temperature||^2, and the same of s_k.

    The first term is the source's loss in units of the energy: its gradient is
    a_{k+1} + temperature (m_k - b_k) / sigma_k^2, of the same size as one through the chain. The second has the
    gradient of J by ln s_k, a_{k+1} . s_k z + temperature D (s_k^2 / sigma_k^2 - 1). The source has no such term: in
    continuous time the noise of a process cannot change at a finite divergence.

    Args:
        log_std: ln s_k of the policy; held stds have no gradient.
        adjoint, start_means: of `lean_adjoint`.
        start_log_std: ln sigma_k of the start.
        weights: w_k of the first term, 1 where none are given; they move no minimum of a policy that has it.
    """
    std, start_std = (_per_step(log.exp(), adjoint) for log in (log_std, start_log_std.detach()))
    control = (rollout.means - start_means) / start_std + start_std * adjoint / temperature
    spread = 0.5 * (std / start_std).square() - std.log()
    weighted = control.square() if weights is None else _per_step(weights, adjoint) * control.square()
    cost = 0.5 * temperature * weighted + adjoint * std * rollout.eps + temperature * spread
    return cost.transpose(0, 1).flatten(1).sum(dim=1)


class RandomWalk(GaussianPolicy):
    """x_{k+1} = x_k + std_k eps from N(0, start_std^2 I): the start of a sampler from scratch, without a net."""

    def __init__(self, std: PerStep, *, event_shape: tuple[int, ...], start_std: float) -> None:
        ones, held = torch.ones(len(std)), [False] * len(std)
        super().__init__(
            nn.Identity(),
            event_shape=event_shape,
            scale=ones,
            gain=torch.zeros(len(std)),
            std=std,
            trainable_std=held,
            start_std=start_std,
        )

    def mean(self, x: Points, k: StepIndex, given: Tensor | None = None) -> Points:
        return per_sample(self.scale[k], x) * x


def _index(x: Points, step: int) -> StepIndex:
    return x.new_full((len(x),), step, dtype=torch.int64)


def _per_step(values: PerStep, like: PerStepAndChain) -> Tensor:
    return values.reshape(-1, *[1] * (like.dim() - 1))
