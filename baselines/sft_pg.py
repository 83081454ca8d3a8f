"""SFT-PG: shortcut finetuning of a DDPM by policy gradient (Fan & Lee 2023, arXiv:2301.13362). DxMI's next of kin.

A few-step Gaussian sampler begins as a FastDPM of a DDPM (arXiv:2106.00132, VAR, kappa = 1). A critic f, low at data
and high at samples, estimates an integral probability metric; the sampler goes down E[f(x_K)] by the score-function
gradient E[(f(x_K) - v_k(x_k)) grad log pi(x_{k+1} | x_k)], v a learned baseline. No gradient of f is used. Deviations:
the critic is kept Lipschitz by a gradient penalty (WGAN-GP, arXiv:1704.00028), where the image code relies on small
rates; critic and value have `critic_warmup` rollouts before the policy moves, since a critic that knows nothing leads
it away; no step has a std below `min_std` (released: 0.001, at the last step), because log pi's gradient grows with
1 / std; the start model is trained first; data are scaled to a std of 0.5; Adam without momentum for policy and
critic, with cosine decay; MLPs, rates and lengths are for points in the plane.
"""

from copy import deepcopy
from typing import Any, ClassVar

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from dxbench.api import Compute, Config, Method, Need, Problem, RandomStreams, Training
from dxbench.staged import StagedTraining
from dxmi.arrays import PerSample, Points
from dxmi.backbones import IMAGE_DDPM, SIGMA_DATA, DDPMBackbone
from dxmi.losses import bellman_error
from dxmi.models import TunedPolicyModel
from dxmi.networks import networks
from dxmi.noise import StreamNoise
from dxmi.optimisers import Learner
from dxmi.policies import GaussianPolicy
from dxmi.protocols import Energy
from dxmi.rollout import rollout
from dxmi.values import SharedValue

# Policy and critic chase each other: with momentum both overshoot, and the chain's score swings around its average.
GAME_BETAS = (0.0, 0.99)


class SFTPGConfig(Config):
    """Of shortcut finetuning by policy gradient, for points in the plane."""

    needs = frozenset({Need.VECTORS})
    quiet_end: ClassVar[bool] = False

    num_steps: int = Field(default=10, ge=2, description="sampling steps = NFE")
    min_std: PositiveFloat = Field(default=0.05, description="least std of a step, in units of the scaled data")
    critic_steps: PositiveInt = Field(default=4, description="critic steps per rollout")
    policy_passes: PositiveInt = Field(default=1, description="policy steps per rollout")
    critic_warmup: NonNegativeInt = Field(default=100, description="rollouts before the policy moves")
    data_noise: NonNegativeFloat = Field(default=0.0, description="std of noise on the data that the critic sees")
    penalty: NonNegativeFloat = Field(default=0.3, description="weight of the critic's gradient penalty")
    backbone: DDPMBackbone = Field(default=DDPMBackbone(), description="the DDPM that is the start, and its training")
    iterations: PositiveInt = 1500
    batch_size: PositiveInt = 256
    policy_lr: PositiveFloat = 1e-4
    critic_lr: PositiveFloat = 2e-3
    value_lr: PositiveFloat = 1e-3
    max_grad_norm: PositiveFloat = 1.0
    ema_decay: float = Field(default=0.997, ge=0, lt=1)
    critic_hidden: PositiveInt = Field(default=128, description="width of critic and value")
    critic_depth: PositiveInt = Field(default=3, description="layers of critic and value")

    def few_steps(self, net: nn.Module, event_shape: tuple[int, ...]) -> GaussianPolicy:
        """FastDPM's steps around the backbone's net."""
        return self.backbone.policy_along(
            net, self.backbone.chain.var_quadratic(self.num_steps), event_shape=event_shape, min_std=self.min_std
        )


class SFTPGImageConfig(SFTPGConfig):
    """For small images, from the same steps of the same DDPM as `dxmi`; a sample is the mean of the last step."""

    needs = frozenset({Need.SMALL_IMAGES})
    quiet_end = True

    num_steps: int = Field(default=4, ge=2, description="sampling steps = NFE, of the backbone's 1,000")
    min_std: PositiveFloat = Field(default=0.15, description="std of the last step, for training only")
    data_noise: NonNegativeFloat = Field(default=0.15, description="std of noise on the data that the critic sees")
    first_level: int = Field(default=400, ge=0, description="step of the backbone's chain that sampling begins at")
    iterations: PositiveInt = 800
    batch_size: PositiveInt = 128
    policy_lr: PositiveFloat = 1e-5
    critic_lr: PositiveFloat = 5e-4
    ema_decay: float = Field(default=0.98, ge=0, lt=1)
    critic_hidden: PositiveInt = Field(default=256, description="width of critic and value")
    critic_depth: PositiveInt = Field(default=2, description="layers of critic and value")
    backbone: DDPMBackbone = Field(default=IMAGE_DDPM, description="the DDPM that is the start, and its training")

    def few_steps(self, net: nn.Module, event_shape: tuple[int, ...]) -> GaussianPolicy:
        return self.backbone.policy(
            net,
            event_shape=event_shape,
            num_steps=self.num_steps,
            first_level=self.first_level,
            last_std=self.min_std,
            trainable_std=[False] * self.num_steps,
        )


