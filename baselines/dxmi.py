"""DxMI: diffusion by maximum entropy inverse reinforcement learning (arXiv:2407.00626, NeurIPS 2024).

A sampler of few Gaussian steps and an energy are trained against each other; value functions carry the energy
back to every step (DxDP), so that no gradient runs through the chain. The update rule is `dxmi.algorithms.dxmi`;
this file chooses its parts, for points in the plane and for small images.

Sources and deviations. The paper does not state networks, optimiser, learning rates, batch size or length for
its 2D experiment; docs/methods/dxmi.md says how ours were chosen. `tau` is per dimension, as in
the released code: D times the tau of the paper's Eq. 8, so that p is proportional to exp(-E / (tau / D)). All K
value steps share one forward pass (`sweep=batched`); `sequential` is the order of Algorithm 1. The log-std
learns `std_lr_ratio` times as fast as the sampler (paper, App. B: 100).
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from dxbench.api import Compute, Config, Method, Need, Problem, RandomStreams, Training
from dxmi.algorithms.dxmi import DxMIUpdate, batched_sweep, sequential_sweep
from dxmi.backbones import IMAGE_DDPM, DDPMBackbone
from dxmi.costs import TIME_COSTS, RunningCost, VelocityVariance
from dxmi.denoising import DDPMLoss, DenoiserTraining
from dxmi.models import EnergyPolicyModel, FineTunedModel
from dxmi.nets.mlp import StepMLP
from dxmi.noise import StreamNoise
from dxmi.optimisers import Trainee, cosine_adam, ema
from dxmi.parallel import ONE_PROCESS
from dxmi.policies import GaussianPolicy
from dxmi.rollout import value_guidance
from dxmi.schedules import VPSchedule
from dxmi.values import ValueNet, make_value

# Sampler and energy chase each other, so a long memory of squared gradients is out of date.
POINTS_BETAS = (0.9, 0.99)
# On images no memory of gradients at all damps the chase, and a long one of their squares lets steps shrink with them.
IMAGE_BETAS = (0.0, 0.999)


class DxMIBase(Config):
    """The update rule's side of the configuration, whatever the data."""

    num_steps: PositiveInt = Field(default=5, description="sampling steps T = NFE")
    value: Literal["shared", "time_independent", "separate"] = Field(
        default="shared", description="V_K = E in one net; V_k = E for all k; or an energy net of its own"
    )
    value_cost: Literal["running", "none", "linear", "sigmoid"] = Field(
        default="running", description="inside the value target: the running cost (Eq. 10) or a time cost (Eq. 12)"
    )
    sweep: Literal["batched", "sequential"] = Field(
        default="batched", description="steps of a sweep in one pass or one by one"
    )
    tau: NonNegativeFloat = Field(default=0.1, description="temperature per dimension, of entropy and velocity alike")
    tau_velocity: NonNegativeFloat | None = Field(default=None, description="coefficient of the velocity; None: tau")
    gamma: NonNegativeFloat = Field(default=1.0, description="weight of the squared energies")
    avr_decay: float = Field(default=0.99, ge=0, le=1, description="EMA of the velocity variances; 1 switches AVR off")
    skip_last: int = Field(default=0, ge=0, description="last steps without running cost")
    guidance: NonNegativeFloat = Field(default=0.0, description="value guidance when sampling: x - guidance std grad V")
    iterations: PositiveInt = 5000
    batch_size: PositiveInt = 200
    policy_lr: PositiveFloat = 1e-3
    value_lr: PositiveFloat = 1e-3
    std_lr_ratio: PositiveFloat = Field(default=10.0, description="log-std's learning rate over the sampler's")
    ema_decay: float = Field(default=0.995, ge=0, lt=1)

    def parts(self, problem: Problem, compute: Compute, rng: RandomStreams) -> "Parts":
        """Networks and start."""
        raise NotImplementedError


