"""The DxMI update: energy step, value steps (DxDP), policy step, velocity variances.

Diffusion by Maximum Entropy Inverse Reinforcement Learning, NeurIPS 2024, arXiv:2407.00626, Algorithms 1 and
2. One rule serves both: a value with or without steps, an energy of its own or shared, a running cost or a time
cost inside the value target are parts handed in, not branches.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dxmi.algorithms.sweeps import PolicySweep, StepGroups
from dxmi.arrays import ClassLabels, Points
from dxmi.losses import bellman_error, energy_loss
from dxmi.nets.dropout import dropping
from dxmi.protocols import Value
from dxmi.sampling.noise import Noise, NoiseOfRows, StreamNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.rollouts import rollout
from dxmi.sampling.trajectory import Trajectory, Transition
from dxmi.training.costs import StepCost, VelocityVariance, observed_velocity
from dxmi.training.optimisers import OptimizedModule
from dxmi.training.parallel import Parallel


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """This process's rows of a batch of `size` chains."""

    size: int
    chains: Trajectory


@dataclass(kw_only=True)
class _DynamicProgramming:
    """Value steps and policy steps (DxDP), spread as the policy's `OptimizedModule.parallel` says.

    Attributes:
        policy: the sampler, a GaussianPolicy.
        value: V_k and E in one module (`Value`).
        policy_cost: cost of a step as the policy sees it (Eq. 11).
        value_cost: cost of a step inside the value target (Eq. 10; Eq. 12 for a time cost).
        velocity: the running s_k^2; with decay 1 they stay as they began (no AVR).
        sweep: which steps share one optimiser step of the value, in which order.
        policy_sweep: the same of the policy, None where it is that of the value. Steps that are left out move with the
            shared net only.
        td_max_grad_norm: the largest gradient norm of a value (TD) step. The energy step, which shares the optimiser,
            is never clipped: an energy gradient far above this norm would be cut to the size of a single TD step.
    """

    policy: OptimizedModule
    value: OptimizedModule
    policy_cost: StepCost
    value_cost: StepCost
    velocity: VelocityVariance
    sweep: StepGroups
    policy_sweep: PolicySweep | None = None
    td_max_grad_norm: float | None = None

    @property
    def _policy(self) -> GaussianPolicy:
        assert isinstance(self.policy.module, GaussianPolicy)
        return self.policy.module

    @property
    def _value(self) -> Value:
        assert isinstance(self.value.module, Value)
        return self.value.module

    @property
    def _parallel(self) -> Parallel:
        return self.policy.parallel

    def _roll_out(self, size: int, noise: Noise, start: Points | None, labels: ClassLabels | None) -> _Batch:
        mine = self._parallel.rows(size)
        with self._parallel.autocast():
            chains = rollout(
                self._policy,
                NoiseOfRows(noise=noise, rows=mine),
                start=None if start is None else start[mine],
                labels=None if labels is None else labels[mine],
            )
        return _Batch(size=size, chains=chains)

    def _value_steps(self, batch: _Batch) -> dict[str, Tensor]:
        losses = []
        learner = self.value.clipped(self.td_max_grad_norm)
        for steps in self.sweep:

            def means(rows: slice, steps: tuple[int, ...] = steps) -> tuple[Tensor, ...]:
                chains = batch.chains.chains(rows)
                move, end = chains.transitions(steps), chains.transitions(steps[-1:])
                values = self._value.value(move.x, move.k)
                # Inside a run of consecutive steps the target V_{k+1}(x_{k+1}) is the next step's own value: only
                # the state behind the run has to be evaluated for its sake.
                with torch.no_grad():
                    beyond = self._value.value(end.x_next, end.k + 1)
                    following = torch.cat([values.detach()[len(beyond) :], beyond])
                    target = self._cost(self.value_cost, move, move.x_next) + following
                loss = bellman_error(values, target).mean()
                # Summed over steps, so that each step's value learns as fast as it would alone.
                return loss * len(steps), loss

            losses.append(learner.accumulated_step(batch.size, means)[1])
        return {"value_loss": torch.stack(losses).mean()}

    def _policy_steps(
        self, batch: _Batch, sweep: list[Int[Tensor, " s b"]], eps: Float[Tensor, " K b *noise"]
    ) -> dict[str, Tensor]:
        chain = torch.arange(batch.chains.states.shape[1], device=eps.device)
        values, costs = [], []
        for steps in sweep:

            def means(rows: slice, steps: Int[Tensor, " s b"] = steps) -> tuple[Tensor, ...]:
                steps = steps[:, rows]
                move = batch.chains.chains(rows).at(steps)
                x_next = self._policy.draw(move.x, move.k, eps[steps, chain[rows]].flatten(0, 1), move.labels)
                value = self._value.value(x_next, move.k + 1)
                cost = self._cost(self.policy_cost, move, x_next)
                return (value + cost).mean() * len(steps), value.mean(), cost.mean()

            _, value, cost = self.policy.accumulated_step(batch.size, means)
            values.append(value)
            costs.append(cost)
        return {"policy_value": torch.stack(values).mean(), "policy_cost": torch.stack(costs).mean()}

    def _finish(self, batch: _Batch, scalars: dict[str, Tensor]) -> dict[str, Tensor]:
        """Velocities follow the whole batch, and scalars are of it."""
        velocity = observed_velocity(batch.chains) * (batch.chains.states.shape[1] / batch.size)
        self._parallel.sum([velocity, *scalars.values()])
        self.velocity.update(velocity)
        return scalars

    def _cost(self, cost: StepCost, move: Transition, x_next: Points) -> Tensor:
        return cost(move.x, x_next, move.k, self._policy.log_std(move.k), self.velocity.var[move.k])


