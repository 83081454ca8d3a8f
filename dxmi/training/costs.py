"""Costs of a sampling step besides the value it reaches."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from dxmi.arrays import PerSample, PerStep, Points, StepIndex
from dxmi.losses import mean_square
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.trajectory import Trajectory


@runtime_checkable
class StepCost(Protocol):
    """Cost of the transition x -> x_next at step k, in units of the energy."""

    def __call__(
        self, x: Points, x_next: Points, k: StepIndex, log_std: PerSample, avr_var: PerSample
    ) -> PerSample: ...


@dataclass(frozen=True, kw_only=True)
class RunningCost:
    """tau_entropy * log pi + tau_velocity * log-density of the auxiliary chain, per dimension (DxMI Eq. 8).

    -tau_entropy log std_k + tau_velocity ||x_{k+1} - x_k||^2 / (2 D s_k^2). The mean over dimensions is that
    of the released code: its tau is D times the paper's tau in Eq. 8. log pi enters by its expectation, the
    negative entropy of the step; its constant cannot move any argmin and is left out. The last `skip_last` of
    `num_steps` steps are free (released configs: `skip_sampler_tau`).
    """

    tau_entropy: float
    tau_velocity: float
    num_steps: int
    skip_last: int = 0

    def __call__(self, x: Points, x_next: Points, k: StepIndex, log_std: PerSample, avr_var: PerSample) -> PerSample:
        velocity = mean_square(x_next - x) / (2.0 * avr_var)
        cost = self.tau_velocity * velocity - self.tau_entropy * log_std
        return cost * (k < self.num_steps - self.skip_last)


@dataclass(frozen=True)
class PathCost:
    """log pi(x_{k+1} | x_k) - log q(x_k | x_{k+1}) in nats, the first by its expectation (DxMI Eq. 8 at temperature 1).

    q is the auxiliary chain, N(x_{k+1}, s_k^2 I). Unlike `RunningCost` it is summed over dimensions and keeps
    constants, so that energy and costs of a chain add up to minus the log of its weight, on average.
    """

    def __call__(self, x: Points, x_next: Points, k: StepIndex, log_std: PerSample, avr_var: PerSample) -> PerSample:
        step = (x_next - x).flatten(1)
        per_dim = 0.5 * avr_var.log() - log_std - 0.5
        return 0.5 * step.square().sum(dim=1) / avr_var + step.shape[1] * per_dim


@dataclass(frozen=True)
class TimeCost:
    """A fixed cost R(k) per step in place of the running cost inside the value target (DxMI Eq. 12)."""

    per_step: PerStep = field(compare=False)

    def __call__(self, x: Points, x_next: Points, k: StepIndex, log_std: PerSample, avr_var: PerSample) -> PerSample:
        return self.per_step.to(x.device)[k]


def no_time_cost(num_steps: int) -> TimeCost:
    return TimeCost(torch.zeros(num_steps))


def linear_time_cost(num_steps: int, *, rate: float = 0.05) -> TimeCost:
    """R(k) = rate (DxMI section 4.2: 0.05)."""
    return TimeCost(torch.full((num_steps,), rate))


def sigmoid_time_cost(num_steps: int) -> TimeCost:
    """R(k) = S(K/2 - k) - S(K/2 - k - 1), S the logistic function (DxMI section 4.2)."""
    k = torch.arange(num_steps, dtype=torch.float64)
    return TimeCost((torch.sigmoid(num_steps / 2 - k) - torch.sigmoid(num_steps / 2 - k - 1)).float())


ValueCostName = Literal["running", "none", "linear", "sigmoid"]
TIME_COSTS: dict[str, Callable[[int], TimeCost]] = {
    "none": no_time_cost,
    "linear": linear_time_cost,
    "sigmoid": sigmoid_time_cost,
}


def value_cost(name: ValueCostName, running: RunningCost) -> StepCost:
    """The cost of that name inside the value target, beside the running cost of the policy."""
    return running if name == "running" else TIME_COSTS[name](running.num_steps)


class VelocityVariance(nn.Module):
    """Adaptive velocity regularisation: an EMA of s_k^2 = E||x_{k+1} - x_k||^2 / D (DxMI App. A).

    Args:
        start: the s_k^2 to begin with, variances in units of the data squared. The paper begins at the policy's own
            std_k^2 (`velocity_of_noise`), the released image settings at a bound of the whole step (`start_velocity`
            of few-step samplers): where a sampler moves farther than its noise, as at a last step that is hardly
            noisy, a start at std_k^2 makes the first policy gradients thousands of times too large.
    """

    var: Tensor

    def __init__(self, start: PerStep, *, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("var", start.detach().clone())

    @torch.no_grad()
    def update(self, observed: PerStep) -> None:
        """Move towards what a batch of chains shows (`observed_velocity`)."""
        self.var.lerp_(observed, 1.0 - self.decay)


def velocity_of_noise(policy: GaussianPolicy) -> PerStep:
    """std_k^2 of every step: what a step moves by its noise alone."""
    return policy.step_log_stds().detach().exp().square()


@torch.no_grad()
def observed_velocity(trajectory: Trajectory) -> PerStep:
    """Mean over chains of ||x_{k+1} - x_k||^2 / D."""
    return torch.stack([mean_square(step).mean() for step in trajectory.states.diff(dim=0)])
