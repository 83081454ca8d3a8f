"""GCD: generalised contrastive divergence, DxMI's minimax with back-propagation through the whole chain.

Yoon et al. 2023, arXiv:2312.03397: min over the energy q, max over the sampler pi of KL(p || q) - KL(pi || q). The
energy step and the objective of the sampler are DxMI's (arXiv:2407.00626, Eq. 5 and 8), so that the two differ in one
thing: here the gradient of J = E[E(x_K) + sum_k cost_k] runs back through all K steps, and no value functions are
learned. Deviations: the source gives no algorithm in detail, no code and no hyper-parameters (only its title page and
introduction could be read); the velocity cost, its AVR and `tau` per dimension are as in DxMI's method; gradient norms
are clipped. Its networks, batch, and start are DxMI's; its length takes as many counted network passes.
"""

from copy import deepcopy
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from dxbench.api import Compute, Config, Method, Model, Need, Problem, RandomStreams, Training
from dxbench.staged import StagedTraining, Stateful
from dxmi.arrays import PerSample
from dxmi.backbones.small import IMAGE_DDPM, DDPMBackbone
from dxmi.energies.values import SharedValue
from dxmi.losses import energy_loss
from dxmi.models import PolicySampler
from dxmi.nets.families import networks
from dxmi.protocols import Energy
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.rollout import reparametrised_rollout
from dxmi.sampling.trajectory import Trajectory
from dxmi.training.costs import RunningCost, StepCost, VelocityVariance, observed_velocity, velocity_of_noise
from dxmi.training.denoising import DenoiserTraining
from dxmi.training.optimisers import Learner

# As DxMI's: sampler and energy chase each other, so a long memory of squared gradients is out of date in the plane; on
# images no memory of gradients at all damps the chase, and a long one of their squares lets steps shrink with them.
POINTS_BETAS = (0.9, 0.99)
IMAGE_BETAS = (0.0, 0.999)


class GCDBase(Config):
    """The update rule's side of the configuration, whatever the data."""

    betas: ClassVar[tuple[float, float]] = POINTS_BETAS

    num_steps: PositiveInt = Field(default=5, description="sampling steps T = NFE")
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
    max_grad_norm: PositiveFloat = Field(default=1.0, description="of the gradient through the chain")
    ema_decay: float = Field(default=0.995, ge=0, lt=1)
    hidden: PositiveInt = 128
    depth: PositiveInt = 2

    def first_stage(self, problem: Problem, compute: Compute, rng: RandomStreams) -> DenoiserTraining | None:
        """The training of what the sampler starts from, where it does not start from nothing."""
        return None

    def sampler(self, net: nn.Module | None, problem: Problem, rng: RandomStreams) -> GaussianPolicy:
        """The sampler before GCD, around the first stage's net where there is one."""
        raise NotImplementedError


class GCDConfig(GCDBase):
    """Of generalised contrastive divergence on points in the plane, from scratch."""

    needs = frozenset({Need.VECTORS})

    start_std: PositiveFloat = Field(default=0.5, description="std of every step before training")

    def sampler(self, net: nn.Module | None, problem: Problem, rng: RandomStreams) -> GaussianPolicy:
        nets = networks(problem.event_shape, hidden=self.hidden, depth=self.depth, data_std=problem.data_std)
        return GaussianPolicy.from_scratch(
            nets.policy(self.num_steps, rng.torch("init policy")),
            event_shape=problem.event_shape,
            std=torch.full((self.num_steps,), self.start_std),
            trainable_std=[True] * self.num_steps,
        )


class GCDImageConfig(GCDBase):
    """Of generalised contrastive divergence on small images, from the steps of the DDPM that `dxmi` starts from."""

    needs = frozenset({Need.SMALL_IMAGES})
    betas = IMAGE_BETAS

    num_steps: PositiveInt = Field(default=4, description="sampling steps T = NFE, of the backbone's 1,000")
    tau: NonNegativeFloat = Field(default=0.01, description="temperature per dimension, of entropy and velocity alike")
    gamma: NonNegativeFloat = Field(default=1.0, description="weight of the squared energies")
    data_noise: NonNegativeFloat = Field(default=0.15, description="std of noise on the data that the energy sees")
    head_start: NonNegativeInt = Field(default=100, description="iterations of the energy before the sampler moves")
    iterations: PositiveInt = 1040
    batch_size: PositiveInt = 128
    policy_lr: PositiveFloat = 1.5e-5
    ema_decay: float = Field(default=0.98, ge=0, lt=1)
    hidden: PositiveInt = 256
    first_level: int = Field(default=400, ge=0, description="step of the backbone's chain that sampling begins at")
    last_std: PositiveFloat = Field(default=0.15, description="std of the last step, for training only")
    backbone: DDPMBackbone = Field(default=IMAGE_DDPM, description="the start's noise predictor and its training")

    def first_stage(self, problem: Problem, compute: Compute, rng: RandomStreams) -> DenoiserTraining | None:
        return self.backbone.training(problem, compute, rng.common)

    def sampler(self, net: nn.Module | None, problem: Problem, rng: RandomStreams) -> GaussianPolicy:
        assert net is not None
        return self.backbone.policy(
            net,
            event_shape=problem.event_shape,
            num_steps=self.num_steps,
            first_level=self.first_level,
            last_std=self.last_std,
            trainable_std=[True] * (self.num_steps - 1) + [False],
        )


