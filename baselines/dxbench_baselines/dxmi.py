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
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, Self

import torch
from pydantic import Field, JsonValue, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Generator, Tensor, nn

from dxbench.api import Compute, Method, Model, NoTraining, Problem, RandomStreams, Training
from dxbench_baselines.starts.backbone import Backbone, converted, prepared
from dxbench_baselines.starts.config import FewStepConfig, FewStepNetwork
from dxbench_baselines.starts.migration import complete, of_steps, take, with_start
from dxbench_baselines.starts.models import model_of
from dxbench_baselines.starts.presets import IMAGE_BETAS, POINTS_BETAS, SCRATCH
from dxbench_baselines.starts.stages import Stateful, Tuning
from dxmi.algorithms.learner import DxMILearner, Rates
from dxmi.algorithms.sweeps import PolicySweep, ShuffledSteps, batched_sweep, sequential_sweep
from dxmi.backbones.few_steps import AnyFewSteps, DDGANSteps, ResidualSteps
from dxmi.checkpoints import dxmi_sampler, dxmi_value
from dxmi.energies.critics import AnyCritic, MLPCritic, ResNetCritic
from dxmi.energies.values import TimeIndependentValue, ValueNet, make_value
from dxmi.models import AnySelection, Objective, PolicySampler, Resampling, ValueGuidance
from dxmi.nets.dropout import set_dropout
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.training.costs import RunningCost, ValueCostName, value_cost

SWEEPS = {"batched": batched_sweep, "sequential": sequential_sweep}


class DxMIConfig(FewStepConfig):
    """Settings of DxMI. docs/methods/dxmi.md says what each of these is for."""

    num_steps: PositiveInt = Field(default=5, description="sampling steps T = NFE")
    backbone: Backbone[FewStepNetwork] = Field(default=SCRATCH, description="the start's network and its training")
    sampler: AnyFewSteps = Field(default=ResidualSteps(), description="the steps before DxMI")
    value: Literal["shared", "time_independent", "separate"] = Field(
        default="shared", description="V_K = E in one net; V_k = E for all k; or an energy net of its own"
    )
    critic: AnyCritic = Field(
        default=MLPCritic(depth=2, period=16.0), description="the layout of the nets of energy and value"
    )
    value_cost: ValueCostName = Field(
        default="running", description="inside the value target: the running cost (Eq. 10) or a time cost (Eq. 12)"
    )
    sweep: Literal["batched", "sequential"] = Field(
        default="batched", description="steps of a sweep in one pass or one by one"
    )
    policy_minibatches: PositiveInt | None = Field(
        default=None,
        description="minibatches of the policy per iteration, of one transition per chain, up to num_steps; "
        "None: the steps of the values' sweep",
    )
    policy_from: NonNegativeInt = Field(default=0, description="first step k that takes policy steps in a sweep")
    tau: NonNegativeFloat = Field(default=0.1, description="temperature per dimension, of the entropy: tau_1")
    tau_velocity: NonNegativeFloat | None = Field(default=None, description="of the velocity: tau_2; None: tau")
    gamma: NonNegativeFloat = Field(default=1.0, description="weight of the squared energies")
    avr_decay: float = Field(default=0.99, ge=0, le=1, description="EMA of the velocity variances; 1 switches AVR off")
    skip_last: int = Field(default=0, ge=0, description="last steps without running cost")
    guidance: NonNegativeFloat = Field(default=0.0, description="value guidance when sampling: x - guidance std grad V")
    data_noise: NonNegativeFloat = Field(default=0.0, description="std of noise on the data that the energy sees")
    head_start: NonNegativeInt = Field(default=0, description="iterations of energy and value before the policy moves")
    iterations: NonNegativeInt = Field(
        default=5000, description="0: the official weights are a trained sampler of DxMI's authors, scored as it is"
    )
    batch_size: PositiveInt = 200
    betas: tuple[float, float] = Field(default=POINTS_BETAS, description="of the optimisers of sampler and values")
    policy_optimiser: Literal["adam", "radam"] = "adam"
    policy_lr: PositiveFloat = 1e-3
    value_lr: PositiveFloat = 1e-3
    std_lr_ratio: PositiveFloat = Field(default=10.0, description="log-std's learning rate over the sampler's")
    lr_decay: Literal["cosine", "none"] = "cosine"
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
    ema_decay: float = Field(default=0.995, ge=0, lt=1, description="of the weights that are scored, the last ones")

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        if self.policy_from >= self.num_steps:
            raise ValueError(f"policy_from={self.policy_from} has to be below num_steps={self.num_steps}")
        if self.skip_last > self.num_steps:
            raise ValueError(f"skip_last={self.skip_last} is more than num_steps={self.num_steps}")
        self.policy_sweep()
        if isinstance(self.critic, ResNetCritic) and self.value != "time_independent":
            raise ValueError("an energy net of images takes no step; set value=time_independent, or critic.kind=mlp")
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

    def rates(self) -> Rates:
        """Rates and betas of sampler and values."""
        return Rates(
            policy_lr=self.policy_lr,
            value_lr=self.value_lr,
            std_lr_ratio=self.std_lr_ratio,
            iterations=self.iterations,
            betas=self.betas,
            ema_decay=self.ema_decay,
            head_start=self.head_start,
            policy_optimiser=self.policy_optimiser,
            lr_decay=self.lr_decay,
            policy_max_grad_norm=self.policy_max_grad_norm,
            td_max_grad_norm=self.td_max_grad_norm,
        )

    def policy_sweep(self) -> PolicySweep:
        """The transitions that the policy learns from."""
        if self.policy_minibatches is None:
            return SWEEPS[self.sweep](self.num_steps, self.policy_from)
        return ShuffledSteps(num_steps=self.num_steps, minibatches=self.policy_minibatches, first=self.policy_from)

    def value_net(self, problem: Problem, rng: RandomStreams) -> ValueNet:
        """Energy and values before training."""

        def net(num_levels: int | None, stream: str) -> nn.Module:
            return self.critic.net(
                problem.event_shape, num_levels=num_levels, data_std=problem.data_std, generator=rng.torch(stream)
            )

        return make_value(self.value, net, num_steps=self.num_steps)

    def released(self, problem: Problem, compute: Compute) -> Model:
        """The sampler that DxMI's authors have trained, guided by their value where guidance is asked for."""
        if problem.pretrained is None or self.backbone.weights is None:
            raise ValueError("the task grants no weights of DxMI's authors; set iterations above 0 and train")
        weights, shape = self.backbone.weights, problem.event_shape
        official, log_std = dxmi_sampler(problem.pretrained.load(weights))
        if len(log_std) != self.num_steps:
            raise ValueError(f"{weights} is a sampler of {len(log_std)} steps, got num_steps={self.num_steps}")
        start = converted(self.network, official, problem, compute)
        policy = self.policy(start.average, shape).to(compute.device)
        with torch.no_grad():
            policy.learned_log_std.copy_(log_std)
        guidance = None
        if self.guidance > 0:
            assert isinstance(self.critic, ResNetCritic), "the released values are energy nets of images"
            energy = self.critic.net(shape, num_levels=None, data_std=1.0, generator=Generator().manual_seed(0))
            released = problem.pretrained.load(f"{weights}-value")
            energy.load_state_dict(dxmi_value(width=self.critic.width)(released))
            value = TimeIndependentValue(energy).to(compute.device)
            guidance = ValueGuidance(value=value, strength=self.guidance)
        return model_of(PolicySampler(policy=policy, guidance=guidance), start.data)


