"""SFT-PG: shortcut finetuning of a DDPM by policy gradient (Fan & Lee 2023, arXiv:2301.13362). DxMI's next of kin.

A few-step Gaussian sampler begins as a FastDPM of a DDPM (arXiv:2106.00132, VAR, kappa = 1). A critic f, low at data
and high at samples, estimates an integral probability metric; the sampler goes down E[f(x_K)] by the score-function
gradient E[(f(x_K) - v_k(x_k)) grad log pi(x_{k+1} | x_k)], v a learned baseline. No gradient of f is used. Deviations:
the critic is kept Lipschitz by a gradient penalty (WGAN-GP, arXiv:1704.00028), where the image code relies on small
rates; critic and value have `critic_warmup` rollouts before the policy moves, since a critic that knows nothing leads
it away; no step has a std below `min_std` (released: 0.001, at the last step), because log pi's gradient grows with
1 / std; the start model is trained within the run; data are scaled to a std of 0.5; Adam with cosine decay; MLPs,
rates and lengths are for points in the plane.
"""

from typing import Any

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from dxbench.api import Compute, Config, Method, Problem, RandomStreams, Training
from dxmi.arrays import PerSample, Points
from dxmi.denoisers import AtSteps, check_denoiser
from dxmi.fastdpm import LinearChain
from dxmi.losses import bellman_error
from dxmi.networks import networks
from dxmi.noise import SeededNoise, StreamNoise
from dxmi.optimisers import Learner
from dxmi.policies import GaussianPolicy
from dxmi.protocols import Energy
from dxmi.rollout import rollout, sample
from dxmi.schedules import VPSchedule
from dxmi.teachers import SIGMA_DATA, DDPMTeacher
from dxmi.values import SharedValue

CHAIN = LinearChain()


class SFTPGConfig(Config):
    """Of shortcut finetuning by policy gradient."""

    num_steps: int = Field(default=10, ge=2, description="sampling steps = NFE")
    min_std: PositiveFloat = Field(default=0.05, description="least std of a step, in units of the scaled data")
    critic_steps: PositiveInt = Field(default=4, description="critic steps per rollout")
    policy_passes: PositiveInt = Field(default=1, description="policy steps per rollout")
    critic_warmup: NonNegativeInt = Field(default=100, description="rollouts before the policy moves")
    penalty: NonNegativeFloat = Field(default=0.3, description="weight of the critic's gradient penalty")
    teacher_iterations: PositiveInt = Field(default=10000, description="of the DDPM that is the start")
    teacher_lr: PositiveFloat = 1e-3
    iterations: PositiveInt = 2000
    batch_size: PositiveInt = 128
    policy_lr: PositiveFloat = 3e-5
    critic_lr: PositiveFloat = 2e-3
    value_lr: PositiveFloat = 1e-3
    max_grad_norm: PositiveFloat = 1.0
    ema_decay: float = Field(default=0.995, ge=0, lt=1)
    hidden: PositiveInt = 128
    depth: PositiveInt = 3


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