class DxMIConfig(DxMIBase):
    """Of DxMI on points in the plane."""

    needs = frozenset({Need.VECTORS})

    start: Literal["scratch", "ddpm"] = Field(default="scratch", description="sampler before DxMI: untrained or a DDPM")
    policy_hidden: PositiveInt = 128
    value_hidden: PositiveInt = 128
    depth: PositiveInt = 2
    value_octaves: int = Field(default=3, ge=0, description="octaves of cos and sin of x that the value nets see")
    start_std: PositiveFloat = Field(default=0.5, description="std of every step, from scratch")
    pretrain_iterations: PositiveInt = Field(default=2000, description="DDPM iterations before DxMI, start=ddpm")
    pretrain_last_std: PositiveFloat = Field(default=0.2, description="std of the start's last step, start=ddpm")

    def parts(self, problem: Problem, compute: Compute, rng: RandomStreams) -> "Parts":
        (dim,) = problem.event_shape

        def net(levels: int, stream: str) -> nn.Module:
            return StepMLP(
                dim_in=dim,
                dim_out=1,
                num_levels=levels,
                hidden=self.value_hidden,
                depth=self.depth,
                x_octaves=self.value_octaves,
                generator=rng.torch(stream),
            )

        policy = self._policy(dim, rng).to(compute.device)
        value = make_value(self.value, net, num_steps=self.num_steps).to(compute.device)
        return Parts(policy=policy, value=value, pretraining=self._pretraining(policy, problem, compute, rng))

    def _policy(self, dim: int, rng: RandomStreams) -> GaussianPolicy:
        """Residual steps, or DDPM's ancestral steps around a noise predictor."""
        net = StepMLP(
            dim_in=dim,
            dim_out=dim,
            num_levels=self.num_steps,
            hidden=self.policy_hidden,
            depth=self.depth,
            generator=rng.torch("init policy"),
            zero_output=self.start == "scratch",
        )
        trainable = [True] * self.num_steps
        if self.start == "scratch":
            std = torch.full((self.num_steps,), self.start_std)
            return GaussianPolicy.from_scratch(net, event_shape=(dim,), std=std, trainable_std=trainable)
        return GaussianPolicy.from_noise_predictor(
            net,
            VPSchedule.linear(self.num_steps),
            event_shape=(dim,),
            last_std=self.pretrain_last_std,
            trainable_std=trainable,
        )

    def _pretraining(
        self, policy: GaussianPolicy, problem: Problem, compute: Compute, rng: RandomStreams
    ) -> DenoiserTraining | None:
        if self.start == "scratch":
            return None
        data_rng = rng.numpy("data")
        return DenoiserTraining(
            policy.net,
            DDPMLoss(schedule=VPSchedule.linear(self.num_steps)),
            data=lambda: problem.data.batch(self.batch_size, rng=data_rng).to(compute.device),
            noise=StreamNoise(
                batch_size=self.batch_size,
                event_shape=problem.event_shape,
                generator=rng.torch("noise", device=compute.device),
            ),
            iterations=self.pretrain_iterations,
            lr=1e-3,
            ema_decay=self.ema_decay,
            parallel=compute.parallel or ONE_PROCESS,
        )