class DxMI(Method):
    """Sampler and energy by maximum entropy inverse reinforcement learning, without back-propagation in time."""

    name = "dxmi"
    version = 1
    family = "energy-based"
    citation = "Yoon et al. 2024, arXiv:2407.00626"
    recipes = ".recipes.dxmi"
    Config = DxMIConfig
    parallel = True

    @classmethod
    def migrate_config(cls, config: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        settings, images = with_start(config, "ddpm")
        if images:
            settings |= {"sampler": images, "value": "time_independent", "betas": [0.9, 0.999]}
            settings["critic"] = {"kind": "resnet", **take(settings, width="value_width")}
        elif "first_level" in settings:  # small images
            settings["sampler"] = {
                "kind": "strided",
                **take(settings, "first_level", "last_std"),
                "noiseless_last_step": True,
            }
            settings["critic"] = {"kind": "mlp", **take(settings, hidden="value_hidden", depth="value_depth")}
            settings |= {"betas": IMAGE_BETAS, **take(settings, policy_max_grad_norm="max_grad_norm")}
        elif "policy_hidden" in settings:  # points in the plane
            start, layout = settings.pop("start"), {"depth": settings.pop("depth")}
            settings["backbone"] = of_steps(settings | layout, "depth", hidden="policy_hidden")
            layout |= take(settings, hidden="value_hidden", octaves="value_octaves")
            settings["critic"] = {"kind": "mlp", **layout, "period": 16.0}
            of_start = take(settings, "policy_hidden", "start_std", "pretrain_iterations", "pretrain_last_std")
            if start == "scratch":
                settings["backbone"]["network"]["zero_output"] = True
                settings["backbone"]["pretraining"] = {"iterations": 0}
                settings["sampler"] = {"kind": "residual", "std": of_start["start_std"]}
            else:
                settings["backbone"]["pretraining"] = {
                    "iterations": of_start["pretrain_iterations"],
                    "batch_size": settings["batch_size"],
                    "ema_decay": settings["ema_decay"],
                }
                last_std = of_start["pretrain_last_std"]
                settings["sampler"] = {"kind": "strided", "last_std": last_std, "fix_last": False}
        return complete(cls.Config, settings)

    def start(self, problem: Problem, config: DxMIConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        if config.iterations == 0:
            return NoTraining(config.released(problem, compute))
        return DxMITraining(problem, config, compute, rng)


class DxMITraining(Tuning):
    """The start's training, then DxMI; the averaged weights are evaluated, those of the end."""

    def __init__(self, problem: Problem, config: DxMIConfig, compute: Compute, rng: RandomStreams) -> None:
        begun = config.begin(problem, compute, rng).in_units_of_data()
        rates, value = config.rates(), config.value_net(problem, rng).to(compute.device)
        for net in value.networks:
            prepared(config.network, net, compute)
        super().__init__(
            problem, begun, compute, rng, batch_size=config.batch_size, iterations=rates.head_start + rates.iterations
        )
        self.config = config
        set_dropout(begun.net, config.dropout)
        self.policy = self._policy(begun.net)
        # Kept beside the one that DxMI moves, unless it is a net that nobody else begins from.
        self.before = None if config.network.few_steps else self._policy(begun.average)
        self.cost = RunningCost(
            tau_entropy=config.tau,
            tau_velocity=config.tau if config.tau_velocity is None else config.tau_velocity,
            num_steps=config.num_steps,
            skip_last=config.skip_last,
        )
        self.learner = DxMILearner(
            self.policy,
            value,
            rates,
            policy_cost=self.cost,
            value_cost=value_cost(config.value_cost, self.cost),
            gamma=config.gamma,
            avr_decay=config.avr_decay,
            start_velocity=config.start_velocity(begun.factor),
            sweep=SWEEPS[config.sweep](config.num_steps),
            policy_sweep=config.policy_sweep(),
            parallel=self.parallel,
        )

    def _policy(self, net: nn.Module) -> GaussianPolicy:
        return self.config.policy(net, self.problem.event_shape, factor=self.begun.factor).to(self.device)

    def parts(self) -> dict[str, Stateful]:
        # The net is the policy's too: the learner is read behind the pretraining, as that left the net.
        return {"learner": self.learner}

    def begin(self) -> None:
        self.begun.net.load_state_dict(self.begun.average.state_dict())

    def advance(self) -> dict[str, float | Tensor]:
        config, size, given = self.config, self.config.batch_size, self.begun.data
        data, *classes = given.batch(size, rng=self.data_rng)
        if config.data_noise > 0:
            data = data + config.data_noise * self.noise.normal(0)
        if config.labels == "uniform":
            classes = given.classes(size, generator=self.noise.generator)
        labels = classes[0] if classes else None
        return dict(self.learner.step(data, self._noise(1), self._noise(config.num_steps), labels=labels))

    def _noise(self, chains: int) -> StreamNoise:
        return StreamNoise(
            batch_size=chains * self.config.batch_size,
            event_shape=self.policy.noise_shape,
            generator=self.noise.generator,
        )

    def sampler(self) -> PolicySampler:
        """The averaged policy, guided by the averaged value where guidance is asked for."""
        config, value = self.config, self.learner.value_average
        return PolicySampler(
            policy=self.learner.policy_average,
            guidance=ValueGuidance(value=value, strength=config.guidance) if config.guidance > 0 else None,
            noiseless_last_step=config.sampler.noiseless_last_step,
        )

    def model(self) -> Model:
        config, data, value = self.config, self.begun.data, self.learner.value_average
        dim = math.prod(self.problem.event_shape)
        sampler = self.sampler()
        start = None if self.before is None else replace(sampler, policy=self.before, guidance=None)
        return replace(
            model_of(sampler, data),
            energy=value.energy,
            temperature=config.tau / dim if config.tau > 0 else None,
            value=lambda x, k: value.value(x, x.new_full((len(x),), k, dtype=torch.int64)),
            num_steps=config.num_steps,
            start=None if start is None else model_of(start, data),
        )


class EnergySelectionConfig(DxMIConfig):
    """Settings of DxMI with a choice among candidates when it is sampled."""

    selection: AnySelection = Field(
        default=Resampling(), description="some draws of each step resampled, or the best of some chains"
    )

    @model_validator(mode="after")
    def _has_what_decides(self) -> Self:
        if isinstance(self.selection, Resampling) and (self.tau == 0 or self.skip_last > 0):
            raise ValueError("resampling needs a temperature at every step: set tau above 0 and skip_last=0")
        if self.iterations == 0 or isinstance(self.sampler, DDGANSteps):
            raise ValueError("no selection among samples of a released sampler or of DDGAN's steps; train another")
        return self


class EnergySelection(DxMI):
    """DxMI, a sample chosen among candidates by its energy or by its values."""

    name = "energy_selection"
    recipes = ".recipes.energy_selection"
    Config = EnergySelectionConfig

    def start(self, problem: Problem, config: DxMIConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        assert isinstance(config, EnergySelectionConfig)
        return EnergySelectionTraining(problem, config, compute, rng)


class EnergySelectionTraining(DxMITraining):
    """DxMI's training; the sampler without the choice is scored beside the one with it."""

    config: EnergySelectionConfig

    def model(self) -> Model:
        config, plain = self.config, super().model()
        objective = Objective(
            value=self.learner.value_average,
            cost=self.cost,
            velocity=self.learner.velocity,
            temperature=config.tau / math.prod(self.problem.event_shape),
        )
        chosen = model_of(config.selection.applied(self.sampler(), objective), self.begun.data)
        return replace(
            plain,
            networks=chosen.networks,
            sampler=chosen.sampler,
            trajectory_sampler=chosen.trajectory_sampler,
            start=replace(plain, start=None),
        )
