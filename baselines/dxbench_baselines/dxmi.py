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
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Generator, Tensor, nn

from dxbench.api import Compute, Config, Method, Model, Need, NoTraining, Problem, RandomStreams, Training
from dxbench.staged import FromWeights, StagedTraining, Stateful
from dxmi.algorithms.learner import DxMILearner, Rates
from dxmi.algorithms.sweeps import PolicySweep, ShuffledSteps, batched_sweep, sequential_sweep
from dxmi.backbones.edm import ADMUNet
from dxmi.backbones.images import DDGANGeneratorNet, DDPMUNet
from dxmi.backbones.small import IMAGE_DDPM, DDPMBackbone
from dxmi.backbones.starts import NetworkData, Official
from dxmi.checkpoints import dxmi_sampler, dxmi_value
from dxmi.energies.values import TimeIndependentValue, ValueNet, make_value
from dxmi.models import PolicySampler, ValueGuidance
from dxmi.nets.dropout import set_dropout
from dxmi.nets.energy_resnet import EnergyResNet
from dxmi.nets.mlp import StepMLP
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.schedules.levels import VPSchedule
from dxmi.training.costs import TIME_COSTS, RunningCost
from dxmi.training.denoising import DDPMLoss, DenoiserTraining
from dxmi.training.parallel import ONE_PROCESS

# Sampler and energy chase each other, so a long memory of squared gradients is out of date.
POINTS_BETAS = (0.9, 0.99)
# On images no memory of gradients at all damps the chase, and a long one of their squares lets steps shrink with them.
IMAGE_BETAS = (0.0, 0.999)


SWEEPS = {"batched": batched_sweep, "sequential": sequential_sweep}
ValueKind = Literal["shared", "time_independent", "separate"]
VALUE_KINDS = "V_K = E in one net; V_k = E for all k; or an energy net of its own"


class DxMIBase(Config):
    """The update rule's side of the configuration, whatever the data."""

    num_steps: PositiveInt = Field(default=5, description="sampling steps T = NFE")
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
        """Networks, data and start."""
        raise NotImplementedError

    def rates(self) -> Rates:
        """How they learn."""
        return Rates(
            policy_lr=self.policy_lr,
            value_lr=self.value_lr,
            std_lr_ratio=self.std_lr_ratio,
            iterations=self.iterations,
            betas=POINTS_BETAS,
            ema_decay=self.ema_decay,
        )

    def policy_sweep(self) -> PolicySweep:
        """What the policy learns from."""
        return SWEEPS[self.sweep](self.num_steps)


class DxMIConfig(DxMIBase):
    """Of DxMI on points in the plane."""

    needs = frozenset({Need.VECTORS})

    value: ValueKind = Field(default="shared", description=VALUE_KINDS)
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
        return Parts(
            policy=policy,
            value=value,
            data=NetworkData(source=problem.data, device=compute.device),
            pretraining=self._pretraining(policy, problem, compute, rng),
        )

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

    value: ValueKind = Field(default="shared", description=VALUE_KINDS)
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
            data=NetworkData(source=problem.data, device=compute.device),
            pretraining=pretraining,
            start=self._policy(pretraining.average, shape).to(compute.device),
            data_noise=self.data_noise,
            noiseless_last_step=True,
        )

    def rates(self) -> Rates:
        return replace(
            super().rates(),
            betas=IMAGE_BETAS,
            head_start=self.head_start,
            policy_max_grad_norm=self.max_grad_norm,
        )

    def policy_sweep(self) -> PolicySweep:
        return SWEEPS[self.sweep](self.num_steps, self.policy_from)

    def _policy(self, net: nn.Module, event_shape: tuple[int, ...]) -> GaussianPolicy:
        return self.backbone.policy(
            net,
            event_shape=event_shape,
            num_steps=self.num_steps,
            first_level=self.first_level,
            last_std=self.last_std,
            trainable_std=[True] * (self.num_steps - 1) + [False],
        )


