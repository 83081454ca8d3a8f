"""SFT-PG: shortcut finetuning of a DDPM by policy gradient (Fan & Lee 2023, arXiv:2301.13362). DxMI's next of kin.

A few-step Gaussian sampler begins as a FastDPM of a DDPM (arXiv:2106.00132, VAR, kappa = 1). A critic f, low at data
and high at samples, estimates an integral probability metric; the sampler goes down E[f(x_K)] by the score-function
gradient E[(f(x_K) - v_k(x_k)) grad log pi(x_{k+1} | x_k)], v a learned baseline. No gradient of f is used.

Images of 32 pixels and more have the released loop, networks and rates (`SFTPGUNetTraining`). Deviations in the plane
and on small images: the critic is kept Lipschitz by a gradient penalty (WGAN-GP, arXiv:1704.00028), where the image
code relies on small rates; critic and value have `critic_warmup` rollouts before the policy moves, since a critic that
knows nothing leads it away; no step has a std below `min_std` (released: 0.001, at the last step), because log pi's
gradient grows with 1 / std; the start model is trained first; data are scaled to a std of 0.5; Adam without momentum
for policy and critic, with cosine decay; MLPs, rates and lengths are for points in the plane.
"""

import math
from copy import deepcopy
from dataclasses import replace
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from dxbench.api import Compute, Config, Method, Model, Need, Problem, RandomStreams, Training
from dxbench.staged import FromWeights, StagedTraining
from dxmi.backbones.images import DDPMUNet
from dxmi.backbones.small import IMAGE_DDPM, SIGMA_DATA, DDPMBackbone
from dxmi.backbones.starts import Start
from dxmi.energies.values import SharedValue, TimeIndependentValue
from dxmi.losses import bellman_error
from dxmi.models import PolicySampler
from dxmi.nets.critics import ConvCritic, StepValue
from dxmi.nets.families import Networks, networks
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.rollout import rollout
from dxmi.sampling.trajectory import Trajectory
from dxmi.training.optimisers import Learner
from dxmi.training.policy_gradient import centred, critic_loss, policy_gradient_loss

# Policy and critic chase each other: with momentum both overshoot, and the chain's score swings around its average.
GAME_BETAS = (0.0, 0.99)


class SFTPGBase(Config):
    """Of shortcut finetuning by policy gradient, whatever the data."""

    noiseless_last_step: ClassVar[bool] = False
    betas: ClassVar[tuple[float, float]] = GAME_BETAS
    optimiser: ClassVar[dict[str, Any]] = {}

    num_steps: int = Field(default=10, ge=2, description="sampling steps = NFE")
    critic_steps: PositiveInt = Field(default=4, description="critic steps per rollout")
    policy_passes: PositiveInt = Field(default=1, description="policy steps per rollout")
    data_noise: NonNegativeFloat = Field(default=0.0, description="std of noise on the data that the critic sees")
    backbone: Any
    iterations: PositiveInt = 1500
    batch_size: PositiveInt = 256
    policy_lr: PositiveFloat = 1e-4
    critic_lr: PositiveFloat = 2e-3
    value_lr: PositiveFloat = 1e-3
    max_grad_norm: PositiveFloat = 1.0
    ema_decay: float = Field(default=0.997, ge=0, lt=1)

    def begin(self, problem: Problem, compute: Compute, streams: RandomStreams) -> Start:
        """The DDPM's training."""
        return self.backbone.begin(problem, compute, streams)

    def few_steps(self, net: nn.Module, event_shape: tuple[int, ...]) -> GaussianPolicy:
        """The sampler around the DDPM's net."""
        raise NotImplementedError

    def critic(self, event_shape: tuple[int, ...], generator: torch.Generator) -> SharedValue | TimeIndependentValue:
        """f, an energy."""
        raise NotImplementedError

    def value(self, event_shape: tuple[int, ...], generator: torch.Generator) -> SharedValue:
        """v_k, the baseline."""
        raise NotImplementedError