class SFTPG(Method):
    """A few-step DDPM finetuned by policy gradient against a critic of an integral probability metric."""

    name = "sft_pg"
    version = 1
    family = "diffusion"
    citation = "Fan & Lee 2023, arXiv:2301.13362"
    Config = SFTPGConfig

    def start(self, problem: Problem, config: SFTPGConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return SFTPGTraining(problem, config, compute, rng)


def critic_loss(critic: Energy, data: Points, fake: Points, mix: PerSample, *, penalty: float) -> PerSample:
    """f(data) - f(fake) + penalty (||grad f|| - 1)^2 between the two (WGAN-GP, Eq. 3), `mix` the place between."""
    share = mix.reshape(-1, *([1] * (data.ndim - 1)))
    between = (share * data + (1 - share) * fake).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic.energy(between).sum(), between, create_graph=True)
    slope = gradient.flatten(1).norm(dim=1)
    return critic.energy(data) - critic.energy(fake) + penalty * (slope - 1).square()


def policy_gradient_loss(log_prob: PerSample, advantage: PerSample) -> PerSample:
    """advantage log pi: its gradient is the score-function estimate of grad E[f]; rows are transitions."""
    return advantage.detach() * log_prob


def centred(advantage: PerSample) -> PerSample:
    """Less its mean: a constant baseline, which takes away noise and, but for 1 / rows, nothing else."""
    return advantage - advantage.mean()


class SFTPGTraining(StagedTraining):
    """A DDPM of 1,000 steps first, then its few-step sampler against the critic; averaged weights sample."""

    def __init__(self, problem: Problem, config: SFTPGConfig, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device = problem, config, compute.device
        self.scale = config.backbone.scale(problem)
        self.backbone = config.backbone.training(problem, compute, rng.common)
        self.steps = self._few_steps(deepcopy(self.backbone.net))
        nets = networks(
            problem.event_shape, hidden=config.critic_hidden, depth=config.critic_depth, data_std=SIGMA_DATA
        )
        self.cost = SharedValue(nets.critic(1, rng.torch("init critic")), num_steps=0).to(self.device)
        value_net = nets.critic(config.num_steps, rng.torch("init value"))
        self.baseline = SharedValue(value_net, num_steps=config.num_steps).to(self.device)
        self.policy = self._learner(
            self.steps, config.policy_lr, config.policy_passes, betas=GAME_BETAS, max_grad_norm=config.max_grad_norm
        )
        self.critic = self._learner(self.cost, config.critic_lr, config.critic_steps, betas=GAME_BETAS)
        self.value = self._learner(self.baseline, config.value_lr, config.policy_passes)
        self.data_rng = rng.numpy("data")
        self.noise = StreamNoise(
            batch_size=config.batch_size,
            event_shape=problem.event_shape,
            generator=rng.torch("noise", device=self.device),
        )
        super().__init__(self.backbone, iterations=config.iterations)

    def _few_steps(self, net: nn.Module) -> GaussianPolicy:
        return self.config.few_steps(net, self.problem.event_shape).to(self.device)

    def _learner(self, module: nn.Module, lr: float, per_step: int, **rest: Any) -> Learner:
        config = self.config
        return Learner(module, lr=lr, iterations=config.iterations * per_step, ema_decay=config.ema_decay, **rest)

    def parts(self) -> dict[str, Learner]:
        return {"policy": self.policy, "critic": self.critic, "value": self.value}

    def begin(self) -> None:
        self.policy.begin_from(self._few_steps(self.backbone.average).state_dict())

    def advance(self) -> dict[str, float | Tensor]:
        policy_moves = self.done >= self.config.critic_warmup
        trajectory = rollout(self.steps, self.noise)
        critic_losses = [self._critic_step(trajectory.samples) for _ in range(self.config.critic_steps)]
        move = trajectory.transitions(tuple(range(trajectory.num_steps)))
        with torch.no_grad():
            # The critic's constant is free and drifts; against the data's mean the value has nothing to chase.
            outcome = self.cost.energy(trajectory.samples) - self.cost.energy(self._data()).mean()
            outcome = outcome.repeat(trajectory.num_steps)
        value_loss = outcome.new_zeros(())
        for _ in range(self.config.policy_passes):
            foreseen = self.baseline.value(move.x, move.k)
            value_loss = self.value.descend(bellman_error(foreseen, outcome).mean())
            if policy_moves:
                log_prob = self.steps.log_prob(move.x, move.k, move.x_next)
                self.policy.descend(policy_gradient_loss(log_prob, centred(outcome - foreseen)).mean())
        return {"critic_loss": critic_losses[-1], "value_loss": value_loss}

    def _critic_step(self, samples: Tensor) -> Tensor:
        mix = torch.rand(len(samples), generator=self.noise.generator, device=samples.device)
        loss = critic_loss(self.cost, self._data(), samples, mix, penalty=self.config.penalty)
        return self.critic.descend(loss.mean())

    def _data(self) -> Tensor:
        data = self.scale * self.problem.data.batch(self.config.batch_size, rng=self.data_rng).to(self.device)
        noise = self.config.data_noise
        return data if noise == 0 else data + noise * self.noise.normal(0)

    def model(self) -> TunedPolicyModel:
        policy = self.policy.average
        assert isinstance(policy, GaussianPolicy)
        start = self._few_steps(self.backbone.average)
        return TunedPolicyModel(policy, start=start, quiet_end=self.config.quiet_end, scale=self.scale)
