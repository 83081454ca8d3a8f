"""Drifting: a one-step generator that learns to move its samples along a field (Deng et al. 2026, arXiv:2602.04770).

The generator f, from scratch, is called once. A field V of kernels pulls its samples to near data and pushes them off
each other; the loss is ||f(z) - sg(f(z) + V(f(z)))||^2, so that the field moves in training and not at sampling. No
teacher, no critic, no noise level. Deviations: the points themselves are compared, where the source compares features
of a pretrained encoder in many layers; the generator is an EDM denoiser (arXiv:2206.00364) called at `sigma_start`,
where the source has a transformer; forces keep their size in the plane (`unit`), since of unit size they never let a
sample rest; distances are not divided by their mean, and affinities have no floor, both of which the released code has.
"""

from copy import deepcopy
from dataclasses import replace
from typing import Literal, Self

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from dxbench.api import Compute, Method, Model, Problem, RandomStreams, Training
from dxbench_baselines.starts.backbone import Backbone, Pretraining, prepared
from dxbench_baselines.starts.config import EDMNetwork, StartConfig
from dxbench_baselines.starts.models import jumping_model
from dxbench_baselines.starts.presets import POINTS_EDM
from dxbench_baselines.starts.stages import Tuning
from dxmi.arrays import Points
from dxmi.losses import mean_square
from dxmi.training.kernels import AnyDecayingKernel, AnyDriftField, LaplaceKernel, SharedAffinity
from dxmi.training.optimisers import Learner


class DriftingConfig(StartConfig[EDMNetwork]):
    """Settings of drifting."""

    field: AnyDriftField = Field(default=SharedAffinity(), description="how kernels make up the field")
    kernels: tuple[AnyDecayingKernel, ...] = Field(
        default=(LaplaceKernel(width=0.1),), min_length=1, description="their fields are added; data have a std of 0.5"
    )
    unit: Literal["one", "rms"] = Field(
        default="one", description="of each kernel's field: as it is, or, as released, its root mean square"
    )
    sigma_start: PositiveFloat = Field(default=80.0, description="noise level the generator is called at")
    backbone: Backbone[EDMNetwork] = Field(
        default=replace(POINTS_EDM, pretraining=Pretraining(iterations=0)),
        description="the generator's network; of 0 iterations: from scratch",
    )
    iterations: PositiveInt = 3000
    batch_size: int = Field(default=256, ge=2, description="samples, and as many data, that a field is made of")
    lr: PositiveFloat = 1e-3
    lr_decay: Literal["cosine", "none"] = "cosine"
    ema_decay: float = Field(default=0.99, ge=0, lt=1)

    @model_validator(mode="after")
    def _has_no_classes(self) -> Self:
        if self.backbone.network.num_classes is not None:
            raise ValueError("drifting compares samples whatever their class; name a backbone without classes")
        return self

    @property
    def from_scratch(self) -> bool:
        """True where the generator begins from weights that nothing was learned by."""
        return self.init == "train" and self.backbone.pretraining.iterations == 0


class Drifting(Method):
    """A one-step generator from scratch, whose samples drift to the data while it trains."""

    name = "drifting"
    version = 1
    family = "kernel matching"
    citation = "Deng et al. 2026, arXiv:2602.04770"
    recipes = ".recipes.drifting"
    Config = DriftingConfig

    def start(self, problem: Problem, config: DriftingConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return DriftingTraining(problem, config, compute, rng)


def drift(samples: Points, data: Points, config: DriftingConfig) -> Points:
    """The sum of the kernels' fields at the samples, [b, *event], without gradient."""
    total = torch.zeros_like(samples)
    for kernel in config.kernels:
        force = config.field(samples, data, kernel)
        total += force if config.unit == "one" else force / mean_square(force).mean().sqrt().clamp(min=1e-4)
    return total


class DriftingTraining(Tuning):
    """The generator and its samples' drift; the averaged weights sample."""

    def __init__(self, problem: Problem, config: DriftingConfig, compute: Compute, rng: RandomStreams) -> None:
        begun, size = config.begin(problem, compute, rng), config.batch_size
        super().__init__(problem, begun, compute, rng, batch_size=size, iterations=config.iterations)
        self.config, network = config, config.backbone.network
        self.before = network.denoiser(begun.average)
        self.generator = Learner(
            network.denoiser(prepared(network, deepcopy(begun.net), compute)),
            lr=config.lr,
            iterations=config.iterations,
            ema_decay=config.ema_decay,
            lr_decay=config.lr_decay,
        )

    def parts(self) -> dict[str, Learner]:
        return {"generator": self.generator}

    def begin(self) -> None:
        self.generator.begin_from(self.before.state_dict())

    def advance(self) -> dict[str, float | Tensor]:
        config = self.config
        (data,) = self.begun.data.batch(config.batch_size, rng=self.data_rng)
        sigma = data.new_full((len(data),), config.sigma_start)
        samples = self.generator.module(config.sigma_start * self.noise.normal(0), sigma)
        goal = samples.detach() + drift(samples.detach(), data, config)
        return {"drift": self.generator.descend(mean_square(samples - goal).mean())}

    def model(self) -> Model:
        model, start = (
            jumping_model(denoiser, self.problem, self.begun.data, sigmas=(self.config.sigma_start,))
            for denoiser in (self.generator.average, self.before)
        )
        return model if self.config.from_scratch else replace(model, start=start)
