"""Neon: a denoiser's weights pushed away from where training on its own samples takes them.

Alemohammad, Wang and Baraniuk 2025, arXiv:2510.03597. Solvers favour likely regions, so that training on their samples
leads from the weights r to weights s that are worse, and (1 + w) r - w s, the same way backwards, is better. Only the
start's own samples are used, no data. Deviations: r and s are averages of weights; the second training has an Adam of
its own whose rate falls along a cosine; the start is of EDM's family and is sampled as `edm` samples it.
"""

import copy
from dataclasses import replace
from functools import cached_property

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn

from dxbench.api import Compute, Method, Model, Problem, RandomStreams, Training
from dxbench_baselines.starts.backbone import prepared
from dxbench_baselines.starts.models import model_of
from dxbench_baselines.starts.solved import SolvedConfig
from dxbench_baselines.starts.stages import Tuning
from dxmi.models import DenoiserSampler
from dxmi.training.denoising import DenoiserTraining

DRAWN_AT_A_TIME = 1000


class NeonConfig(SolvedConfig):
    """Settings of extrapolation away from self-training."""

    weight: NonNegativeFloat = Field(default=1.0, description="w; 0 leaves the start as it is")
    synthetic: PositiveInt = Field(default=6000, description="samples of the start that the copy is trained on")
    iterations: PositiveInt = 300
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 1e-4
    ema_decay: float = Field(default=0.99, ge=0, lt=1)

    def uses_data(self) -> bool:
        return self.init == "train"


class Neon(Method):
    """A denoiser extrapolated away from what training on its own samples makes of it."""

    name = "neon"
    version = 1
    family = "diffusion"
    citation = "Alemohammad et al. 2025, arXiv:2510.03597"
    recipes = ".recipes.neon"
    Config = NeonConfig
    parallel = True

    def start(self, problem: Problem, config: NeonConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return NeonTraining(problem, config, compute, rng)


def extrapolated(net: nn.Module, away_from: nn.Module, *, weight: float) -> nn.Module:
    """A copy of `net` with the weights (1 + w) r - w s, r those of `net` and s of `away_from` (their Eq. 2)."""
    found = copy.deepcopy(net)
    with torch.no_grad():
        for r, s in zip(found.parameters(), away_from.parameters(), strict=True):
            r.add_(r - s, alpha=weight)
    return found


class NeonTraining(Tuning):
    """A denoiser first, then a copy of it on its samples."""

    def __init__(self, problem: Problem, config: NeonConfig, compute: Compute, rng: RandomStreams) -> None:
        begun, size = config.begin(problem, compute, rng), config.batch_size
        super().__init__(problem, begun, compute, rng, batch_size=size, iterations=config.iterations)
        self.config, self.synthetic_seed = config, rng.seed("synthetic")
        self.copy = DenoiserTraining(
            prepared(config.backbone.network, copy.deepcopy(begun.net), compute),
            config.backbone.network.loss(),
            data=self.batch,
            noise=self.noise,
            iterations=config.iterations,
            lr=config.lr,
            ema_decay=config.ema_decay,
            parallel=self.parallel,
        )

    def parts(self) -> dict[str, DenoiserTraining]:
        return {"copy": self.copy}

    def begin(self) -> None:
        weights = self.begun.average.state_dict()
        self.copy.net.load_state_dict(weights)
        self.copy.average.load_state_dict(weights)

    @cached_property
    def synthetic(self) -> tuple[Tensor, ...]:
        """Samples of the start as its network sees data, [n, *event], and their classes where it is conditioned.

        They are drawn again when a training is resumed, to the same bits.
        """
        count = self.config.synthetic
        generator = Generator(self.device).manual_seed(self.synthetic_seed)
        seeds = torch.randint(1 << 62, (count,), generator=generator, device=self.device)
        labels = self.begun.data.classes(count, generator=generator)
        start = self._sampler_of(self.begun.average)
        samples = [
            start.sample(
                seeds[first : first + DRAWN_AT_A_TIME], *(of[first : first + DRAWN_AT_A_TIME] for of in labels)
            )
            for first in range(0, count, DRAWN_AT_A_TIME)
        ]
        return start.scale * torch.cat(samples), *labels

    def batch(self) -> tuple[Tensor, ...]:
        """Rows of the synthetic set, drawn with replacement."""
        rows = self.data_rng.integers(self.config.synthetic, size=self.config.batch_size)
        return tuple(of[torch.from_numpy(rows).to(self.device)] for of in self.synthetic)

    def advance(self) -> dict[str, float | Tensor]:
        return {"self_training_loss": self.copy.step()}

    def model(self) -> Model:
        start = self.begun.average
        net = extrapolated(start, self.copy.average, weight=self.config.weight)
        found, before = (model_of(self._sampler_of(one), self.begun.data) for one in (net, start))
        return replace(found, start=before)

    def _sampler_of(self, net: nn.Module) -> DenoiserSampler:
        solver, levels = self.config.sampling()
        return DenoiserSampler(
            denoiser=self.config.denoiser(net),
            sampler=solver,
            levels=levels,
            event_shape=self.problem.event_shape,
            scale=self.begun.data.scale,
        )