class GCD(Method):
    """DxMI's sampler and energy, with back-propagation through the chain in place of dynamic programming."""

    name = "gcd"
    version = 2
    family = "energy"
    citation = "Yoon et al. 2023, arXiv:2312.03397"
    Config = GCDConfig
    recipes = ".recipes.gcd"

    def start(self, problem: Problem, config: GCDBase, *, compute: Compute, rng: RandomStreams) -> Training:
        return GCDTraining(problem, config, compute, rng)


def chain_cost(
    trajectory: Trajectory, policy: GaussianPolicy, energy: Energy, cost: StepCost, velocity: VelocityVariance
) -> PerSample:
    """E(x_K) + sum_k cost(x_k, x_{k+1}): DxMI's upper bound on the sampler's KL (Eq. 8), one number per chain."""
    move = trajectory.transitions(tuple(range(trajectory.num_steps)))
    costs = cost(move.x, move.x_next, move.k, policy.log_std(move.k), velocity.var[move.k])
    return energy.energy(trajectory.samples) + costs.unflatten(0, (trajectory.num_steps, -1)).sum(dim=0)


class GCDTraining(StagedTraining):
    """The start where there is one, then an energy step and a policy step per batch; averaged weights are evaluated."""

    def __init__(self, problem: Problem, config: GCDBase, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device, self.rng = problem, config, compute.device, rng
        self.backbone = config.first_stage(problem, compute, rng)
        net = None if self.backbone is None else deepcopy(self.backbone.net)
        self.sampler = config.sampler(net, problem, rng).to(self.device)
        nets = networks(problem.event_shape, hidden=config.hidden, depth=config.depth, data_std=problem.data_std)
        self.cost_to_go = SharedValue(nets.critic(1, rng.torch("init energy")), num_steps=0).to(self.device)
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
            iterations=config.head_start + config.iterations,
            ema_decay=config.ema_decay,
            betas=config.betas,
        )
        self.cost = RunningCost(tau_entropy=config.tau, tau_velocity=config.tau, num_steps=config.num_steps)
        self.velocity = VelocityVariance(velocity_of_noise(self.sampler), decay=config.avr_decay)
        self.data_rng = rng.numpy("data")
        self.noise = StreamNoise(
            batch_size=config.batch_size,
            event_shape=problem.event_shape,
            generator=rng.torch("noise", device=self.device),
        )
        super().__init__(self.backbone, iterations=config.head_start + config.iterations)

    def parts(self) -> dict[str, Stateful]:
        return {"policy": self.policy, "energy": self.energy, "velocity": self.velocity}

    def begin(self) -> None:
        if self.backbone is not None:
            self.policy.begin_from(self._before().state_dict())

    def _before(self) -> GaussianPolicy:
        assert self.backbone is not None
        return self.config.sampler(self.backbone.average, self.problem, self.rng).to(self.device)

    def advance(self) -> dict[str, float | Tensor]:
        config, energy = self.config, self.cost_to_go
        data = self.problem.data.batch(config.batch_size, rng=self.data_rng).to(self.device)
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
        assert isinstance(energy, SharedValue)
        dim = torch.Size(self.problem.event_shape).numel()
        return replace(
            self._model_of(policy),
            energy=energy.energy,
            temperature=self.config.tau / dim if self.config.tau > 0 else None,
            start=None if self.backbone is None else self._model_of(self._before()),
        )

    def _model_of(self, policy: GaussianPolicy) -> Model:
        """A sampler; with a start, which images have, its last noise is for training only."""
        sampler = PolicySampler(policy=policy, noiseless_last_step=self.backbone is not None)
        return Model(networks=sampler.networks, sampler=sampler.sample, trajectory_sampler=sampler.trajectory)