class SFTPGConfig(SFTPGBase):
    """For points in the plane."""

    needs = frozenset({Need.VECTORS})

    min_std: PositiveFloat = Field(default=0.05, description="least std of a step, in units of the scaled data")
    critic_warmup: NonNegativeInt = Field(default=100, description="rollouts before the policy moves")
    penalty: NonNegativeFloat = Field(default=0.3, description="weight of the critic's gradient penalty")
    backbone: DDPMBackbone = Field(default=DDPMBackbone(), description="the DDPM that is the start, and its training")
    critic_hidden: PositiveInt = Field(default=128, description="width of critic and value")
    critic_depth: PositiveInt = Field(default=3, description="layers of critic and value")

    def few_steps(self, net: nn.Module, event_shape: tuple[int, ...]) -> GaussianPolicy:
        """FastDPM's steps around the backbone's net."""
        return self.backbone.policy_along(
            net, self.backbone.chain.var_quadratic(self.num_steps), event_shape=event_shape, min_std=self.min_std
        )

    def critic(self, event_shape: tuple[int, ...], generator: torch.Generator) -> SharedValue:
        return SharedValue(self._nets(event_shape).critic(1, generator), num_steps=0)

    def value(self, event_shape: tuple[int, ...], generator: torch.Generator) -> SharedValue:
        net = self._nets(event_shape).critic(self.num_steps, generator)
        return SharedValue(net, num_steps=self.num_steps)

    def _nets(self, event_shape: tuple[int, ...]) -> Networks:
        return networks(event_shape, hidden=self.critic_hidden, depth=self.critic_depth, data_std=SIGMA_DATA)


class SFTPGImageConfig(SFTPGConfig):
    """For small images, from the same steps of the same DDPM as `dxmi`; a sample is the mean of the last step."""

    needs = frozenset({Need.SMALL_IMAGES})
    noiseless_last_step = True

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


class SFTPGUNetConfig(FromWeights, SFTPGBase):
    """For images of 32 pixels and more: the released settings of CIFAR-10."""

    betas: ClassVar[tuple[float, float]] = (0.9, 0.999)
    optimiser: ClassVar[dict[str, Any]] = {"lr_decay": "none"}

    critic_steps: PositiveInt = Field(default=5, description="rollouts per iteration, a critic and a value step each")
    policy_passes: PositiveInt = Field(default=10, description="minibatches of the policy, of `batch_size` transitions")
    backbone: DDPMUNet = DDPMUNet()
    iterations: PositiveInt = 7800
    batch_size: PositiveInt = 128
    policy_lr: PositiveFloat = 1e-6
    critic_lr: PositiveFloat = 1e-4
    value_lr: PositiveFloat = 1e-4
    max_grad_norm: PositiveFloat = 0.1
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    critic_width: PositiveInt = Field(default=128, description="channels of the critic's first layer")

    @model_validator(mode="after")
    def _sampler_can_be_built(self) -> Self:
        self.backbone.check_steps(self.num_steps)
        return self

    def few_steps(self, net: nn.Module, event_shape: tuple[int, ...]) -> GaussianPolicy:
        return self.backbone.policy_along(
            net, event_shape=event_shape, num_steps=self.num_steps, trainable_std=[False] * self.num_steps
        )

    def critic(self, event_shape: tuple[int, ...], generator: torch.Generator) -> TimeIndependentValue:
        return TimeIndependentValue(ConvCritic(event_shape, generator=generator, width=self.critic_width))

    def value(self, event_shape: tuple[int, ...], generator: torch.Generator) -> SharedValue:
        net = StepValue(event_shape, num_levels=self.num_steps, generator=generator)
        return SharedValue(net, num_steps=self.num_steps)


class SFTPG(Method):
    """A few-step DDPM finetuned by policy gradient against a critic of an integral probability metric."""

    name = "sft_pg"
    version = 1
    family = "diffusion"
    citation = "Fan & Lee 2023, arXiv:2301.13362"
    Config = SFTPGConfig
    recipes = ".recipes.sft_pg"

    def start(self, problem: Problem, config: SFTPGBase, *, compute: Compute, rng: RandomStreams) -> Training:
        if isinstance(config, SFTPGUNetConfig):
            return SFTPGUNetTraining(problem, config, compute, rng)
        assert isinstance(config, SFTPGConfig)
        return SFTPGTraining(problem, config, compute, rng)


C = TypeVar("C", bound=SFTPGBase)


