"""DxMI: diffusion by maximum entropy inverse reinforcement learning (arXiv:2407.00626, NeurIPS 2024).

A sampler of few Gaussian steps and an energy are trained against each other; value functions carry the energy
back to every step (DxDP), so that no gradient runs through the chain. The update rule is `dxmi.algorithms.dxmi`;
this file chooses its parts for points in the plane.

Sources and deviations. The paper does not state networks, optimiser, learning rates, batch size or length for
its 2D experiment; docs/methods/dxmi.md says how ours were chosen. `tau` is per dimension, as in
the released code: D times the tau of the paper's Eq. 8, so that p is proportional to exp(-E / (tau / D)). All K
value steps share one forward pass (`sweep=batched`); `sequential` is the order of Algorithm 1. The log-std
learns `std_lr_ratio` times as fast as the sampler (paper, App. B: 100).
"""

from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from dxbench.api import Compute, Config, Method, Problem, RandomStreams, Training
from dxmi.algorithms.dxmi import DxMIUpdate, batched_sweep, sequential_sweep
from dxmi.costs import RunningCost, StepCost, VelocityVariance, linear_time_cost, no_time_cost, sigmoid_time_cost
from dxmi.denoising import denoising_loss
from dxmi.nets.mlp import StepMLP, Unconditional
from dxmi.noise import SeededNoise, StreamNoise
from dxmi.optimisers import Trainee, cosine_adam, ema
from dxmi.policies import GaussianPolicy
from dxmi.rollout import sample, value_guidance
from dxmi.schedules import VPSchedule
from dxmi.values import SeparateEnergy, SharedValue, TimeIndependentValue


class DxMIConfig(Config):
    """Of DxMI on points in the plane."""

    num_steps: PositiveInt = Field(default=5, description="sampling steps T = NFE")
    start: Literal["scratch", "ddpm"] = Field(default="scratch", description="sampler before DxMI: untrained or a DDPM")
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
    policy_hidden: PositiveInt = 128
    value_hidden: PositiveInt = 128
    depth: PositiveInt = 2
    value_octaves: int = Field(default=3, ge=0, description="octaves of cos and sin of x that the value nets see")
    start_std: PositiveFloat = Field(default=0.5, description="std of every step, from scratch")
    pretrain_iterations: PositiveInt = Field(default=2000, description="DDPM iterations before DxMI, start=ddpm")
    pretrain_last_std: PositiveFloat = Field(default=0.2, description="std of the start's last step, start=ddpm")


# Sampler and energy chase each other, so a long memory of squared gradients is out of date.
ADAM_BETAS = (0.9, 0.99)


