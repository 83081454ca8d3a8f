"""Policy gradient: the few Gaussian steps of a DDPM, which are tuned, and a critic of their samples."""

from copy import deepcopy
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn

from dxbench.api import Compute, Model, Problem, RandomStreams
from dxbench_baselines.starts.backbone import Backbone, prepared
from dxbench_baselines.starts.config import FewStepConfig, FewStepNetwork
from dxbench_baselines.starts.models import model_of
from dxbench_baselines.starts.presets import POINTS_DDPM
from dxbench_baselines.starts.stages import Tuning
from dxmi.arrays import Points
from dxmi.backbones.few_steps import AnyFewSteps, FastDPMSteps
from dxmi.backbones.small import SIGMA_DATA
from dxmi.energies.critics import AnyCritic, MLPCritic
from dxmi.energies.values import TimeIndependentValue
from dxmi.models import PolicySampler
from dxmi.sampling.policies import GaussianPolicy
from dxmi.training.optimisers import Learner
from dxmi.training.policy_gradient import critic_loss

# Policy and critic chase each other: with momentum both overshoot, and the chain's score swings around its average.
GAME_BETAS = (0.0, 0.99)


class PolicyGradientConfig(FewStepConfig):
    """Settings that methods of policy gradient have in common."""

    num_steps: int = Field(default=10, ge=2, description="sampling steps = NFE")
    backbone: Backbone[FewStepNetwork] = Field(
        default=POINTS_DDPM, description="the DDPM that is the start, and its training"
    )
    sampler: AnyFewSteps = Field(
        default=FastDPMSteps(last_std=0.05, min_std=0.05), description="the start's steps, whose stds stay"
    )
    critic: AnyCritic = Field(default=MLPCritic(), description="the layout of critic and value")
    critic_steps: PositiveInt = Field(default=4, description="critic steps per iteration")
    critic_warmup: NonNegativeInt = Field(default=100, description="iterations before the policy moves")
    policy_passes: PositiveInt = Field(default=1, description="policy steps per iteration")
    data_noise: NonNegativeFloat = Field(default=0.0, description="std of noise on the data that the critic sees")
    iterations: PositiveInt = 1500
    batch_size: PositiveInt = 256
    betas: tuple[float, float] = Field(default=GAME_BETAS, description="of the optimisers of policy and critic")
    policy_lr: PositiveFloat = 1e-4
    critic_lr: PositiveFloat = 2e-3
    lr_decay: Literal["cosine", "none"] = "cosine"
    max_grad_norm: PositiveFloat = Field(default=1.0, description="of the policy's gradient")
    ema_decay: float = Field(default=0.997, ge=0, lt=1)


class PolicyGradient(Tuning):
    """A DDPM first, then its few-step sampler against a critic; averaged weights sample.

    Attributes:
        before: the start's few steps.
        steps: the policy under training; its learner is `policy`.
        cost: the critic, low where data are; its learner is `critic`.
    """

    def __init__(self, problem: Problem, config: PolicyGradientConfig, compute: Compute, rng: RandomStreams) -> None:
        begun, size = config.begin(problem, compute, rng), config.batch_size
        super().__init__(problem, begun, compute, rng, batch_size=size, iterations=config.iterations)
        self.config: Any = config
        self.before = self.few_steps(begun.average)
        self.steps = self.few_steps(prepared(config.network, deepcopy(begun.net), compute))
        self.cost = TimeIndependentValue(self.critic_net(None, rng.torch("init critic"))).to(self.device)
        self.policy = self.learner(
            self.steps, config.policy_lr, config.policy_passes, betas=config.betas, max_grad_norm=config.max_grad_norm
        )
        self.critic = self.learner(self.cost, config.critic_lr, config.critic_steps, betas=config.betas)

    def few_steps(self, net: nn.Module) -> GaussianPolicy:
        """The few steps around a net; their stds are not trained."""
        return self.config.policy(net, self.problem.event_shape, trainable=False).to(self.device)

    def critic_net(self, num_levels: int | None, generator: Generator) -> nn.Module:
        """A net of the critic's layout: of points, or of points and steps."""
        shape = self.problem.event_shape
        return self.config.critic.net(shape, num_levels=num_levels, data_std=SIGMA_DATA, generator=generator)

    def learner(self, module: nn.Module, lr: float, per_iteration: int, **rest: Any) -> Learner:
        """A module with its optimiser, for so many steps per iteration."""
        config = self.config
        return Learner(
            module,
            lr=lr,
            iterations=config.iterations * per_iteration,
            ema_decay=config.ema_decay,
            lr_decay=config.lr_decay,
            **rest,
        )

    def parts(self) -> dict[str, Learner]:
        return {"policy": self.policy, "critic": self.critic}

    def begin(self) -> None:
        self.policy.begin_from(self.before.state_dict())

    def data(self) -> Tensor:
        """A batch as the critic sees it."""
        data, *_ = self.begun.data.batch(self.config.batch_size, rng=self.data_rng)
        noise = self.config.data_noise
        return data if noise == 0 else data + noise * self.noise.normal(0)

    def penalised_step(self, samples: Points, penalty: float) -> Tensor:
        """A step of the critic of an integral probability metric, kept Lipschitz by a gradient penalty; its loss."""
        mix = torch.rand(len(samples), generator=self.noise.generator, device=samples.device)
        return self.critic.descend(critic_loss(self.cost, self.data(), samples, mix, penalty=penalty).mean())

    def model(self) -> Model:
        policy = self.policy.average
        assert isinstance(policy, GaussianPolicy)
        return replace(self._model_of(policy), start=self._model_of(self.before))

    def _model_of(self, policy: GaussianPolicy) -> Model:
        sampler = PolicySampler(
            policy=policy,
            noiseless_last_step=self.config.sampler.noiseless_last_step,
            scale=self.begun.data.scale,
        )
        return model_of(sampler, self.begun.data)
