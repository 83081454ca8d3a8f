"""Sampler and values under training by the DxMI update: optimisers, velocity variances, averaged weights, a head start.

What a method puts its data, noise and configuration into; the update itself is `dxmi.algorithms.dxmi`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from torch import Tensor, nn

from dxmi.algorithms.dxmi import DxMIUpdate
from dxmi.algorithms.sweeps import PolicySweep, StepGroups
from dxmi.arrays import ClassLabels, PerStep, Points
from dxmi.energies.values import ValueNet
from dxmi.sampling.noise import Noise, StreamNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.training.costs import StepCost, VelocityVariance, velocity_of_noise
from dxmi.training.optimisers import OptimizedModule, ema, make_optimizer
from dxmi.training.parallel import ONE_PROCESS, Parallel


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Rates at which sampler and values take their steps.

    Attributes:
        value_lr: of the values' parameters; `own_rates` of `DxMILearner` gives some of them another.
        std_lr_ratio: learning rate of log-std over that of the sampler.
        head_start: iterations of energy and values before the `iterations` in which the policy moves too.
        policy_optimiser: the values' is Adam.
        lr_decay: half a cosine to 0 over the iterations, or none.
        policy_max_grad_norm: of the policy's gradient; None for as it comes. `td_max_grad_norm`: of the values'
            TD steps; the energy step is not clipped (`DxMIUpdate`).
    """

    policy_lr: float
    value_lr: float
    std_lr_ratio: float
    iterations: int
    betas: tuple[float, float]
    ema_decay: float
    head_start: int = 0
    policy_optimiser: Literal["adam", "radam"] = "adam"
    lr_decay: Literal["cosine", "none"] = "cosine"
    policy_max_grad_norm: float | None = None
    td_max_grad_norm: float | None = None


class DxMILearner:
    """A policy and its values at work.

    Attributes:
        policy, value: what is trained.
        total_steps: iterations, the head start included.

    `start_velocity` is what the s_k^2 begin with; None for the policy's own std_k^2 (`velocity_of_noise`). `own_rates`
    gives parts of the value a learning rate of their own, each as a parameter group in front of the rest.
    """

    def __init__(
        self,
        policy: GaussianPolicy,
        value: ValueNet,
        rates: Rates,
        *,
        policy_cost: StepCost,
        value_cost: StepCost,
        gamma: float,
        avr_decay: float,
        start_velocity: PerStep | None = None,
        sweep: StepGroups,
        policy_sweep: PolicySweep | None = None,
        own_rates: Mapping[nn.Module, float] = MappingProxyType({}),
        parallel: Parallel = ONE_PROCESS,
    ) -> None:
        self.policy, self.value, self._rates = policy, value, rates
        self.total_steps = rates.head_start + rates.iterations
        self._policy_ema, self._value_ema = ema(policy, rates.ema_decay), ema(value, rates.ema_decay)
        groups = [
            {"params": policy.net.parameters(), "lr": rates.policy_lr},
            {"params": [policy.learned_log_std], "lr": rates.policy_lr * rates.std_lr_ratio},
        ]
        self._policy_optimiser, self._policy_decay = make_optimizer(
            groups,
            rates.iterations,
            kind=rates.policy_optimiser,
            betas=rates.betas,
            lr_decay=rates.lr_decay,
        )
        self._value_optimiser, self._value_decay = make_optimizer(
            _groups(value, own_rates, rates.value_lr),
            self.total_steps,
            kind="adam",
            betas=rates.betas,
            lr_decay=rates.lr_decay,
        )
        self._velocity = VelocityVariance(
            velocity_of_noise(policy) if start_velocity is None else start_velocity, decay=avr_decay
        ).to(policy.learned_log_std)
        self._update = DxMIUpdate(
            policy=OptimizedModule(
                module=policy,
                optimizer=self._policy_optimiser,
                max_grad_norm=rates.policy_max_grad_norm,
                parallel=parallel,
            ),
            value=OptimizedModule(module=value, optimizer=self._value_optimiser, parallel=parallel),
            policy_cost=policy_cost,
            value_cost=value_cost,
            gamma=gamma,
            velocity=self._velocity,
            sweep=sweep,
            policy_sweep=policy_sweep,
            td_max_grad_norm=rates.td_max_grad_norm,
        )
        self.steps_done = 0

    def begin(self) -> None:
        """Begin the averages at the weights as they are now, not behind the first step."""
        self._average()

    @property
    def policy_average(self) -> GaussianPolicy:
        average = self._policy_ema.module
        assert isinstance(average, GaussianPolicy)
        return average

    @property
    def velocity(self) -> PerStep:
        """The running s_k^2, [K]."""
        return self._velocity.var

    @property
    def value_average(self) -> ValueNet:
        average = self._value_ema.module
        assert isinstance(average, ValueNet)
        return average

    def step(
        self,
        data: Points,
        noise: Noise,
        policy_noise: StreamNoise,
        *,
        start: Points | None = None,
        labels: ClassLabels | None = None,
    ) -> dict[str, Tensor]:
        """One iteration (`DxMIUpdate`), of energy and values alone while the head start lasts; its scalars."""
        self.steps_done += 1
        if self.steps_done <= self._rates.head_start:
            scalars = self._update.evaluate_policy(data, noise, start=start, labels=labels)
        else:
            scalars = self._update(data, noise, policy_noise, start=start, labels=labels)
            self._policy_decay.step()
        self._value_decay.step()
        self._average()
        return scalars

    def _average(self) -> None:
        self._policy_ema.update_parameters(self.policy)
        self._value_ema.update_parameters(self.value)

    def _parts(self) -> dict[str, Any]:
        return {
            "policy": self.policy,
            "value": self.value,
            "policy_ema": self._policy_ema,
            "value_ema": self._value_ema,
            "policy_optimiser": self._policy_optimiser,
            "value_optimiser": self._value_optimiser,
            "policy_scaler": self._update.policy.scaler,
            "value_scaler": self._update.value.scaler,
            "policy_decay": self._policy_decay,
            "value_decay": self._value_decay,
            "velocity": self._velocity,
        }

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()} | {"steps_done": self.steps_done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.steps_done = state["steps_done"]


def _groups(module: nn.Module, own_rates: Mapping[nn.Module, float], lr: float) -> list[dict[str, Any]]:
    """Parameter groups of the parts with a rate of their own, and of the rest."""
    own = [{"params": list(part.parameters()), "lr": rate} for part, rate in own_rates.items()]
    taken = {parameter for group in own for parameter in group["params"]}
    return [*own, {"params": [p for p in module.parameters() if p not in taken], "lr": lr}]
