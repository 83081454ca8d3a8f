"""EDM: one denoiser, many samplers (Karras et al. 2022, arXiv:2206.00364). The fair curve without further training.

Training: their Table 1, last column. Sampling: Karras levels, with Euler, Heun (their Algorithm 1), Euler-ancestral,
iPNDM (arXiv:2204.13902) or DPM-Solver++(3M) (arXiv:2211.01095). Options: epsilon scaling (arXiv:2308.15321), and levels
chosen along the denoiser's own trajectories (GITS, arXiv:2405.11326) in place of Karras's.
Deviations: Heun without churn, which their unconditional images do not use either; a step to sigma = 0 counts as a step
of every sampler, where the solver papers stop at sigma_min. In the plane and on small images: an MLP in place of the
UNet; Adam 1e-3 with cosine decay, for the short training of a small net; data are scaled to a std of 0.5 as images have
it, and samples back.
"""

from collections.abc import Mapping
from typing import Literal, Self

import torch
from pydantic import Field, JsonValue, PositiveFloat, PositiveInt, model_validator
from torch import nn

from dxbench.api import Compute, Method, Model, Problem, RandomStreams, Training
from dxbench_baselines.starts.backbone import Backbone, Start
from dxbench_baselines.starts.config import EDMNetwork, StartConfig
from dxbench_baselines.starts.migration import complete, with_start
from dxbench_baselines.starts.presets import POINTS_EDM
from dxbench_baselines.starts.stages import SampledDenoiser
from dxmi.arrays import SampleSeeds
from dxmi.sampling.denoisers import Clipped, EpsilonScaled, conditioned
from dxmi.sampling.noise import SeededNoise
from dxmi.sampling.retiming import Retiming
from dxmi.sampling.samplers import IPNDM, DPMSolverPP3M, Heun, Sampler, euler, euler_ancestral
from dxmi.schedules.levels import NoiseLevels

SAMPLERS: dict[str, Sampler] = {
    "euler": euler(),
    "heun": Heun(),
    "ancestral": euler_ancestral(),
    "ipndm": IPNDM(),
    "dpmpp3m": DPMSolverPP3M(),
}


class EDMConfig(StartConfig[EDMNetwork]):
    """Settings of an EDM denoiser and its sampling."""

    samples_only = True

    sampler: Literal["euler", "heun", "ancestral", "ipndm", "dpmpp3m"] = "heun"
    nfe: PositiveInt = Field(default=35, description="network passes per sample; odd for heun, which takes 2N - 1")
    sigma_min: PositiveFloat = 0.002
    sigma_max: PositiveFloat = 80.0
    rho: PositiveFloat = 7.0
    retiming: Retiming | None = Field(
        default=None, description="levels chosen along the denoiser's own trajectories (GITS); none: Karras's"
    )
    epsilon_scale: PositiveFloat = Field(default=1.0, description="divides the predicted noise; 1 leaves it alone")
    clip: bool = Field(default=False, description="D kept in [-1, 1], as the consistency models' authors sample theirs")
    backbone: Backbone[EDMNetwork] = Field(default=POINTS_EDM, description="the denoiser and its training")

    @model_validator(mode="after")
    def _sampler_can_do_it(self) -> Self:
        if self.sampler == "heun" and self.nfe % 2 == 0:
            raise ValueError(
                f"heun takes 2N - 1 passes for N steps, got nfe={self.nfe}; use {self.nfe - 1} or {self.nfe + 1}"
            )
        if self.retiming is not None and self.num_steps > self.retiming.steps:
            raise ValueError(f"{self.num_steps} levels are chosen among more of them; raise retiming.steps")
        return self

    @property
    def num_steps(self) -> int:
        """Steps of a sample."""
        return (self.nfe + 1) // 2 if self.sampler == "heun" else self.nfe

    def sampling(self) -> tuple[Sampler, NoiseLevels]:
        """The sampler and Karras's levels for it."""
        return SAMPLERS[self.sampler], self.karras(self.num_steps)

    def karras(self, num_steps: int) -> NoiseLevels:
        """Karras's levels for so many steps."""
        return NoiseLevels.karras(num_steps, sigma_min=self.sigma_min, sigma_max=self.sigma_max, rho=self.rho)

    def denoiser(self, net: nn.Module) -> nn.Module:
        """D(x, sigma) as it is sampled, of what was trained."""
        scaled = EpsilonScaled(self.backbone.network.denoiser(net), scale=self.epsilon_scale)
        return Clipped(scaled) if self.clip else scaled


class EDM(Method):
    """A denoiser over all noise levels, sampled along its probability flow without further training."""

    name = "edm"
    version = 2
    family = "diffusion"
    citation = "Karras et al. 2022, arXiv:2206.00364"
    recipes = ".recipes.edm"
    Config = EDMConfig
    parallel = True

    @classmethod
    def migrate_config(cls, config: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        settings, _ = with_start(config, "edm")
        return complete(cls.Config, settings)

    def start(self, problem: Problem, config: EDMConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        begun = config.begin(problem, compute, rng)
        if config.retiming is None:
            return SampledDenoiser(problem, begun, config.denoiser, *config.sampling())
        count = config.retiming.trajectories
        seeds = torch.randint(1 << 62, (count,), generator=rng.torch("retiming")).to(compute.device)
        return RetimedDenoiser(problem, begun, config, seeds)


class RetimedDenoiser(SampledDenoiser):
    """A denoiser sampled along levels that its own trajectories choose, those of `seeds`."""

    def __init__(self, problem: Problem, begun: Start, config: EDMConfig, seeds: SampleSeeds) -> None:
        super().__init__(problem, begun, config.denoiser, *config.sampling())
        self.config, self.seeds = config, seeds

    def model(self) -> Model:
        config, classes = self.config, self.begun.data.num_classes
        assert config.retiming is not None
        labels = () if classes is None else (torch.arange(len(self.seeds), device=self.seeds.device) % classes,)
        self.levels = config.retiming.levels(
            conditioned(self.denoiser(self.begun.average), *labels),
            self.sampler,
            config.karras(config.retiming.steps),
            SeededNoise(seeds=self.seeds, event_shape=self.problem.event_shape),
            num_steps=config.num_steps,
        )
        return super().model()