class DxMIImageConfig(DxMIBase):
    """Of DxMI on small images, from a DDPM. docs/methods/dxmi.md says what each of these is for."""

    needs = frozenset({Need.SMALL_IMAGES})

    num_steps: PositiveInt = Field(default=4, description="sampling steps T = NFE, of the backbone's 1,000")
    value_cost: Literal["running", "none", "linear", "sigmoid"] = Field(
        default="none", description="inside the value target: the running cost (Eq. 10) or a time cost (Eq. 12)"
    )
    tau: NonNegativeFloat = Field(default=0.01, description="temperature per dimension, of entropy and velocity alike")
    iterations: PositiveInt = 400
    batch_size: PositiveInt = 128
    policy_lr: PositiveFloat = 1.5e-5
    value_lr: PositiveFloat = 5e-4
    ema_decay: float = Field(default=0.98, ge=0, lt=1)
    head_start: NonNegativeInt = Field(
        default=100, description="iterations of energy and value before the policy moves"
    )
    policy_from: NonNegativeInt = Field(default=1, description="first step k that takes policy steps")
    max_grad_norm: PositiveFloat | None = Field(default=None, description="of the policy's gradient")
    value_hidden: PositiveInt = 256
    value_depth: PositiveInt = 2
    data_noise: NonNegativeFloat = Field(default=0.15, description="std of noise on the data that the energy sees")
    first_level: int = Field(default=400, ge=0, description="step of the backbone's chain that sampling begins at")
    last_std: PositiveFloat = Field(default=0.15, description="std of the last step, for training only")
    backbone: DDPMBackbone = Field(default=IMAGE_DDPM, description="the start's noise predictor and its training")

    def parts(self, problem: Problem, compute: Compute, rng: RandomStreams) -> "Parts":
        shape = problem.event_shape

        def net(levels: int, stream: str) -> nn.Module:
            return StepMLP(
                dim_in=math.prod(shape),
                dim_out=1,
                num_levels=levels,
                hidden=self.value_hidden,
                depth=self.value_depth,
                generator=rng.torch(stream),
            )

        pretraining = self.backbone.training(problem, compute, rng.common)
        return Parts(
            policy=self._policy(pretraining.net, shape).to(compute.device),
            value=make_value(self.value, net, num_steps=self.num_steps).to(compute.device),
            pretraining=pretraining,
            start=self._policy(pretraining.average, shape).to(compute.device),
            data_noise=self.data_noise,
            head_start=self.head_start,
            policy_from=self.policy_from,
            max_grad_norm=self.max_grad_norm,
            betas=IMAGE_BETAS,
        )

    def _policy(self, net: nn.Module, event_shape: tuple[int, ...]) -> GaussianPolicy:
        return self.backbone.policy(
            net,
            event_shape=event_shape,
            num_steps=self.num_steps,
            first_level=self.first_level,
            last_std=self.last_std,
            trainable_std=[True] * (self.num_steps - 1) + [False],
        )


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the training is given to work on.

    Attributes:
        pretraining: of the policy's net, before DxMI.
        start: the policy around the pretraining's average, kept beside the one that DxMI moves.
        data_noise: std of Gaussian noise on the data that the energy learns from.
        head_start: iterations in which energy and value learn and the policy stands still.
        policy_from: first step that takes policy steps.
        max_grad_norm: of the policy's gradient.
        betas: of Adam, for policy and value.
    """

    policy: GaussianPolicy
    value: ValueNet
    pretraining: DenoiserTraining | None
    start: GaussianPolicy | None = None
    data_noise: float = 0.0
    head_start: int = 0
    policy_from: int = 0
    max_grad_norm: float | None = None
    betas: tuple[float, float] = POINTS_BETAS


class DxMI(Method):
    """Sampler and energy by maximum entropy inverse reinforcement learning, without back-propagation in time."""

    name = "dxmi"
    version = 1
    family = "energy-based"
    citation = "Yoon et al. 2024, arXiv:2407.00626"
    Config = DxMIConfig
    parallel = True

    def start(self, problem: Problem, config: DxMIBase, *, compute: Compute, rng: RandomStreams) -> Training:
        return DxMITraining(problem, config, compute, rng)


class DxMITraining(Training):
    """DDPM pretraining where the start asks for it, then DxMI; EMA weights are evaluated."""

    def __init__(self, problem: Problem, config: DxMIBase, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device = problem, config, compute.device
        self.parts = parts = config.parts(problem, compute, rng)
        self.policy, self.value, self.pretraining = parts.policy, parts.value, parts.pretraining
        if self.pretraining is not None and self.pretraining.finished:
            self._hand_over()
        self.policy_ema = ema(self.policy, config.ema_decay)
        self.value_ema = ema(self.value, config.ema_decay)
        self.policy_optimiser, self.policy_decay = cosine_adam(
            [
                {"params": self.policy.net.parameters(), "lr": config.policy_lr},
                {"params": [self.policy.learned_log_std], "lr": config.policy_lr * config.std_lr_ratio},
            ],
            config.iterations,
            betas=parts.betas,
        )
        self.value_optimiser, self.value_decay = cosine_adam(
            [{"params": self.value.parameters(), "lr": config.value_lr}],
            parts.head_start + config.iterations,
            betas=parts.betas,
        )
        parallel = compute.parallel or ONE_PROCESS
        running = RunningCost(
            tau_entropy=config.tau,
            tau_velocity=config.tau if config.tau_velocity is None else config.tau_velocity,
            num_steps=config.num_steps,
            skip_last=config.skip_last,
        )
        self.velocity = VelocityVariance(self.policy.step_log_stds().exp(), decay=config.avr_decay)
        sweep = batched_sweep if config.sweep == "batched" else sequential_sweep
        self.update = DxMIUpdate(
            policy=Trainee(
                module=self.policy,
                optimizer=self.policy_optimiser,
                max_grad_norm=parts.max_grad_norm,
                parallel=parallel,
            ),
            value=Trainee(module=self.value, optimizer=self.value_optimiser, parallel=parallel),
            policy_cost=running,
            value_cost=running if config.value_cost == "running" else TIME_COSTS[config.value_cost](config.num_steps),
            gamma=config.gamma,
            velocity=self.velocity,
            sweep=sweep(config.num_steps),
            policy_sweep=sweep(config.num_steps, parts.policy_from),
        )
        self.data_rng = rng.numpy("data")
        self.generator = rng.torch("noise", device=self.device)
        self.steps_done = 0

    @property
    def total_steps(self) -> int:
        pretraining = self.pretraining.iterations if self.pretraining else 0
        return pretraining + self.parts.head_start + self.config.iterations

    def step(self) -> dict[str, float | Tensor]:
        if self.pretraining is not None and not self.pretraining.finished:
            loss = self.pretraining.step()
            if self.pretraining.finished:
                self._hand_over()
            return {"denoising_loss": loss}
        data = self.problem.data.batch(self.config.batch_size, rng=self.data_rng).to(self.device)
        if self.parts.data_noise > 0:
            data = data + self.parts.data_noise * self._noise(1).normal(0)
        self.steps_done += 1
        if self.steps_done <= self.parts.head_start:
            scalars = self.update.evaluate_policy(data, self._noise(1))
        else:
            scalars = self.update(data, self._noise(1), self._noise(self.config.num_steps))
            self.policy_decay.step()
        self.value_decay.step()
        self.policy_ema.update_parameters(self.policy)
        self.value_ema.update_parameters(self.value)
        return dict(scalars)

    def _hand_over(self) -> None:
        assert self.pretraining is not None
        self.pretraining.net.load_state_dict(self.pretraining.average.state_dict())

    def _noise(self, chains: int) -> StreamNoise:
        return StreamNoise(
            batch_size=chains * self.config.batch_size, event_shape=self.problem.event_shape, generator=self.generator
        )

    def _parts(self) -> dict[str, Any]:
        parts = {
            "policy": self.policy,
            "value": self.value,
            "policy_ema": self.policy_ema,
            "value_ema": self.value_ema,
            "policy_optimiser": self.policy_optimiser,
            "value_optimiser": self.value_optimiser,
            "policy_decay": self.policy_decay,
            "value_decay": self.value_decay,
            "velocity": self.velocity,
        }
        # The net is the policy's too: the policy is read last, as the pretraining left it behind.
        return parts if self.pretraining is None else {"pretraining": self.pretraining} | parts

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()} | {"steps_done": self.steps_done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.steps_done = state["steps_done"]

    def model(self) -> EnergyPolicyModel:
        policy, value = self.policy_ema.module, self.value_ema.module
        assert isinstance(policy, GaussianPolicy)
        assert isinstance(value, ValueNet)
        dim = math.prod(self.problem.event_shape)
        temperature = self.config.tau / dim if self.config.tau > 0 else None
        guide = value_guidance(value, strength=self.config.guidance) if self.config.guidance > 0 else None
        if self.parts.start is None:
            return EnergyPolicyModel(policy, value, temperature=temperature, guidance=guide)
        return FineTunedModel(
            policy, value, start=self.parts.start, temperature=temperature, guidance=guide, quiet_end=True
        )
