"""DiffCLF: energies at all noise levels, learned by telling the level of a noisy point (arXiv:2601.21025).

A diffusive classification loss for learning energy-based generative models (2026). Score matching alone does not see
how modes are weighted, since the score at one mode does not know of another that is far. The classification does, since
modes merge under much noise, and the levels in between hand their weights down. Neither needs samples of the model: no
Markov chain, no sampler in training. Samples follow the probability flow of the energy's gradient.
docs/methods/diffclf.md has the deviations.
"""

import math
from collections.abc import Callable
from typing import Any, Self

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from dxbench.api import Compute, Config, Method, Model, Need, Problem, RandomStreams, Training
from dxbench_baselines.starts.data import refuse_classes
from dxmi.arrays import PerSample, Points
from dxmi.energies.noisy import GradientDenoiser, NoisyEnergy, classification_loss, score_matching_loss
from dxmi.models import DenoiserSampler
from dxmi.nets.potentials import NoisyPotential
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.samplers import Heun
from dxmi.schedules.levels import NoiseLevels
from dxmi.training.denoising import lognormal_sigmas
from dxmi.training.optimisers import Learner

SIGMA_DATA = 0.5


class DiffCLFConfig(Config):
    """Settings of energies at all noise levels. Levels are of data that are scaled to a std of 0.5."""

    hidden: PositiveInt = 128
    depth: PositiveInt = 3
    octaves: int = Field(default=2, ge=0, description="of cos and sin of each coordinate that the net also sees")
    classification: NonNegativeFloat = Field(default=1.0, description="weight of the loss that tells levels")
    levels: int = Field(default=8, ge=2, description="levels that are told apart at a time, drawn anew for each batch")
    sigma_mean: float = Field(default=-1.2, description="of ln sigma in score matching")
    sigma_std: PositiveFloat = 1.2
    energy_sigma: PositiveFloat = Field(default=0.01, description="the level of the energy that is scored")
    sigma_max: PositiveFloat = 80.0
    sigma_min: PositiveFloat = 0.002
    steps: PositiveInt = Field(default=18, description="of Heun; a pass of D is two of the network, NFE = 4 steps - 2")
    iterations: PositiveInt = 10000
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 1e-3
    ema_decay: float = Field(default=0.999, ge=0, lt=1)

    @model_validator(mode="after")
    def _levels_fall(self) -> Self:
        for name, sigma in (("sigma_min", self.sigma_min), ("energy_sigma", self.energy_sigma)):
            if sigma >= self.sigma_max:
                raise ValueError(f"{name}={sigma:g} has to be below sigma_max={self.sigma_max:g}")
        return self


class DiffCLF(Method):
    """Energies at all noise levels, by telling levels apart and score matching; no chain and no sampler in training."""

    name = "diffclf"
    version = 1
    family = "energy-based"
    citation = "2026, arXiv:2601.21025"
    recipes = ".recipes.diffclf"
    Config = DiffCLFConfig
    needs = frozenset({Need.TRAINING_DATA, Need.SMALL_EVENTS})

    def start(self, problem: Problem, config: DiffCLFConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return DiffCLFTraining(problem, config, compute, rng)


class DiffCLFTraining(Training):
    """One network and both losses; the averaged weights are the model."""

    def __init__(self, problem: Problem, config: DiffCLFConfig, compute: Compute, rng: RandomStreams) -> None:
        refuse_classes(problem)
        self.problem, self.config, self.device = problem, config, compute.device
        self.scale = SIGMA_DATA / problem.data_std
        self.data_rng = rng.numpy("data")
        self.noise = StreamNoise(
            batch_size=config.batch_size,
            event_shape=problem.event_shape,
            generator=rng.torch("noise", device=compute.device),
        )
        potential = NoisyPotential(
            math.prod(problem.event_shape),
            hidden=config.hidden,
            depth=config.depth,
            octaves=config.octaves,
            sigma_data=SIGMA_DATA,
            generator=rng.torch("init"),
        ).to(compute.device)
        self.learner = Learner(potential, lr=config.lr, iterations=config.iterations, ema_decay=config.ema_decay)

    @property
    def total_steps(self) -> int:
        return self.config.iterations

    def batch(self) -> Points:
        """Data as the network sees them."""
        return self.scale * self.problem.data.batch(self.config.batch_size, rng=self.data_rng).to(self.device)

    def told_apart(self) -> PerSample:
        """Levels of a batch, ln sigma uniform between the energy's and the largest; these two are always among them."""
        config = self.config
        low, high = math.log(config.energy_sigma), math.log(config.sigma_max)
        between = torch.rand(config.levels - 2, generator=self.noise.generator, device=self.device)
        ends = torch.tensor([0.0, 1.0], device=self.device)
        return (low + (high - low) * torch.cat([ends, between])).exp()

    def step(self) -> dict[str, float | Tensor]:
        config, potential = self.config, self.learner.module
        assert isinstance(potential, NoisyEnergy)
        data = self.batch()
        sigma = lognormal_sigmas(self.noise, mean=config.sigma_mean, std=config.sigma_std)
        matching = score_matching_loss(potential, data, sigma, self.noise.normal(0)).mean()
        telling = classification_loss(potential, data, self.noise.normal(0), self.told_apart()).mean()
        self.learner.descend(matching + config.classification * telling)
        return {"score_loss": matching.detach(), "classification_loss": telling.detach()}

    def state_dict(self) -> dict[str, Any]:
        return self.learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.learner.load_state_dict(state)

    def model(self) -> Model:
        config, potential = self.config, self.learner.average
        assert isinstance(potential, NoisyEnergy)
        sampler = DenoiserSampler(
            denoiser=GradientDenoiser(potential),
            sampler=Heun(),
            levels=NoiseLevels.karras(config.steps, sigma_min=config.sigma_min, sigma_max=config.sigma_max, rho=7.0),
            event_shape=self.problem.event_shape,
            scale=self.scale,
        )
        return Model(
            networks=(potential,),
            sampler=sampler.sample,
            trajectory_sampler=sampler.trajectory,
            energy=self.energy_of(potential),
            temperature=1.0,
        )

    def energy_of(self, potential: NoisyEnergy) -> Callable[[Points], PerSample]:
        """E of points in units of the data, at the least level."""

        def energy(x: Points) -> PerSample:
            at = x.to(self.device)
            return potential(self.scale * at, at.new_full((len(at),), self.config.energy_sigma))

        return energy
