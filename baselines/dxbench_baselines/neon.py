"""Neon: a denoiser's weights pushed away from where training on its own samples takes them.

Alemohammad, Wang and Baraniuk 2025, arXiv:2510.03597. Solvers favour likely regions, so that training on their samples
leads from the weights r to weights s that are worse, and (1 + w) r - w s, the same way backwards, is better. Only the
start's own samples are used, no data. Deviations: r and s are averages of weights; the second training has an Adam of
its own whose rate falls along a cosine; the start is of EDM's family and is sampled as `edm` samples it.
"""

import copy
from dataclasses import replace

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from dxbench.api import Compute, Method, Model, Problem, RandomStreams, Training
from dxbench_baselines.starts.backbone import prepared
from dxbench_baselines.starts.models import model_of
from dxbench_baselines.starts.self_sampled import SelfSampled, SelfSampledConfig
from dxmi.training.denoising import DenoiserTraining


class NeonConfig(SelfSampledConfig):
    """Settings of extrapolation away from self-training."""

    weight: NonNegativeFloat = Field(default=1.0, description="w; 0 leaves the start as it is")

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


class NeonTraining(SelfSampled):
    """A denoiser first, then a copy of it on its samples."""

    config: NeonConfig

    def __init__(self, problem: Problem, config: NeonConfig, compute: Compute, rng: RandomStreams) -> None:
        super().__init__(problem, config, compute, rng)
        self.copy = DenoiserTraining(
            prepared(config.backbone.network, copy.deepcopy(self.begun.net), compute),
            config.backbone.network.loss(),
            data=self.synthetic_batch,
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

    def advance(self) -> dict[str, float | Tensor]:
        return {"self_training_loss": self.copy.step()}

    def model(self) -> Model:
        start = self.begun.average
        net = extrapolated(start, self.copy.average, weight=self.config.weight)
        found, before = (model_of(self.sampler_of(self.config.denoiser(one)), self.begun.data) for one in (net, start))
        return replace(found, start=before)
