"""DDPO: a few-step sampler led by a reward, its ratios clipped (Black et al. 2023, arXiv:2305.13301).

Sampling is a decision process whose only reward comes at its end. PPO's clipped ratio of pi(x_{k+1} | x_k) weighs the
reward's advantage, relative to its group's mean and std as GRPO has it (arXiv:2402.03300, Flow-GRPO arXiv:2505.05470),
and a penalty keeps every step near the start's (DPOK, arXiv:2305.16381). No gradient of the reward is used, as in
SFT-PG, whose start and critic it has; the reward is minus the critic, `reward` says of which kind. Deviations: an
unconditional sampler has no prompts, so that a group is the batch, or chains of one initial noise (`group_size`);
advantages are not bounded; all transitions of a rollout go into every step; PPO's clip is far above the source's 1e-4;
no optimiser has momentum, and rates fall along a cosine; MLPs, rates and lengths are for points in the plane.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator
from torch import Tensor

from dxbench.api import Compute, Method, Problem, RandomStreams, Training
from dxbench_baselines.starts.policy_gradient import PolicyGradient, PolicyGradientConfig
from dxmi.arrays import Points
from dxmi.losses import discrimination_loss
from dxmi.sampling.rollouts import rollout
from dxmi.training.policy_gradient import clipped_loss, group_relative, step_divergence


@dataclass(frozen=True, kw_only=True)
class LearnedReward:
    """Minus a critic that goes on learning: an integral probability metric with a gradient penalty, as SFT-PG's.

    Attributes:
        penalty: its weight.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    kind: Literal["learned"] = "learned"
    penalty: NonNegativeFloat = 0.3

    def learn(self, training: "DDPOTraining", samples: Points) -> Tensor | None:
        """A step of the critic at samples of the policy; its loss, or None where it is held."""
        return training.penalised_step(samples, self.penalty)


@dataclass(frozen=True, kw_only=True)
class FixedReward:
    """ln p_data / p_start by a critic that tells data from the start's samples, held once the policy moves.

    With `kl=1` and `scaled=false` its optimum is the law of the data, since the start's own law times the ratio is.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    kind: Literal["fixed"] = "fixed"

    def learn(self, training: "DDPOTraining", samples: Points) -> Tensor | None:
        """A step of the critic at samples of the start; its loss, or None where it is held."""
        if training.policy_moves:
            return None
        energy = training.cost.energy(torch.cat([training.data(), samples]))
        return training.critic.descend(discrimination_loss(*energy.chunk(2)).mean())


class DDPOConfig(PolicyGradientConfig):
    """Settings of policy gradient with clipped ratios."""

    reward: Annotated[LearnedReward | FixedReward, Field(discriminator="kind")] = Field(
        default=LearnedReward(), description="learned along with the policy, or learned at the start and fixed"
    )
    group_size: int | None = Field(
        default=None, ge=2, description="chains of one initial noise that advantages are relative to; none: the batch"
    )
    scaled: bool = Field(default=True, description="advantages over the std of their group")
    clip: PositiveFloat = Field(default=0.2, lt=1, description="how far a ratio may go from 1")
    kl: NonNegativeFloat = Field(default=0.0, description="weight of the divergence of every step from the start's")
    batch_size: int = Field(default=256, ge=2)

    @model_validator(mode="after")
    def _groups_fill_the_batch(self) -> Self:
        if self.batch_size % self.group:
            raise ValueError(
                f"a batch of {self.batch_size} chains has no whole groups of {self.group}; let group_size divide "
                "batch_size"
            )
        return self

    @model_validator(mode="after")
    def _reward_is_learned(self) -> Self:
        if isinstance(self.reward, FixedReward) and self.critic_warmup == 0:
            raise ValueError("a fixed reward is learned before the policy moves; set critic_warmup above 0")
        return self

    @property
    def group(self) -> int:
        """Members of a group."""
        return self.group_size or self.batch_size


class DDPO(Method):
    """A few-step DDPM finetuned by policy gradient with clipped ratios, group-relative advantages and a KL penalty."""

    name = "ddpo"
    version = 1
    family = "diffusion"
    citation = "Black et al. 2023, arXiv:2305.13301"
    recipes = ".recipes.ddpo"
    Config = DDPOConfig

    def start(self, problem: Problem, config: DDPOConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return DDPOTraining(problem, config, compute, rng)


class DDPOTraining(PolicyGradient):
    """Rollouts, the reward's steps at their samples, then the policy's at their transitions."""

    config: DDPOConfig

    @property
    def policy_moves(self) -> bool:
        """False while the reward alone learns."""
        return self.done >= self.config.critic_warmup

    def advance(self) -> dict[str, float | Tensor]:
        config, steps = self.config, self.steps
        trajectory = rollout(steps, self.noise, start=steps.start(self.initial_noise()))
        scalars: dict[str, float | Tensor] = {}
        for _ in range(config.critic_steps):
            if (loss := config.reward.learn(self, trajectory.samples)) is not None:
                scalars["critic_loss"] = loss
        if not self.policy_moves:
            return scalars
        move = trajectory.transitions(tuple(range(trajectory.num_steps)))
        with torch.no_grad():
            cost = self.cost.energy(trajectory.samples)
            advantage = group_relative(cost, config.group, scaled=config.scaled).repeat(trajectory.num_steps)
            before = steps.log_prob(move.x, move.k, move.x_next)
        for _ in range(config.policy_passes):
            loss = clipped_loss(steps.log_prob(move.x, move.k, move.x_next), before, advantage, clip=config.clip)
            if config.kl > 0:
                loss = loss + config.kl * step_divergence(steps, self.before, move.x, move.k)
            scalars["policy_loss"] = self.policy.descend(loss.mean())
        return scalars | {"reward": -cost.mean()}

    def initial_noise(self) -> Tensor:
        """Noise of each chain's start, [b, *event]: of its own, or its group's."""
        own = self.noise.normal(0)
        return (
            own if self.config.group_size is None else own[:: self.config.group].repeat_interleave(self.config.group, 0)
        )
