"""GCD: generalised contrastive divergence, DxMI's minimax with back-propagation through the whole chain.

Yoon et al. 2023, arXiv:2312.03397: min over the energy q, max over the sampler pi of KL(p || q) - KL(pi || q). The
energy step and the objective of the sampler are DxMI's (arXiv:2407.00626, Eq. 5 and 8), so that the two differ in one
thing: here the gradient of J = E[E(x_K) + sum_k cost_k] runs back through all K steps, and no value functions are
learned. Deviations: the source gives no algorithm in detail, no code and no hyper-parameters (only its title page and
introduction could be read); the velocity cost, its AVR and `tau` per dimension are as in `baselines/dxmi.py`; gradient
norms are clipped. Its networks, batch, and start are DxMI's; its length takes as many counted network passes.
"""

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from dxbench.api import Compute, Config, Method, Need, Problem, RandomStreams, Training
from dxbench.staged import StagedTraining, Stateful
from dxmi.arrays import PerSample
from dxmi.costs import RunningCost, StepCost, VelocityVariance, observed_velocity
from dxmi.losses import energy_loss
from dxmi.models import PolicyModel
from dxmi.networks import networks
from dxmi.noise import StreamNoise
from dxmi.optimisers import Learner
from dxmi.policies import GaussianPolicy
from dxmi.protocols import Energy
from dxmi.rollout import reparametrised_rollout
from dxmi.trajectory import Trajectory
from dxmi.values import SharedValue


class GCDConfig(Config):
    """Of generalised contrastive divergence, for points in the plane."""

    needs = frozenset({Need.VECTORS})

    num_steps: PositiveInt = Field(default=5, description="sampling steps T = NFE")
    tau: NonNegativeFloat = Field(default=0.1, description="temperature per dimension, of entropy and velocity alike")
    gamma: NonNegativeFloat = Field(default=0.7, description="weight of the squared energies")
    avr_decay: float = Field(default=0.99, ge=0, le=1, description="EMA of the velocity variances; 1 switches AVR off")
    start_std: PositiveFloat = Field(default=0.5, description="std of every step before training")
    iterations: PositiveInt = 17250
    batch_size: PositiveInt = 200
    policy_lr: PositiveFloat = 1e-3
    energy_lr: PositiveFloat = 5e-4
    std_lr_ratio: PositiveFloat = Field(default=10.0, description="log-std's learning rate over the sampler's")
    max_grad_norm: PositiveFloat = Field(default=1.0, description="of the gradient through the chain")
    ema_decay: float = Field(default=0.995, ge=0, lt=1)
    hidden: PositiveInt = 128
    depth: PositiveInt = 2


# As DxMI's: sampler and energy chase each other, so a long memory of squared gradients is out of date.
ADAM_BETAS = (0.9, 0.99)


class GCD(Method):
    """DxMI's sampler and energy, with back-propagation through the chain in place of dynamic programming."""

    name = "gcd"
    version = 1
    family = "energy"
    citation = "Yoon et al. 2023, arXiv:2312.03397"
    Config = GCDConfig

    def start(self, problem: Problem, config: GCDConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return GCDTraining(problem, config, compute, rng)


def chain_cost(
    trajectory: Trajectory, policy: GaussianPolicy, energy: Energy, cost: StepCost, velocity: VelocityVariance
) -> PerSample:
    """E(x_K) + sum_k cost(x_k, x_{k+1}): DxMI's upper bound on the sampler's KL (Eq. 8), one number per chain."""
    move = trajectory.transitions(tuple(range(trajectory.num_steps)))
    costs = cost(move.x, move.x_next, move.k, policy.log_std(move.k), velocity.var[move.k])
    return energy.energy(trajectory.samples) + costs.unflatten(0, (trajectory.num_steps, -1)).sum(dim=0)


class GCDTraining(StagedTraining):
    """One energy step and one policy step per batch; averaged weights sample and score."""

    def __init__(self, problem: Problem, config: GCDConfig, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device = problem, config, compute.device
        nets = networks(problem.event_shape, hidden=config.hidden, depth=config.depth, data_std=problem.data_std)
        policy = GaussianPolicy.from_scratch(
            nets.policy(config.num_steps, rng.torch("init policy")),
            event_shape=problem.event_shape,
            std=torch.full((config.num_steps,), config.start_std),
            trainable_std=[True] * config.num_steps,
        ).to(self.device)
        energy = SharedValue(nets.critic(1, rng.torch("init energy")), num_steps=0).to(self.device)
        self.policy = Learner(
            policy,
            lr=config.policy_lr,
            iterations=config.iterations,
            ema_decay=config.ema_decay,
            betas=ADAM_BETAS,
            max_grad_norm=config.max_grad_norm,
            own_rates={policy.learned_log_std: config.policy_lr * config.std_lr_ratio},
        )
        self.energy = Learner(
            energy, lr=config.energy_lr, iterations=config.iterations, ema_decay=config.ema_decay, betas=ADAM_BETAS
        )
        self.cost = RunningCost(tau_entropy=config.tau, tau_velocity=config.tau, num_steps=config.num_steps)
        self.velocity = VelocityVariance(policy.step_log_stds().exp(), decay=config.avr_decay)
        self.data_rng = rng.numpy("data")
        self.noise = StreamNoise(
            batch_size=config.batch_size,
            event_shape=problem.event_shape,
            generator=rng.torch("noise", device=self.device),
        )
        super().__init__(None, iterations=config.iterations)

    def advance(self) -> dict[str, float | Tensor]:
        data = self.problem.data.batch(self.config.batch_size, rng=self.data_rng).to(self.device)
        policy, energy = self.policy.module, self.energy.module
        assert isinstance(policy, GaussianPolicy)
        assert isinstance(energy, SharedValue)
        trajectory = reparametrised_rollout(policy, self.noise)
        positive, negative = energy.energy(torch.cat([data, trajectory.samples.detach()])).split(len(data))
        self.energy.descend(energy_loss(positive, negative, gamma=self.config.gamma).mean())
        cost = chain_cost(trajectory, policy, energy, self.cost, self.velocity)
        scalars = {
            "energy_data": positive.detach().mean(),
            "energy_samples": negative.detach().mean(),
            "chain_cost": self.policy.descend(cost.mean()),
        }
        self.velocity.update(observed_velocity(trajectory))
        return dict(scalars)

    def parts(self) -> dict[str, Stateful]:
        return {"policy": self.policy, "energy": self.energy, "velocity": self.velocity}

    def model(self) -> "GCDModel":
        policy, energy = self.policy.average, self.energy.average
        assert isinstance(policy, GaussianPolicy)
        assert isinstance(energy, SharedValue)
        dim = torch.Size(self.problem.event_shape).numel()
        return GCDModel(policy, energy, temperature=self.config.tau / dim if self.config.tau > 0 else None)


class GCDModel(PolicyModel):
    """The averaged sampler and energy."""

    def __init__(self, policy: GaussianPolicy, energy: SharedValue, *, temperature: float | None) -> None:
        super().__init__(policy)
        self._energy, self.temperature = energy, temperature

    def energy(self, x: Tensor) -> Tensor:
        return self._energy.energy(x)