@dataclass(kw_only=True)
class DxMIUpdate(_DynamicProgramming):
    """One iteration of DxMI on a batch of data: an energy step, then DxDP.

    Attributes:
        gamma: weight of the energy's square (section 3.2).
    """

    gamma: float

    def __call__(
        self,
        data: Points,
        noise: Noise,
        policy_noise: StreamNoise,
        *,
        start: Points | None = None,
        labels: ClassLabels | None = None,
    ) -> dict[str, Tensor]:
        """`noise` drives the rollout of len(data) chains, `policy_noise` the K len(data) re-drawn next states.

        Chains begin at `start`, or at the policy's own where none is given; `labels` are their classes, if any.

        Returns:
            Scalars of the iteration, detached: means over the whole batch, also where it is spread over processes.
        """
        batch = self._roll_out(len(data), noise, start, labels)
        # Drawn for all steps before any: one sweep or another, a step meets the same noise.
        mine = self._parallel.rows(batch.size)
        eps = policy_noise.normal(0).unflatten(0, (batch.chains.num_steps, -1))[:, mine]
        sweep = self.policy_sweep or self.sweep
        steps = [part[:, mine] for part in sweep.steps(batch.size, policy_noise.generator)]
        scalars = self._energy_step(batch, data) | self._value_steps(batch)
        # Released: dropout in the policy's steps, none where chains are rolled out.
        with dropping(self._policy, policy_noise.generator, offset=mine.start):
            scalars |= self._policy_steps(batch, steps, eps)
        return self._finish(batch, scalars)

    def evaluate_policy(
        self, data: Points, noise: Noise, *, start: Points | None = None, labels: ClassLabels | None = None
    ) -> dict[str, Tensor]:
        """An iteration of energy and values alone, as a head start before the policy moves.

        A policy led by an untrained value is led away from a good start, and little brings it back.
        """
        batch = self._roll_out(len(data), noise, start, labels)
        return self._finish(batch, self._energy_step(batch, data) | self._value_steps(batch))

    def _energy_step(self, batch: _Batch, data: Points) -> dict[str, Tensor]:
        mine = data[self._parallel.rows(batch.size)]

        def means(rows: slice) -> tuple[Tensor, ...]:
            real, samples = mine[rows], batch.chains.samples[rows]
            energies = self._value.energy(torch.cat([real, samples]))
            positive, negative = energies[: len(real)], energies[len(real) :]
            return energy_loss(positive, negative, gamma=self.gamma).mean(), positive.mean(), negative.mean()

        _, positive, negative = self.value.accumulated_step(batch.size, means)
        return {"energy_data": positive, "energy_samples": negative}


@dataclass(kw_only=True)
class DxDPUpdate(_DynamicProgramming):
    """One iteration of DxDP alone: the energy, V_K, is given and fixed (section 4), and there are no data."""

    def __call__(self, noise: StreamNoise, policy_noise: StreamNoise) -> dict[str, Tensor]:
        """`noise` drives the rollout of its `batch_size` chains, `policy_noise` the K times as many re-drawn states.

        Returns:
            Scalars of the iteration, detached: means over the whole batch.
        """
        batch = self._roll_out(noise.batch_size, noise, None, None)
        mine = self._parallel.rows(batch.size)
        eps = policy_noise.normal(0).unflatten(0, (batch.chains.num_steps, -1))[:, mine]
        sweep = self.policy_sweep or self.sweep
        steps = [part[:, mine] for part in sweep.steps(batch.size, policy_noise.generator)]
        scalars = self._value_steps(batch) | self._policy_steps(batch, steps, eps)
        return self._finish(batch, scalars)
