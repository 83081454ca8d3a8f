"""SFT-PG: shortcut finetuning of a DDPM by policy gradient (Fan & Lee 2023, arXiv:2301.13362). DxMI's next of kin.

A few-step Gaussian sampler begins as a FastDPM of a DDPM (arXiv:2106.00132, VAR, kappa = 1). A critic f, low at data
and high at samples, estimates an integral probability metric; the sampler goes down E[f(x_K)] by the score-function
gradient E[(f(x_K) - v_k(x_k)) grad log pi(x_{k+1} | x_k)], v a learned baseline. No gradient of f is used.

Images of 32 pixels and more have the released loop, networks and rates (`several_rollouts`). Deviations in the plane
and on small images: the critic is kept Lipschitz by a gradient penalty (WGAN-GP, arXiv:1704.00028), where the image
code relies on small rates; critic and value have `critic_warmup` rollouts before the policy moves, since a critic that
knows nothing leads it away; no step has a std below `min_std` (released: 0.001, at the last step), because log pi's
gradient grows with 1 / std; the start model is trained first; data are scaled to a std of 0.5; Adam without momentum
for policy and critic, with cosine decay; MLPs, rates and lengths are for points in the plane.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from pydantic import Field, JsonValue, NonNegativeFloat, PositiveFloat
from torch import Tensor

from dxbench.api import Compute, Method, Problem, RandomStreams, Training
from dxbench_baselines.starts.migration import complete, take, with_start
from dxbench_baselines.starts.policy_gradient import PolicyGradient, PolicyGradientConfig
from dxmi.energies.values import SharedValue
from dxmi.losses import bellman_error
from dxmi.sampling.rollouts import rollout
from dxmi.sampling.trajectory import Trajectory
from dxmi.training.optimisers import Learner
from dxmi.training.policy_gradient import centred, policy_gradient_loss


class SFTPGConfig(PolicyGradientConfig):
    """Settings of shortcut finetuning by policy gradient."""

    rollouts: Literal["one", "several"] = Field(
        default="one",
        description="one rollout per iteration, a critic with a gradient penalty, the policy on all transitions; or, "
        "as released, a rollout per critic step, the policy on shuffled transitions of them all",
    )
    penalty: NonNegativeFloat = Field(default=0.3, description="weight of the critic's gradient penalty, rollouts=one")
    value_lr: PositiveFloat = 1e-3


class SFTPG(Method):
    """A few-step DDPM finetuned by policy gradient against a critic of an integral probability metric."""

    name = "sft_pg"
    version = 1
    family = "diffusion"
    citation = "Fan & Lee 2023, arXiv:2301.13362"
    recipes = ".recipes.sft_pg"
    Config = SFTPGConfig

    @classmethod
    def migrate_config(cls, config: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        settings, images = with_start(config, "ddpm")
        if images:
            settings |= {"sampler": images, "rollouts": "several", "betas": [0.9, 0.999], "lr_decay": "none"}
            settings["critic"] = {"kind": "conv", **take(settings, width="critic_width")}
        elif "critic_hidden" in settings:
            std = settings.pop("min_std")
            along = {"kind": "fastdpm", "last_std": std, "min_std": std}
            small = {"kind": "strided", **take(settings, "first_level"), "last_std": std, "noiseless_last_step": True}
            settings["sampler"] = small if "first_level" in config else along
            layout = take(settings, hidden="critic_hidden", depth="critic_depth")
            settings["critic"] = {"kind": "mlp", **layout}
        return complete(cls.Config, settings)

    def start(self, problem: Problem, config: SFTPGConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return SFTPGTraining(problem, config, compute, rng)


class SFTPGTraining(PolicyGradient):
    """Policy gradient with a learned value as its baseline."""

    config: SFTPGConfig

    def __init__(self, problem: Problem, config: SFTPGConfig, compute: Compute, rng: RandomStreams) -> None:
        super().__init__(problem, config, compute, rng)
        value = self.critic_net(config.num_steps, rng.torch("init value"))
        self.baseline = SharedValue(value, num_steps=config.num_steps).to(self.device)
        self.value = self.learner(self.baseline, config.value_lr, config.policy_passes)

    def parts(self) -> dict[str, Learner]:
        return {**super().parts(), "value": self.value}

    def advance(self) -> dict[str, float | Tensor]:
        return ITERATIONS[self.config.rollouts](self)


def one_rollout(training: SFTPGTraining) -> dict[str, float | Tensor]:
    """An iteration for points and small images: critic, value and policy learn from the same chains."""
    config, cost, baseline, steps = training.config, training.cost, training.baseline, training.steps
    policy_moves = training.done >= config.critic_warmup
    trajectory = rollout(steps, training.noise)
    samples = trajectory.samples
    critic_losses = [training.penalised_step(samples, config.penalty) for _ in range(config.critic_steps)]
    move = trajectory.transitions(tuple(range(trajectory.num_steps)))
    with torch.no_grad():
        # The critic's constant is free and drifts; against the data's mean the value has nothing to chase.
        outcome = cost.energy(samples) - cost.energy(training.data()).mean()
        outcome = outcome.repeat(trajectory.num_steps)
    value_loss = outcome.new_zeros(())
    for _ in range(config.policy_passes):
        foreseen = baseline.value(move.x, move.k)
        value_loss = training.value.descend(bellman_error(foreseen, outcome).mean())
        if policy_moves:
            log_prob = steps.log_prob(move.x, move.k, move.x_next)
            training.policy.descend(policy_gradient_loss(log_prob, centred(outcome - foreseen)).mean())
    return {"critic_loss": critic_losses[-1], "value_loss": value_loss}


def several_rollouts(training: SFTPGTraining) -> dict[str, float | Tensor]:
    """An iteration as released: critic and value learn from every rollout, the policy from shuffled transitions."""
    config, steps = training.config, tuple(range(training.config.num_steps))
    losses: dict[str, float | Tensor] = {}
    states = []
    for _ in range(config.critic_steps):
        chains = rollout(training.steps, training.noise)
        difference = training.cost.energy(training.data()) - training.cost.energy(chains.samples)
        losses["critic_loss"] = training.critic.descend(difference.mean())
        with torch.no_grad():
            outcome = training.cost.energy(chains.samples).repeat(len(steps))
        move = chains.transitions(steps)
        error = bellman_error(training.baseline.value(move.x, move.k), outcome)
        losses["value_loss"] = training.value.descend(error.mean())
        states.append(chains.states)
    chains = Trajectory(states=torch.cat(states, dim=1))
    move, ends = chains.transitions(steps), chains.samples.repeat(len(steps), 1, 1, 1)
    order = torch.randperm(len(ends), generator=training.noise.generator, device=ends.device)
    for rows in order[: config.policy_passes * config.batch_size].split(config.batch_size):
        x, k = move.x[rows], move.k[rows]
        with torch.no_grad():
            advantage = training.cost.energy(ends[rows]) - training.baseline.value(x, k)
        # Released: log pi per dimension, which counts where the gradient's norm is bounded.
        log_prob = training.steps.log_prob(x, k, move.x_next[rows]) / math.prod(training.problem.event_shape)
        losses["policy_loss"] = training.policy.descend(policy_gradient_loss(log_prob, advantage).mean())
    return losses


ITERATIONS: dict[str, Callable[[SFTPGTraining], dict[str, float | Tensor]]] = {
    "one": one_rollout,
    "several": several_rollouts,
}
