"""GCD: generalised contrastive divergence, DxMI's minimax with back-propagation through the whole chain.

Yoon et al. 2023, arXiv:2312.03397: min over the energy q, max over the sampler pi of KL(p || q) - KL(pi || q). The
energy step and the objective of the sampler are DxMI's (arXiv:2407.00626, Eq. 5 and 8), so that the two differ in one
thing: here the gradient of J = E[E(x_K) + sum_k cost_k] runs back through all K steps, and no value functions are
learned. Deviations: the source gives no algorithm in detail, no code and no hyper-parameters (only its title page and
introduction could be read); the velocity cost, its AVR and `tau` per dimension are as in DxMI's method; gradient norms
are clipped. Its networks, batch, and start are DxMI's; its length takes as many counted network passes.
"""

from collections.abc import Mapping

from pydantic import Field, JsonValue
from torch import Tensor

from dxbench.api import Compute, Method, Problem, RandomStreams, Training
from dxbench_baselines.starts.energy_game import EnergyGame, EnergyGameConfig
from dxbench_baselines.starts.migration import complete, of_steps, take, with_start
from dxbench_baselines.starts.presets import IMAGE_BETAS
from dxbench_baselines.starts.stages import Stateful
from dxmi.arrays import PerSample
from dxmi.protocols import Energy
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.rollouts import reparametrised_rollout
from dxmi.sampling.trajectory import Trajectory
from dxmi.training.costs import RunningCost, StepCost, VelocityVariance, observed_velocity, velocity_of_noise


class GCDConfig(EnergyGameConfig):
    """Settings of generalised contrastive divergence."""

    avr_decay: float = Field(default=0.99, ge=0, le=1, description="EMA of the velocity variances; 1 switches AVR off")


class GCD(Method):
    """DxMI's sampler and energy, with back-propagation through the chain in place of dynamic programming."""

    name = "gcd"
    version = 2
    family = "energy-based"
    citation = "Yoon et al. 2023, arXiv:2312.03397"
    recipes = ".recipes.gcd"
    Config = GCDConfig

    @classmethod
    def migrate_config(cls, config: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        settings, _ = with_start(config, "ddpm")
        if "start_std" in settings:  # points in the plane
            settings["backbone"] = of_steps({**settings}, "hidden", "depth")
            settings["backbone"]["network"]["zero_output"] = True
            settings["backbone"]["pretraining"] = {"iterations": 0}
            settings["sampler"] = {"kind": "residual", **take(settings, std="start_std")}
        elif "first_level" in settings:  # small images
            settings["sampler"] = {
                "kind": "strided",
                **take(settings, "first_level", "last_std"),
                "noiseless_last_step": True,
            }
            settings["betas"] = IMAGE_BETAS
        if "hidden" in settings:
            settings["energy"] = {"kind": "mlp", **take(settings, "hidden", "depth")}
        return complete(cls.Config, settings)

    def start(self, problem: Problem, config: GCDConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return GCDTraining(problem, config, compute, rng)


def chain_cost(
    trajectory: Trajectory, policy: GaussianPolicy, energy: Energy, cost: StepCost, velocity: VelocityVariance
) -> PerSample:
    """E(x_K) + sum_k cost(x_k, x_{k+1}): DxMI's upper bound on the sampler's KL (Eq. 8), one number per chain."""
    move = trajectory.transitions(tuple(range(trajectory.num_steps)))
    costs = cost(move.x, move.x_next, move.k, policy.log_std(move.k), velocity.var[move.k])
    return energy.energy(trajectory.samples) + costs.unflatten(0, (trajectory.num_steps, -1)).sum(dim=0)


class GCDTraining(EnergyGame):
    """An energy step and a policy step per batch."""

    config: GCDConfig

    def __init__(self, problem: Problem, config: GCDConfig, compute: Compute, rng: RandomStreams) -> None:
        super().__init__(problem, config, compute, rng)
        self.cost = RunningCost(tau_entropy=config.tau, tau_velocity=config.tau, num_steps=config.num_steps)
        self.velocity = VelocityVariance(velocity_of_noise(self.sampler), decay=config.avr_decay)

    def parts(self) -> dict[str, Stateful]:
        return {**super().parts(), "velocity": self.velocity}

    def advance(self) -> dict[str, float | Tensor]:
        data = self.data()
        trajectory = reparametrised_rollout(self.sampler, self.noise)
        scalars = self.energy_step(data, trajectory.samples)
        if self.policy_moves:
            cost = chain_cost(trajectory, self.sampler, self.cost_to_go, self.cost, self.velocity)
            scalars["chain_cost"] = self.policy.descend(cost.mean())
        self.velocity.update(observed_velocity(trajectory))
        return scalars
