"""The DxMI update: energy step, value steps (DxDP), policy step, velocity variances.

Diffusion by Maximum Entropy Inverse Reinforcement Learning, NeurIPS 2024, arXiv:2407.00626, Algorithms 1 and
2. One rule serves both: a value with or without steps, an energy of its own or shared, a running cost or a time
cost inside the value target are parts handed in, not branches.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dxmi.arrays import Points
from dxmi.costs import StepCost, VelocityVariance
from dxmi.losses import bellman_error, energy_loss
from dxmi.noise import Noise, StreamNoise
from dxmi.optimisers import Trainee
from dxmi.policies import GaussianPolicy
from dxmi.protocols import Value
from dxmi.rollout import rollout
from dxmi.trajectory import Trajectory, Transition

StepGroups = tuple[tuple[int, ...], ...]


def batched_sweep(num_steps: int, first: int = 0) -> StepGroups:
    """Steps first .. K - 1 in one forward pass and one optimiser step."""
    return (tuple(range(first, num_steps)),)


def sequential_sweep(num_steps: int, first: int = 0) -> StepGroups:
    """One optimiser step per step, k = K - 1 first, as Algorithm 1 is written and the released code runs it."""
    return tuple((k,) for k in reversed(range(first, num_steps)))


@dataclass(kw_only=True)
class DxMIUpdate:
    """One iteration of DxMI on a batch of data.

    Attributes:
        policy: the sampler, a GaussianPolicy.
        value: V_k and E in one module (`Value`).
        policy_cost: cost of a step as the policy sees it (Eq. 11).
        value_cost: cost of a step inside the value target (Eq. 10; Eq. 12 for a time cost).
        gamma: weight of the energy's square (section 3.2).
        velocity: the running s_k^2; with decay 1 they stay as they began (no AVR).
        sweep: which steps share one optimiser step of the value, in which order. Each group holds consecutive steps.
        policy_sweep: the same of the policy, None where it is that of the value. Steps that are left out move with the
            shared net only.
    """

    policy: Trainee
    value: Trainee
    policy_cost: StepCost
    value_cost: StepCost
    gamma: float
    velocity: VelocityVariance
    sweep: StepGroups
    policy_sweep: StepGroups | None = None

    def __call__(
        self, data: Points, noise: Noise, policy_noise: StreamNoise, *, start: Points | None = None
    ) -> dict[str, Tensor]:
        """`noise` drives the rollout of len(data) chains, `policy_noise` the K len(data) re-drawn next states.

        Chains begin at `start`, or at N(0, I) where none is given.

        Returns:
            Scalars of the iteration, detached.
        """
        trajectory = rollout(self._policy, noise, start=start)
        scalars = self._energy_step(data, trajectory.samples)
        scalars["value_loss"] = self._value_steps(trajectory)
        scalars |= self._policy_steps(trajectory, policy_noise)
        self.velocity.update(trajectory)
        return scalars

    def evaluate_policy(self, data: Points, noise: Noise) -> dict[str, Tensor]:
        """An iteration of energy and values alone, as a head start before the policy moves.

        A policy led by an untrained value is led away from a good start, and little brings it back.
        """
        trajectory = rollout(self._policy, noise)
        scalars = self._energy_step(data, trajectory.samples)
        scalars["value_loss"] = self._value_steps(trajectory)
        self.velocity.update(trajectory)
        return scalars

    @property
    def _policy(self) -> GaussianPolicy:
        assert isinstance(self.policy.module, GaussianPolicy)
        return self.policy.module

    @property
    def _value(self) -> Value:
        assert isinstance(self.value.module, Value)
        return self.value.module

    def _energy_step(self, data: Points, samples: Points) -> dict[str, Tensor]:
        energies = self._value.energy(torch.cat([data, samples]))
        positive, negative = energies[: len(data)], energies[len(data) :]
        self.value.descend(energy_loss(positive, negative, gamma=self.gamma).mean())
        return {"energy_data": positive.detach().mean(), "energy_samples": negative.detach().mean()}

    def _value_steps(self, trajectory: Trajectory) -> Tensor:
        losses = []
        for steps in self.sweep:
            move = trajectory.transitions(steps)
            values = self._value.value(move.x, move.k)
            # Inside a run of consecutive steps the target V_{k+1}(x_{k+1}) is the next step's own value: only
            # the state behind the run has to be evaluated for its sake.
            with torch.no_grad():
                end = trajectory.transitions(steps[-1:])
                beyond = self._value.value(end.x_next, end.k + 1)
                following = torch.cat([values.detach()[len(beyond) :], beyond])
                target = self._cost(self.value_cost, move, move.x_next) + following
            loss = bellman_error(values, target).mean()
            # Summed over steps, so that each step's value learns as fast as it would alone.
            self.value.descend(loss * len(steps))
            losses.append(loss.detach())
        return torch.stack(losses).mean()

    def _policy_steps(self, trajectory: Trajectory, noise: StreamNoise) -> dict[str, Tensor]:
        # Drawn for all steps before any: one sweep or another, a step meets the same noise.
        eps = noise.normal(0).unflatten(0, (trajectory.num_steps, -1))
        values, costs = [], []
        for steps in self.policy_sweep or self.sweep:
            move = trajectory.transitions(steps)
            x_next = self._policy.draw(move.x, move.k, eps[list(steps)].flatten(0, 1))
            value = self._value.value(x_next, move.k + 1)
            cost = self._cost(self.policy_cost, move, x_next)
            self.policy.descend((value + cost).mean() * len(steps))
            values.append(value.detach().mean())
            costs.append(cost.detach().mean())
        return {"policy_value": torch.stack(values).mean(), "policy_cost": torch.stack(costs).mean()}

    def _cost(self, cost: StepCost, move: Transition, x_next: Points) -> Tensor:
        return cost(move.x, x_next, move.k, self._policy.log_std(move.k), self.velocity.var[move.k])