class DxMI(Method):
    """Sampler and energy by maximum entropy inverse reinforcement learning, without back-propagation in time."""

    name = "dxmi"
    version = 1
    family = "energy-based"
    citation = "Yoon et al. 2024, arXiv:2407.00626"
    Config = DxMIConfig

    def start(self, problem: Problem, config: DxMIConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return DxMITraining(problem, config, compute, rng)


def build_policy(config: DxMIConfig, dim: int, rng: RandomStreams) -> GaussianPolicy:
    """The sampler before training: residual steps, or DDPM's ancestral steps around a noise predictor."""
    steps = config.num_steps
    net = StepMLP(
        dim_in=dim,
        dim_out=dim,
        num_levels=steps,
        hidden=config.policy_hidden,
        depth=config.depth,
        generator=rng.torch("init policy"),
        zero_output=config.start == "scratch",
    )
    trainable = [True] * steps
    if config.start == "scratch":
        std = torch.full((steps,), config.start_std)
        return GaussianPolicy.from_scratch(net, event_shape=(dim,), std=std, trainable_std=trainable)
    return GaussianPolicy.from_noise_predictor(
        net,
        VPSchedule.linear(steps),
        event_shape=(dim,),
        last_std=config.pretrain_last_std,
        trainable_std=trainable,
    )


def build_value(
    config: DxMIConfig, dim: int, rng: RandomStreams
) -> SharedValue | TimeIndependentValue | SeparateEnergy:
    """Energy and value."""
    steps = config.num_steps

    def net(levels: int, stream: str) -> StepMLP:
        return StepMLP(
            dim_in=dim,
            dim_out=1,
            num_levels=levels,
            hidden=config.value_hidden,
            depth=config.depth,
            x_octaves=config.value_octaves,
            generator=rng.torch(stream),
        )

    match config.value:
        case "shared":
            return SharedValue(net(steps + 1, "init value"), num_steps=steps)
        case "time_independent":
            return TimeIndependentValue(Unconditional(net(1, "init value")))
        case "separate":
            energy = Unconditional(net(1, "init energy"))
            return SeparateEnergy(energy, net(steps, "init value"), num_steps=steps)


def build_value_cost(config: DxMIConfig, running: RunningCost) -> StepCost:
    """What a step costs inside the value target."""
    match config.value_cost:
        case "running":
            return running
        case "none":
            return no_time_cost(config.num_steps)
        case "linear":
            return linear_time_cost(config.num_steps)
        case "sigmoid":
            return sigmoid_time_cost(config.num_steps)


class DxMITraining(Training):
    """DDPM pretraining where the start asks for it, then DxMI; EMA weights are evaluated."""

    def __init__(self, problem: Problem, config: DxMIConfig, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device = problem, config, compute.device
        (dim,) = problem.event_shape
        self.policy = build_policy(config, dim, rng).to(self.device)
        self.value = build_value(config, dim, rng).to(self.device)
        self.policy_ema = ema(self.policy, config.ema_decay)
        self.value_ema = ema(self.value, config.ema_decay)
        self.policy_optimiser, self.policy_decay = cosine_adam(
            [
                {"params": self.policy.net.parameters(), "lr": config.policy_lr},
                {"params": [self.policy.learned_log_std], "lr": config.policy_lr * config.std_lr_ratio},
            ],
            config.iterations,
            betas=ADAM_BETAS,
        )
        self.value_optimiser, self.value_decay = cosine_adam(
            [{"params": self.value.parameters(), "lr": config.value_lr}], config.iterations, betas=ADAM_BETAS
        )
        running = RunningCost(
            tau_entropy=config.tau,
            tau_velocity=config.tau if config.tau_velocity is None else config.tau_velocity,
            num_steps=config.num_steps,
            skip_last=config.skip_last,
        )
        self.velocity = VelocityVariance(self.policy.step_log_stds().exp(), decay=config.avr_decay)
        sweep = batched_sweep if config.sweep == "batched" else sequential_sweep
        self.update = DxMIUpdate(
            policy=Trainee(module=self.policy, optimizer=self.policy_optimiser),
            value=Trainee(module=self.value, optimizer=self.value_optimiser),
            policy_cost=running,
            value_cost=build_value_cost(config, running),
            gamma=config.gamma,
            velocity=self.velocity,
            sweep=sweep(config.num_steps),
        )
        self.data_rng = rng.numpy("data")
        self.generator = rng.torch("noise", device=self.device)
        self.pretraining = Pretraining(self.policy, config) if config.start == "ddpm" else None
        self.steps_done = 0

    @property
    def total_steps(self) -> int:
        return self.config.iterations + (self.config.pretrain_iterations if self.pretraining else 0)

    def step(self) -> dict[str, float | Tensor]:
        data = self.problem.data.batch(self.config.batch_size, rng=self.data_rng).to(self.device)
        self.steps_done += 1
        if self.pretraining is not None and self.steps_done <= self.config.pretrain_iterations:
            loss = self.pretraining.step(data, self._noise(1))
            if self.steps_done == self.config.pretrain_iterations:
                self.pretraining.hand_over()
            return {"denoising_loss": loss}
        scalars = self.update(data, self._noise(1), self._noise(self.config.num_steps))
        self.policy_decay.step()
        self.value_decay.step()
        self.policy_ema.update_parameters(self.policy)
        self.value_ema.update_parameters(self.value)
        return dict(scalars)

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
        return parts if self.pretraining is None else parts | {"pretraining": self.pretraining}

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()} | {"steps_done": self.steps_done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.steps_done = state["steps_done"]

    def model(self) -> "DxMIModel":
        (dim,) = self.problem.event_shape
        policy, value = self.policy_ema.module, self.value_ema.module
        assert isinstance(policy, GaussianPolicy)
        assert isinstance(value, SharedValue | TimeIndependentValue | SeparateEnergy)
        return DxMIModel(
            policy,
            value,
            temperature=self.config.tau / dim if self.config.tau > 0 else None,
            guidance=self.config.guidance,
        )


class Pretraining:
    """The noise predictor inside the policy, trained as a DDPM; its average is handed to DxMI."""

    def __init__(self, policy: GaussianPolicy, config: DxMIConfig) -> None:
        self.net: nn.Module = policy.net
        self.schedule = VPSchedule.linear(config.num_steps)
        self.optimiser, self.decay = cosine_adam(
            [{"params": self.net.parameters(), "lr": 1e-3}], config.pretrain_iterations
        )
        self.ema = ema(self.net, config.ema_decay)

    def step(self, data: Tensor, noise: StreamNoise) -> Tensor:
        loss = denoising_loss(self.net, self.schedule, data, noise).mean()
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.decay.step()
        self.ema.update_parameters(self.net)
        return loss.detach()

    def hand_over(self) -> None:
        self.net.load_state_dict(self.ema.module.state_dict())

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimiser": self.optimiser.state_dict(),
            "decay": self.decay.state_dict(),
            "ema": self.ema.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimiser.load_state_dict(state["optimiser"])
        self.decay.load_state_dict(state["decay"])
        self.ema.load_state_dict(state["ema"])


class DxMIModel:
    """The averaged sampler, energy and values."""

    def __init__(
        self,
        policy: GaussianPolicy,
        value: SharedValue | TimeIndependentValue | SeparateEnergy,
        *,
        temperature: float | None,
        guidance: float,
    ) -> None:
        self.policy, self._value = policy, value
        self.temperature = temperature
        self.num_steps = policy.num_steps
        self._guidance = value_guidance(value, strength=guidance) if guidance > 0 else None
        # Guidance evaluates the value nets while sampling, so their passes count as NFE too.
        guides = [m for m in value.modules() if isinstance(m, StepMLP)] if self._guidance else []
        self.networks = (policy.net, *guides)

    def sample(self, seeds: Tensor) -> Tensor:
        noise = SeededNoise(seeds=seeds.to(self._device), event_shape=self.policy.event_shape)
        return sample(self.policy, noise, guidance=self._guidance)

    def energy(self, x: Tensor) -> Tensor:
        return self._value.energy(x)

    def value(self, x: Tensor, k: int) -> Tensor:
        return self._value.value(x, torch.full((len(x),), k, dtype=torch.int64, device=x.device))

    @property
    def _device(self) -> torch.device:
        return next(self.policy.parameters()).device
