"""ECT: easy consistency tuning (Geng et al. 2024, arXiv:2406.14548). A denoiser tuned to jump to the data.

The student starts from an EDM denoiser (arXiv:2206.00364). Two noise levels r < t of the same data and the same noise
are to give the same answer, the one at r without gradient; r goes to t in stages. No target network, no teacher at
work. Deviations: the boundary is shifted to sigma_min, so that the answer there is exact (as in consistency models);
no dropout. In the plane and on small images the start model is trained first; Adam with cosine decay in place of RAdam;
an MLP in place of the UNet; data are scaled to a std of 0.5.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Literal, Self

import torch
from pydantic import Field, JsonValue, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from dxbench.api import Compute, Method, Model, Problem, RandomStreams, Training
from dxbench_baselines.starts.backbone import Backbone, Pretraining, prepared
from dxbench_baselines.starts.config import EDMNetwork, StartConfig
from dxbench_baselines.starts.migration import complete, with_start
from dxbench_baselines.starts.models import jumping_model
from dxbench_baselines.starts.presets import POINTS_EDM
from dxbench_baselines.starts.stages import Tuning
from dxmi.arrays import ClassLabels, PerSample, Points, per_sample
from dxmi.consistency import pseudo_huber
from dxmi.models import check_jumps
from dxmi.sampling.denoisers import EDMDenoiser
from dxmi.training.denoising import lognormal_sigmas
from dxmi.training.optimisers import Learner


class ECTConfig(StartConfig[EDMNetwork]):
    """Settings of consistency tuning."""

    middle_sigmas: tuple[PositiveFloat, ...] = Field(
        default=(), description="noise levels to go back to between passes, falling; none: one step"
    )
    stages: PositiveInt = Field(default=8, description="r/t = 1 - (1 + k(t)) / q^(stage + 1), stage = 0 .. stages - 1")
    q: float = Field(default=2.0, gt=1)
    sigma_mean: float = Field(default=-1.1, description="mean of ln t")
    sigma_std: PositiveFloat = Field(default=2.0, description="std of ln t")
    huber_c: PositiveFloat = Field(default=1e-3, description="where the pseudo-Huber distance turns from l2 to l1")
    sigma_min: PositiveFloat = 0.002
    sigma_max: PositiveFloat = 80.0
    backbone: Backbone[EDMNetwork] = Field(
        default=replace(POINTS_EDM, pretraining=Pretraining(iterations=6000)),
        description="the start and its training; of 0 iterations: from scratch",
    )
    iterations: PositiveInt = 12000
    batch_size: PositiveInt = 256
    optimiser: Literal["adam", "radam"] = "adam"
    lr: PositiveFloat = 1e-3
    lr_decay: Literal["cosine", "none"] = "cosine"
    ema_decay: float = Field(default=0.999, ge=0, lt=1)

    @model_validator(mode="after")
    def _jumps_can_be_made(self) -> Self:
        check_jumps(self.sigmas, sigma_min=self.sigma_min)
        return self

    @property
    def sigmas(self) -> tuple[float, ...]:
        """Levels the sampler jumps from: as many as network passes."""
        return (self.sigma_max, *self.middle_sigmas)


class ECT(Method):
    """Easy consistency tuning: a denoiser tuned until one pass, or two, draw a sample."""

    name = "ect"
    version = 2
    family = "consistency"
    citation = "Geng et al. 2024, arXiv:2406.14548"
    recipes = ".recipes.ect"
    Config = ECTConfig
    parallel = True

    @classmethod
    def migrate_config(cls, config: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        settings, images = with_start(config, "edm")
        if images:
            settings |= {"optimiser": "radam", "lr_decay": "none"}
        return complete(cls.Config, settings)

    def start(self, problem: Problem, config: ECTConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return ECTTraining(problem, config, compute, rng)


def nearer_sigma(t: PerSample, *, stage: int, q: float) -> PerSample:
    """r = t max(0, 1 - (1 + 8 sigmoid(-t)) / q^(stage + 1)): 0 at first, then ever nearer to t (their Eq. 14)."""
    return t * (1 - (1 + 8 * torch.sigmoid(-t)) / q ** (stage + 1)).clamp(min=0)


def ect_loss(
    denoiser: EDMDenoiser, data: Points, eps: Points, t: PerSample, r: PerSample, *labels: ClassLabels, huber_c: float
) -> PerSample:
    """d(D(data + t eps, t), sg D(data + r eps, r)) / (t - r); where r <= sigma_min the target is the data."""
    answer = denoiser(data + per_sample(t, data) * eps, t, *labels)
    with torch.no_grad():
        at = r.clamp(min=denoiser.sigma_min)
        target = denoiser(data + per_sample(at, data) * eps, at, *labels)
        target = torch.where(per_sample(r, data) > denoiser.sigma_min, target, data)
    return pseudo_huber(answer - target, c=huber_c) / (t - r)


class ECTTraining(Tuning):
    """An EDM denoiser first, then consistency tuning; the averaged weights sample."""

    def __init__(self, problem: Problem, config: ECTConfig, compute: Compute, rng: RandomStreams) -> None:
        begun, size = config.begin(problem, compute, rng), config.batch_size
        super().__init__(problem, begun, compute, rng, batch_size=size, iterations=config.iterations)
        self.config, network = config, config.backbone.network
        self.before = network.denoiser(begun.average)
        net = prepared(network, deepcopy(begun.net), compute)
        self.denoiser = EDMDenoiser(network.denoiser(net).net, sigma_min=config.sigma_min)
        self.student = Learner(
            self.denoiser,
            lr=config.lr,
            iterations=config.iterations,
            ema_decay=config.ema_decay,
            kind=config.optimiser,
            lr_decay=config.lr_decay,
            parallel=self.parallel,
        )

    def parts(self) -> dict[str, Learner]:
        return {"student": self.student}

    def begin(self) -> None:
        self.student.begin_from(self.before.state_dict())

    def advance(self) -> dict[str, float | Tensor]:
        config = self.config
        data, *labels = self.begun.data.batch(config.batch_size, rng=self.data_rng)
        t = lognormal_sigmas(self.noise, mean=config.sigma_mean, std=config.sigma_std)
        t = t.clamp(min=2 * config.sigma_min)
        r = nearer_sigma(t, stage=self.done * config.stages // config.iterations, q=config.q)
        mine = [drawn[self.mine] for drawn in (data, self.noise.normal(0), t, r, *labels)]

        def loss_of(rows: slice) -> Tensor:
            return ect_loss(self.denoiser, *(values[rows] for values in mine), huber_c=config.huber_c).mean()

        return {"consistency_loss": self.student.accumulated_step(config.batch_size, loss_of)}

    def model(self) -> Model:
        model, start = (
            jumping_model(denoiser, self.problem, self.begun.data, sigmas=self.config.sigmas)
            for denoiser in (self.student.average, self.before)
        )
        return replace(model, start=start)
