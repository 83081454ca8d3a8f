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
from typing import Self

import torch
from pydantic import Field, JsonValue, model_validator

from dxbench.api import Compute, Method, Model, Problem, RandomStreams, Training
from dxbench_baselines.starts.backbone import Start
from dxbench_baselines.starts.migration import complete, with_start
from dxbench_baselines.starts.solved import SolvedConfig
from dxbench_baselines.starts.stages import SampledDenoiser
from dxmi.arrays import SampleSeeds
from dxmi.sampling.denoisers import conditioned
from dxmi.sampling.noise import SeededNoise
from dxmi.sampling.retiming import Retiming


class EDMConfig(SolvedConfig):
    """Settings of an EDM denoiser and its sampling."""

    samples_only = True

    retiming: Retiming | None = Field(
        default=None, description="levels chosen along the denoiser's own trajectories (GITS); none: Karras's"
    )

    @model_validator(mode="after")
    def _has_levels_to_choose_among(self) -> Self:
        if self.retiming is not None and self.num_steps > self.retiming.steps:
            raise ValueError(f"{self.num_steps} levels are chosen among more of them; raise retiming.steps")
        return self


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
