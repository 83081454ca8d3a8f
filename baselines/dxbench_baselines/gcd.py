"""GCD: generalised contrastive divergence, DxMI's minimax with back-propagation through the whole chain.

Yoon et al. 2023, arXiv:2312.03397: min over the energy q, max over the sampler pi of KL(p || q) - KL(pi || q). The
energy step and the objective of the sampler are DxMI's (arXiv:2407.00626, Eq. 5 and 8), so that the two differ in one
thing: here the gradient of J = E[E(x_K) + sum_k cost_k] runs back through all K steps, and no value functions are
learned. Deviations: the source gives no algorithm in detail, no code and no hyper-parameters (only its title page and
introduction could be read); the velocity cost, its AVR and `tau` per dimension are as in DxMI's method; gradient norms
are clipped. Its networks, batch, and start are DxMI's; its length takes as many counted network passes.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import torch
from pydantic import Field, JsonValue, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from dxbench.api import Compute, Method, Model, Problem, RandomStreams, Training
from dxbench_baselines.starts.backbone import Backbone, prepared
from dxbench_baselines.starts.config import FewStepConfig, FewStepNetwork
from dxbench_baselines.starts.migration import complete, of_steps, take, with_start
from dxbench_baselines.starts.models import model_of
from dxbench_baselines.starts.presets import SCRATCH
from dxbench_baselines.starts.stages import Stateful, Tuning
from dxmi.arrays import PerSample
from dxmi.backbones.few_steps import AnyFewSteps, ResidualSteps
from dxmi.energies.critics import AnyCritic, MLPCritic
from dxmi.energies.values import TimeIndependentValue
from dxmi.losses import energy_loss
from dxmi.models import PolicySampler
from dxmi.protocols import Energy
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.rollouts import reparametrised_rollout
from dxmi.sampling.trajectory import Trajectory
from dxmi.training.costs import RunningCost, StepCost, VelocityVariance, observed_velocity, velocity_of_noise
from dxmi.training.optimisers import Learner

# As DxMI's: sampler and energy chase each other, so a long memory of squared gradients is out of date in the plane; on
# images no memory of gradients at all damps the chase, and a long one of their squares lets steps shrink with them.
POINTS_BETAS = (0.9, 0.99)
IMAGE_BETAS = (0.0, 0.999)


class GCDConfig(FewStepConfig):
    """Settings of generalised contrastive divergence."""

    num_steps: PositiveInt = Field(default=5, description="sampling steps T = NFE")
    backbone: Backbone[FewStepNetwork] = Field(default=SCRATCH, description="the sampler's network and its training")
    sampler: AnyFewSteps = Field(default=ResidualSteps(), description="the steps before GCD")
    energy: AnyCritic = Field(default=MLPCritic(depth=2), description="the layout of the energy")
    tau: NonNegativeFloat = Field(default=0.1, description="temperature per dimension, of entropy and velocity alike")
    gamma: NonNegativeFloat = Field(default=0.7, description="weight of the squared energies")
    avr_decay: float = Field(default=0.99, ge=0, le=1, description="EMA of the velocity variances; 1 switches AVR off")
    data_noise: NonNegativeFloat = Field(default=0.0, description="std of noise on the data that the energy sees")
    head_start: NonNegativeInt = Field(default=0, description="iterations of the energy before the sampler moves")
    iterations: PositiveInt = 5750
    batch_size: PositiveInt = 600
    policy_lr: PositiveFloat = 3e-4
    energy_lr: PositiveFloat = 5e-4
    std_lr_ratio: PositiveFloat = Field(default=10.0, description="log-std's learning rate over the sampler's")
    betas: tuple[float, float] = Field(default=POINTS_BETAS, description="of Adam, for sampler and energy")
    max_grad_norm: PositiveFloat = Field(default=1.0, description="of the gradient through the chain")
    ema_decay: float = Field(default=0.995, ge=0, lt=1)


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


class GCDTraining(Tuning):
    """The start where there is one, then an energy step and a policy step per batch; averaged weights are evaluated."""

    def __init__(self, problem: Problem, config: GCDConfig, compute: Compute, rng: RandomStreams) -> None:
        begun = config.begin(problem, compute, rng).in_units_of_data()
        iterations = config.head_start + config.iterations
        super().__init__(problem, begun, compute, rng, batch_size=config.batch_size, iterations=iterations)
        self.config = config
        self.sampler = self._sampler(prepared(config.network, deepcopy(begun.net), compute))
        energy = config.energy.net(
            problem.event_shape, num_levels=None, data_std=problem.data_std, generator=rng.torch("init energy")
        )
        self.cost_to_go = TimeIndependentValue(energy).to(self.device)
        self.policy = Learner(
            self.sampler,
            lr=config.policy_lr,
            iterations=config.iterations,
            ema_decay=config.ema_decay,
            betas=config.betas,
            max_grad_norm=config.max_grad_norm,
            own_rates={self.sampler.learned_log_std: config.policy_lr * config.std_lr_ratio},
        )
        self.energy = Learner(
            self.cost_to_go,
            lr=config.energy_lr,
            iterations=iterations,
            ema_decay=config.ema_decay,
            betas=config.betas,
        )
        self.cost = RunningCost(tau_entropy=config.tau, tau_velocity=config.tau, num_steps=config.num_steps)
        self.velocity = VelocityVariance(velocity_of_noise(self.sampler), decay=config.avr_decay)

    def parts(self) -> dict[str, Stateful]:
        return {"policy": self.policy, "energy": self.energy, "velocity": self.velocity}

    def begin(self) -> None:
        self.policy.begin_from(self._sampler(self.begun.average).state_dict())

    def _sampler(self, net: nn.Module) -> GaussianPolicy:
        return self.config.policy(net, self.problem.event_shape).to(self.device)

    def advance(self) -> dict[str, float | Tensor]:
        config, energy = self.config, self.cost_to_go
        data, *_ = self.begun.data.batch(config.batch_size, rng=self.data_rng)
        if config.data_noise > 0:
            data = data + config.data_noise * self.noise.normal(0)
        trajectory = reparametrised_rollout(self.sampler, self.noise)
        positive, negative = energy.energy(torch.cat([data, trajectory.samples.detach()])).split(len(data))
        self.energy.descend(energy_loss(positive, negative, gamma=config.gamma).mean())
        scalars = {"energy_data": positive.detach().mean(), "energy_samples": negative.detach().mean()}
        if self.done >= config.head_start:
            cost = chain_cost(trajectory, self.sampler, energy, self.cost, self.velocity)
            scalars["chain_cost"] = self.policy.descend(cost.mean())
        self.velocity.update(observed_velocity(trajectory))
        return dict(scalars)

    def model(self) -> Model:
        policy, energy = self.policy.average, self.energy.average
        assert isinstance(policy, GaussianPolicy)
        assert isinstance(energy, TimeIndependentValue)
        dim = torch.Size(self.problem.event_shape).numel()
        return replace(
            self._model_of(policy),
            energy=energy.energy,
            temperature=self.config.tau / dim if self.config.tau > 0 else None,
            start=None if self.config.network.few_steps else self._model_of(self._sampler(self.begun.average)),
        )

    def _model_of(self, policy: GaussianPolicy) -> Model:
        sampler = PolicySampler(policy=policy, noiseless_last_step=self.config.sampler.noiseless_last_step)
        return model_of(sampler, self.begun.data)