class SFTPGParts(StagedTraining, Generic[C]):
    """A DDPM of 1,000 steps first, then its few-step sampler against the critic; averaged weights sample."""

    def __init__(self, problem: Problem, config: C, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device = problem, config, compute.device
        self.begun = config.begin(problem, compute, rng.common)
        self.steps = self._few_steps(deepcopy(self.begun.net))
        self.cost = config.critic(problem.event_shape, rng.torch("init critic")).to(self.device)
        self.baseline = config.value(problem.event_shape, rng.torch("init value")).to(self.device)
        self.policy = self._learner(
            self.steps, config.policy_lr, config.policy_passes, betas=config.betas, max_grad_norm=config.max_grad_norm
        )
        self.critic = self._learner(self.cost, config.critic_lr, config.critic_steps, betas=config.betas)
        self.value = self._learner(self.baseline, config.value_lr, config.policy_passes)
        self.data_rng = rng.numpy("data")
        self.noise = StreamNoise(
            batch_size=config.batch_size,
            event_shape=problem.event_shape,
            generator=rng.torch("noise", device=self.device),
        )
        super().__init__(self.begun.training, iterations=config.iterations)

    def _few_steps(self, net: nn.Module) -> GaussianPolicy:
        return self.config.few_steps(net, self.problem.event_shape).to(self.device)

    def _learner(self, module: nn.Module, lr: float, per_step: int, **rest: Any) -> Learner:
        config, iterations = self.config, self.config.iterations * per_step
        rest = {**config.optimiser, **rest}
        return Learner(module, lr=lr, iterations=iterations, ema_decay=config.ema_decay, **rest)

    def parts(self) -> dict[str, Learner]:
        return {"policy": self.policy, "critic": self.critic, "value": self.value}

    def begin(self) -> None:
        self.policy.begin_from(self._few_steps(self.begun.average).state_dict())

    def _data(self) -> Tensor:
        data, *_ = self.begun.data.batch(self.config.batch_size, rng=self.data_rng)
        noise = self.config.data_noise
        return data if noise == 0 else data + noise * self.noise.normal(0)

    def model(self) -> Model:
        policy = self.policy.average
        assert isinstance(policy, GaussianPolicy)
        return replace(self._model_of(policy), start=self._model_of(self._few_steps(self.begun.average)))

    def _model_of(self, policy: GaussianPolicy) -> Model:
        sampler = PolicySampler(
            policy=policy, noiseless_last_step=self.config.noiseless_last_step, scale=self.begun.data.scale
        )
        return Model(networks=sampler.networks, sampler=sampler.sample, trajectory_sampler=sampler.trajectory)


class SFTPGTraining(SFTPGParts[SFTPGConfig]):
    """Of points and small images."""

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


class SFTPGUNetTraining(SFTPGParts[SFTPGUNetConfig]):
    """As released: critic and value learn from every rollout, the policy from shuffled transitions of several."""

    def advance(self) -> dict[str, float | Tensor]:
        config, steps = self.config, tuple(range(self.config.num_steps))
        losses: dict[str, float | Tensor] = {}
        states = []
        for _ in range(config.critic_steps):
            chains = rollout(self.steps, self.noise)
            difference = self.cost.energy(self._data()) - self.cost.energy(chains.samples)
            losses["critic_loss"] = self.critic.descend(difference.mean())
            with torch.no_grad():
                outcome = self.cost.energy(chains.samples).repeat(len(steps))
            move = chains.transitions(steps)
            error = bellman_error(self.baseline.value(move.x, move.k), outcome)
            losses["value_loss"] = self.value.descend(error.mean())
            states.append(chains.states)
        chains = Trajectory(states=torch.cat(states, dim=1))
        move, ends = chains.transitions(steps), chains.samples.repeat(len(steps), 1, 1, 1)
        order = torch.randperm(len(ends), generator=self.noise.generator, device=ends.device)
        for rows in order[: config.policy_passes * config.batch_size].split(config.batch_size):
            x, k = move.x[rows], move.k[rows]
            with torch.no_grad():
                advantage = self.cost.energy(ends[rows]) - self.baseline.value(x, k)
            # Released: log pi per dimension, which counts where the gradient's norm is bounded.
            log_prob = self.steps.log_prob(x, k, move.x_next[rows]) / math.prod(self.problem.event_shape)
            losses["policy_loss"] = self.policy.descend(policy_gradient_loss(log_prob, advantage).mean())
        return losses