class SFTPGTraining(Training):
    """A DDPM of 1,000 steps first, then its few-step sampler against the critic; averaged weights sample."""

    def __init__(self, problem: Problem, config: SFTPGConfig, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device = problem, config, compute.device
        self.scale = SIGMA_DATA / problem.data_std
        nets = networks(problem.event_shape, hidden=config.hidden, depth=config.depth, data_std=SIGMA_DATA)
        self.teacher = DDPMTeacher(
            nets,
            rng.torch("init"),
            chain=CHAIN,
            lr=config.teacher_lr,
            iterations=config.teacher_iterations,
            ema_decay=config.ema_decay,
            device=self.device,
        )
        net = nets.denoiser(rng.torch("init policy"), condition_scale=4.0 / CHAIN.length)
        schedule = CHAIN.var_quadratic(config.num_steps)
        policy = few_step_policy(net, schedule, problem.event_shape, min_std=config.min_std)
        self.policy = self._learner(policy, config.policy_lr, config.policy_passes, config.max_grad_norm)
        critic = SharedValue(nets.critic(1, rng.torch("init critic")), num_steps=0)
        self.critic = self._learner(critic, config.critic_lr, config.critic_steps)
        value = SharedValue(nets.critic(config.num_steps, rng.torch("init value")), num_steps=config.num_steps)
        self.value = self._learner(value, config.value_lr, config.policy_passes)
        self.data_rng = rng.numpy("data")
        self.noise = StreamNoise(
            batch_size=config.batch_size,
            event_shape=problem.event_shape,
            generator=rng.torch("noise", device=self.device),
        )
        self.steps_done = 0

    def _learner(self, module: nn.Module, lr: float, per_step: int, max_grad_norm: float | None = None) -> Learner:
        return Learner(
            module.to(self.device),
            lr=lr,
            iterations=self.config.iterations * per_step,
            ema_decay=self.config.ema_decay,
            max_grad_norm=max_grad_norm,
        )

    @property
    def total_steps(self) -> int:
        return self.config.teacher_iterations + self.config.iterations

    def step(self) -> dict[str, float | Tensor]:
        self.steps_done += 1
        tuned = self.steps_done - self.config.teacher_iterations
        if tuned <= 0:
            data = self._data()
            loss = self.teacher.step(data, self.noise)
            if tuned == 0:
                check_denoiser(self.teacher.denoiser, data)
                net = {f"net.{name}": weight for name, weight in self.teacher.steps_net.state_dict().items()}
                self.policy.begin_from(self._policy.state_dict() | net)
            return {"denoising_loss": loss}
        return self._finetune(policy_moves=tuned > self.config.critic_warmup)

    def _finetune(self, *, policy_moves: bool) -> dict[str, float | Tensor]:
        trajectory = rollout(self._policy, self.noise)
        critic_losses = [self._critic_step(trajectory.samples) for _ in range(self.config.critic_steps)]
        move = trajectory.transitions(tuple(range(trajectory.num_steps)))
        with torch.no_grad():
            critic = self._energy(self.critic)
            # The critic's constant is free and drifts; against the data's mean the value has nothing to chase.
            outcome = critic.energy(trajectory.samples) - critic.energy(self._data()).mean()
            outcome = outcome.repeat(trajectory.num_steps)
        value_loss = outcome.new_zeros(())
        for _ in range(self.config.policy_passes):
            foreseen = self._energy(self.value).value(move.x, move.k)
            value_loss = self.value.descend(bellman_error(foreseen, outcome).mean())
            if policy_moves:
                log_prob = self._policy.log_prob(move.x, move.k, move.x_next)
                self.policy.descend(policy_gradient_loss(log_prob, centred(outcome - foreseen)).mean())
        return {"critic_loss": critic_losses[-1], "value_loss": value_loss}

    def _critic_step(self, samples: Tensor) -> Tensor:
        mix = torch.rand(len(samples), generator=self.noise.generator, device=samples.device)
        loss = critic_loss(self._energy(self.critic), self._data(), samples, mix, penalty=self.config.penalty)
        return self.critic.descend(loss.mean())

    @staticmethod
    def _energy(learner: Learner) -> SharedValue:
        assert isinstance(learner.module, SharedValue)
        return learner.module

    def _data(self) -> Tensor:
        return self.scale * self.problem.data.batch(self.config.batch_size, rng=self.data_rng).to(self.device)

    @property
    def _policy(self) -> GaussianPolicy:
        assert isinstance(self.policy.module, GaussianPolicy)
        return self.policy.module

    def _parts(self) -> dict[str, Any]:
        return {"teacher": self.teacher, "policy": self.policy, "critic": self.critic, "value": self.value}

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()} | {"steps_done": self.steps_done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.steps_done = state["steps_done"]

    def model(self) -> "SFTPGModel":
        policy = self.policy.average
        assert isinstance(policy, GaussianPolicy)
        return SFTPGModel(policy, scale=self.scale)


def few_step_policy(
    net: nn.Module, schedule: VPSchedule, event_shape: tuple[int, ...], *, min_std: float
) -> GaussianPolicy:
    """DDPM's ancestral steps of a net of fractional steps; no std is trained."""
    steps = CHAIN.step_of(schedule.alpha_bar[:-1].log())
    return GaussianPolicy.from_noise_predictor(
        AtSteps(net, steps),
        schedule,
        event_shape=event_shape,
        last_std=min_std,
        min_std=min_std,
        trainable_std=[False] * schedule.num_steps,
    )


class SFTPGModel:
    """Ancestral sampling with the finetuned steps."""

    def __init__(self, policy: GaussianPolicy, *, scale: float) -> None:
        self.policy, self._scale = policy, scale
        self.networks = (policy.net,)

    def sample(self, seeds: Tensor) -> Tensor:
        device = self.policy.learned_log_std.device
        noise = SeededNoise(seeds=seeds.to(device), event_shape=self.policy.event_shape)
        return sample(self.policy, noise) / self._scale