class DxMIUNetConfig(FromWeights, DxMIBase):
    """Of DxMI on images of 32 pixels and more: the paper's five settings, and smaller ones of the same form."""

    num_steps: PositiveInt = Field(default=10, description="sampling steps T = NFE")
    backbone: Annotated[DDPMUNet | DDGANGeneratorNet | ADMUNet, Field(discriminator="kind")] = DDPMUNet()
    value_width: PositiveInt = Field(default=128, description="channels of the energy net, which is the value too")
    value_cost: Literal["running", "none", "linear", "sigmoid"] = Field(
        default="sigmoid", description="inside the value target: the running cost (Eq. 10) or a time cost (Eq. 12)"
    )
    sweep: Literal["batched", "sequential"] = Field(
        default="sequential", description="steps of the values' sweep in one pass or one by one"
    )
    policy_minibatches: PositiveInt = Field(
        default=1, description="minibatches of the policy per iteration, of one transition per chain; up to num_steps"
    )
    tau: NonNegativeFloat = Field(default=0.1, description="of the entropy, per dimension: the paper's tau_1")
    tau_velocity: NonNegativeFloat | None = Field(default=0.01, description="of the velocity: tau_2; None: tau")
    iterations: NonNegativeInt = Field(
        default=78_000, description="0: the backbone's weights are a trained sampler of DxMI's authors, scored as it is"
    )
    batch_size: PositiveInt = 128
    policy_optimiser: Literal["adam", "radam"] = "adam"
    policy_lr: PositiveFloat = 1e-7
    value_lr: PositiveFloat = 1e-5
    std_lr_ratio: PositiveFloat = Field(default=100.0, description="log-std's learning rate over the sampler's")
    lr_decay: Literal["cosine", "none"] = "none"
    policy_max_grad_norm: PositiveFloat | None = None
    td_max_grad_norm: PositiveFloat | None = Field(
        default=None, description="of the gradient of a value (TD) step; the energy step is not clipped"
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="of the sampler's network in policy steps; chains are drawn without"
    )
    labels: Literal["uniform", "batch"] = Field(
        default="batch", description="classes of the chains: each as likely as another, or those of the real batch"
    )
    ema_decay: float = Field(default=0.999, ge=0, lt=1, description="of the weights that are scored, the last ones")

    @model_validator(mode="after")
    def _sampler_can_be_built(self) -> Self:
        self.policy_sweep()
        self.backbone.check_steps(self.num_steps)
        if self.iterations == 0 and self.init == "train":
            raise ValueError("init=train trains a backbone, not DxMI: with iterations=0 nothing would follow it")
        return self

    def uses_data(self) -> bool:
        return self.iterations > 0

    def official_weights(self) -> tuple[str, ...]:
        value = (f"{self.backbone.weights}-value",) if self.iterations == 0 and self.guidance > 0 else ()
        return (*super().official_weights(), *value)

    def selected_on_test(self) -> bool:
        """The released checkpoints are those of the best FID in training, against the statistics that score them."""
        return self.iterations == 0

    def released(self, problem: Problem, compute: Compute, streams: RandomStreams) -> Model:
        """The sampler that DxMI's authors have trained, guided by their value where guidance is asked for."""
        if problem.pretrained is None:
            raise ValueError("the task grants no weights of DxMI's authors; set iterations above 0 and train")
        weights, shape = self.backbone.weights, problem.event_shape
        official, log_std = dxmi_sampler(problem.pretrained.load(weights))
        if len(log_std) != self.num_steps:
            raise ValueError(f"{weights} is a sampler of {len(log_std)} steps, got num_steps={self.num_steps}")
        start = self.backbone.begin(problem, compute, streams, official=official, flips=False)
        policy = self.backbone.policy(start.average, event_shape=shape, num_steps=self.num_steps).to(compute.device)
        with torch.no_grad():
            policy.learned_log_std.copy_(log_std)
        guidance = None
        if self.guidance > 0:
            energy = EnergyResNet(generator=Generator().manual_seed(0), in_channels=shape[0], width=self.value_width)
            energy.load_state_dict(dxmi_value(width=self.value_width)(problem.pretrained.load(f"{weights}-value")))
            value = TimeIndependentValue(energy).to(compute.device)
            guidance = ValueGuidance(value=value, strength=self.guidance)
        return model_of(PolicySampler(policy=policy, guidance=guidance), start.data)

    def parts(self, problem: Problem, compute: Compute, rng: RandomStreams) -> "Parts":
        shape = problem.event_shape
        start = self.begin(problem, compute, rng.common)

        def policy(net: nn.Module) -> GaussianPolicy:
            return self.backbone.policy(net, event_shape=shape, num_steps=self.num_steps).to(compute.device)

        set_dropout(start.net, self.dropout)
        energy = EnergyResNet(generator=rng.torch("init value"), in_channels=shape[0], width=self.value_width)
        return Parts(
            policy=policy(start.net),
            value=TimeIndependentValue(energy).to(compute.device),
            data=start.data,
            pretraining=start.training,
            start=policy(start.average),
            paired_labels=self.labels == "batch",
            start_velocity=self.backbone.start_velocity(self.num_steps),
        )

    def rates(self) -> Rates:
        return replace(
            super().rates(),
            betas=(0.9, 0.999),
            policy_optimiser=self.policy_optimiser,
            lr_decay=self.lr_decay,
            policy_max_grad_norm=self.policy_max_grad_norm,
            td_max_grad_norm=self.td_max_grad_norm,
        )

    def policy_sweep(self) -> PolicySweep:
        return ShuffledSteps(num_steps=self.num_steps, minibatches=self.policy_minibatches)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the training is given to work on.

    Attributes:
        data: that the energy learns from, as the networks see them.
        pretraining: of the policy's net, before DxMI.
        start: the policy before DxMI, kept beside the one that DxMI moves.
        data_noise: std of Gaussian noise on the data.
        paired_labels: the chains have the classes of the batch of data, where there are classes, so that both sides of
            the energy step hold the same ones; else each class is as likely as another.
        start_velocity: what the s_k^2 begin with; None for the policy's own std_k^2.
        noiseless_last_step: a sample is the mean of the last step.
    """

    policy: GaussianPolicy
    value: ValueNet
    data: NetworkData
    pretraining: DenoiserTraining | Official | None
    start: GaussianPolicy | None = None
    data_noise: float = 0.0
    paired_labels: bool = False
    start_velocity: Tensor | None = None
    noiseless_last_step: bool = False


class DxMI(Method):
    """Sampler and energy by maximum entropy inverse reinforcement learning, without back-propagation in time."""

    name = "dxmi"
    version = 1
    family = "energy-based"
    citation = "Yoon et al. 2024, arXiv:2407.00626"
    Config = DxMIConfig
    recipes = ".recipes.dxmi"
    parallel = True

    def start(self, problem: Problem, config: DxMIBase, *, compute: Compute, rng: RandomStreams) -> Training:
        if isinstance(config, DxMIUNetConfig) and config.iterations == 0:
            return NoTraining(config.released(problem, compute, rng.common))
        return DxMITraining(problem, config, compute, rng)


class DxMITraining(StagedTraining):
    """Pretraining where the start asks for it, then DxMI; the averaged weights are evaluated, those of the end."""

    def __init__(self, problem: Problem, config: DxMIBase, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device = problem, config, compute.device
        self.given = given = config.parts(problem, compute, rng)
        running = RunningCost(
            tau_entropy=config.tau,
            tau_velocity=config.tau if config.tau_velocity is None else config.tau_velocity,
            num_steps=config.num_steps,
            skip_last=config.skip_last,
        )
        self.learner = DxMILearner(
            given.policy,
            given.value,
            config.rates(),
            policy_cost=running,
            value_cost=running if config.value_cost == "running" else TIME_COSTS[config.value_cost](config.num_steps),
            gamma=config.gamma,
            avr_decay=config.avr_decay,
            start_velocity=given.start_velocity,
            sweep=SWEEPS[config.sweep](config.num_steps),
            policy_sweep=config.policy_sweep(),
            parallel=compute.parallel or ONE_PROCESS,
        )
        super().__init__(given.pretraining, iterations=self.learner.total_steps)
        self.data_rng = rng.numpy("data")
        self.generator = rng.torch("noise", device=self.device)

    def parts(self) -> dict[str, Stateful]:
        # The net is the policy's too: the learner is read behind the pretraining, as that left the net.
        return {"learner": self.learner}

    def begin(self) -> None:
        if self.given.pretraining is not None:
            self.given.pretraining.net.load_state_dict(self.given.pretraining.average.state_dict())

    def advance(self) -> dict[str, float | Tensor]:
        given, size = self.given, self.config.batch_size
        data, *classes = given.data.batch(size, rng=self.data_rng)
        if given.data_noise > 0:
            data = data + given.data_noise * self._noise(1).normal(0)
        if not given.paired_labels:
            classes = given.data.classes(size, generator=self.generator)
        labels = classes[0] if classes else None
        return dict(self.learner.step(data, self._noise(1), self._noise(self.config.num_steps), labels=labels))

    def _noise(self, chains: int) -> StreamNoise:
        return StreamNoise(
            batch_size=chains * self.config.batch_size,
            event_shape=self.given.policy.noise_shape,
            generator=self.generator,
        )

    def model(self) -> Model:
        config, given, value = self.config, self.given, self.learner.value_average
        dim = math.prod(self.problem.event_shape)
        sampler = PolicySampler(
            policy=self.learner.policy_average,
            guidance=ValueGuidance(value=value, strength=config.guidance) if config.guidance > 0 else None,
            noiseless_last_step=given.noiseless_last_step,
        )
        start = None if given.start is None else replace(sampler, policy=given.start, guidance=None)
        return replace(
            model_of(sampler, given.data),
            energy=value.energy,
            temperature=config.tau / dim if config.tau > 0 else None,
            value=lambda x, k: value.value(x, x.new_full((len(x),), k, dtype=torch.int64)),
            num_steps=config.num_steps,
            start=None if start is None else model_of(start, given.data),
        )


def model_of(sampler: PolicySampler, data: NetworkData) -> Model:
    """A policy of such data as a model that draws."""
    return Model(
        networks=sampler.networks,
        sampler=sampler.sample,
        trajectory_sampler=sampler.trajectory,
        num_classes=data.num_classes,
    )
