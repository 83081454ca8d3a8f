"""A denoiser, and a stage that learns from samples of it, which are drawn once."""

from functools import cached_property

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn

from dxbench.api import Compute, Problem, RandomStreams
from dxbench_baselines.starts.solved import SolvedConfig
from dxbench_baselines.starts.stages import Tuning
from dxmi.models import DenoiserSampler

DRAWN_AT_A_TIME = 1000


class SelfSampledConfig(SolvedConfig):
    """Settings of a stage that learns from the start's own samples; the solver draws them too."""

    synthetic: PositiveInt = Field(default=6000, description="samples of the start that are learned from")
    iterations: PositiveInt = 300
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 1e-4
    ema_decay: float = Field(default=0.99, ge=0, lt=1)


class SelfSampled(Tuning):
    """A denoiser first, then a method's own stage, with batches of the denoiser's samples."""

    def __init__(self, problem: Problem, config: SelfSampledConfig, compute: Compute, rng: RandomStreams) -> None:
        begun, size = config.begin(problem, compute, rng), config.batch_size
        super().__init__(problem, begun, compute, rng, batch_size=size, iterations=config.iterations)
        self.config, self.synthetic_seed = config, rng.seed("synthetic")

    @cached_property
    def synthetic(self) -> tuple[Tensor, ...]:
        """Samples of the start as its network sees data, [n, *event], and their classes where it is conditioned.

        They are drawn again when a training is resumed, to the same bits.
        """
        count = self.config.synthetic
        generator = Generator(self.device).manual_seed(self.synthetic_seed)
        seeds = torch.randint(1 << 62, (count,), generator=generator, device=self.device)
        labels = self.begun.data.classes(count, generator=generator)
        start = self.sampler_of(self.config.denoiser(self.begun.average))
        samples = [
            start.sample(
                seeds[first : first + DRAWN_AT_A_TIME], *(of[first : first + DRAWN_AT_A_TIME] for of in labels)
            )
            for first in range(0, count, DRAWN_AT_A_TIME)
        ]
        return start.scale * torch.cat(samples), *labels

    def synthetic_batch(self) -> tuple[Tensor, ...]:
        """Rows of the synthetic set, drawn with replacement."""
        rows = self.data_rng.integers(self.config.synthetic, size=self.config.batch_size)
        return tuple(of[torch.from_numpy(rows).to(self.device)] for of in self.synthetic)

    def sampler_of(self, denoiser: nn.Module) -> DenoiserSampler:
        """The solver with a denoiser of such data."""
        solver, levels = self.config.sampling()
        return DenoiserSampler(
            denoiser=denoiser,
            sampler=solver,
            levels=levels,
            event_shape=self.problem.event_shape,
            scale=self.begun.data.scale,
        )
