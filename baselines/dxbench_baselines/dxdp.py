"""Diffusion by dynamic programming alone: the policy and the values of DxMI on an energy that is given and fixed.

Yoon et al. 2024, arXiv:2407.00626, section 4. With V_K = E one iteration rolls out chains and takes

    value steps    (V_{k+1}(x_{k+1}) + cost_k - V_k(x_k))^2
    policy steps   E over a new x_{k+1} ~ pi(. | x_k) of V_{k+1}(x_{k+1}) + cost_k

with cost_k = log pi(x_{k+1} | x_k) - log q(x_k | x_{k+1}), so that no gradient passes through more than one step of the
chain. It is what DxMI does between two steps of its energy, and says what DxDP is worth by itself; `dds` minimises the
same sum by the gradient through the chain. Deviations from DxMI's settings: temperature 1; the variances s_k^2 of the
auxiliary chain are those of a fixed noising chain and not adapted; costs are in nats and summed over dimensions; values
begin as those of a Gaussian.
"""

from typing import Any

from pydantic import Field, PositiveFloat
from torch import Tensor

from dxbench.api import Compute, Method, Model, Need, Problem, RandomStreams, Training
from dxbench_baselines.starts.given_energy import GivenEnergyConfig, path_model
from dxmi.algorithms import DxDPUpdate, batched_sweep
from dxmi.energies.given import GivenEnergyValue
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.training.costs import PathCost, VelocityVariance
from dxmi.training.optimisers import OptimizedModule, ema, make_optimizer


class DxDPConfig(GivenEnergyConfig):
    """Settings of diffusion by dynamic programming."""

    value_lr: PositiveFloat = Field(default=1e-2, description="of the values; `lr` is of the policy")
    value_max_grad_norm: PositiveFloat = 100.0


class DxDP(Method):
    """DxMI's sampler and values with the energy given and fixed: what dynamic programming is worth by itself."""

    name = "dxdp"
    version = 1
    family = "given energy"
    citation = "Yoon et al. 2024, arXiv:2407.00626"
    recipes = ".recipes.dxdp"
    Config = DxDPConfig
    needs = frozenset({Need.ENERGY, Need.VECTORS})

    def start(self, problem: Problem, config: DxDPConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return DxDPTraining(problem, config, compute, rng)


class DxDPTraining(Training):
    """One iteration of DxDP per step; the averaged policy is evaluated."""

    def __init__(self, problem: Problem, config: DxDPConfig, compute: Compute, rng: RandomStreams) -> None:
        assert problem.energy is not None  # the harness grants what `needs` lists
        self.config, self.energy = config, problem.energy
        self.chain = config.chain(problem)
        self.policy = config.policy(problem, self.chain, rng).to(compute.device)
        value_net = config.value_net(problem, self.chain, rng)
        value = GivenEnergyValue(problem.energy, value_net, self.chain).to(compute.device)
        self.value_net = value_net
        rates = ((self.policy, config.lr), (value, config.value_lr))
        (self.policy_optimiser, self.policy_decay), (self.value_optimiser, self.value_decay) = (
            make_optimizer([{"params": list(part.parameters()), "lr": lr}], config.iterations) for part, lr in rates
        )
        self.average = ema(self.policy, config.ema_decay)
        self.update = DxDPUpdate(
            policy=OptimizedModule(
                module=self.policy, optimizer=self.policy_optimiser, max_grad_norm=config.max_grad_norm
            ),
            value=OptimizedModule(module=value, optimizer=self.value_optimiser),
            policy_cost=PathCost(),
            value_cost=PathCost(),
            velocity=VelocityVariance(self.chain.var.float(), decay=1.0).to(compute.device),
            sweep=batched_sweep(config.num_steps),
            td_max_grad_norm=config.value_max_grad_norm,
        )
        generator = rng.torch("noise", device=compute.device)
        self.noise, self.policy_noise = (
            StreamNoise(batch_size=chains * config.batch_size, event_shape=self.policy.noise_shape, generator=generator)
            for chains in (1, config.num_steps)
        )

    @property
    def total_steps(self) -> int:
        return self.config.iterations

    def step(self) -> dict[str, float | Tensor]:
        scalars = self.update(self.noise, self.policy_noise)
        self.policy_decay.step()
        self.value_decay.step()
        self.average.update_parameters(self.policy)
        return dict(scalars)

    def _parts(self) -> dict[str, Any]:
        return {
            "policy": self.policy,
            "value_net": self.value_net,
            "average": self.average,
            "policy_optimiser": self.policy_optimiser,
            "value_optimiser": self.value_optimiser,
            "policy_decay": self.policy_decay,
            "value_decay": self.value_decay,
        }

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def model(self) -> Model:
        policy = self.average.module
        assert isinstance(policy, GaussianPolicy)
        return path_model(policy, self.chain, self.energy)
