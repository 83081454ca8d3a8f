"""ECT: easy consistency tuning (Geng et al. 2024, arXiv:2406.14548). A denoiser tuned to jump to the data.

The student starts from an EDM denoiser (arXiv:2206.00364). Two noise levels r < t of the same data and the same noise
are to give the same answer, the one at r without gradient; r goes to t in stages. No target network, no teacher at
work. Deviations: the start model is trained first; the boundary is shifted to sigma_min, so that the answer
there is exact (as in consistency models); Adam with cosine decay in place of RAdam; an MLP in place of the UNet; no
dropout; data are scaled to a std of 0.5.
"""

from copy import deepcopy
from typing import Self

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from dxbench.api import Compute, Config, Method, Need, Problem, RandomStreams, Training
from dxbench.staged import StagedTraining
from dxmi.arrays import PerSample, Points
from dxmi.backbones import IMAGE_EDM, EDMBackbone
from dxmi.consistency import TunedConsistencyModel, check_jumps, pseudo_huber
from dxmi.denoisers import EDMDenoiser, per_sample
from dxmi.denoising import lognormal_sigmas
from dxmi.noise import StreamNoise
from dxmi.optimisers import Learner


class ECTConfig(Config):
    """Of consistency tuning, for points in the plane."""

    needs = frozenset({Need.VECTORS})

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
    backbone: EDMBackbone = Field(
        default=EDMBackbone(iterations=6000), description="the start and its training; of 0 iterations: from scratch"
    )
    iterations: PositiveInt = 12000
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 1e-3
    ema_decay: float = Field(default=0.999, ge=0, lt=1)

    @model_validator(mode="after")
    def _jumps_can_be_made(self) -> Self:
        check_jumps(self.sigmas, sigma_min=self.sigma_min)
        return self

    @property
    def sigmas(self) -> tuple[float, ...]:
        """Levels the sampler jumps from: as many as network passes."""
        return (self.sigma_max, *self.middle_sigmas)


class ECTImageConfig(ECTConfig):
    """For small images."""

    needs = frozenset({Need.SMALL_IMAGES})

    sigma_max: PositiveFloat = 20.0
    sigma_mean: float = Field(default=-0.5, description="mean of ln t")
    iterations: PositiveInt = 6000
    batch_size: PositiveInt = 128
    backbone: EDMBackbone = Field(
        default=IMAGE_EDM, description="the start and its training; of 0 iterations: from scratch"
    )


class ECT(Method):
    """Easy consistency tuning: a denoiser tuned until one pass, or two, draw a sample."""

    name = "ect"
    version = 2
    family = "consistency"
    citation = "Geng et al. 2024, arXiv:2406.14548"
    Config = ECTConfig

    def start(self, problem: Problem, config: ECTConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return ECTTraining(problem, config, compute, rng)


def nearer_sigma(t: PerSample, *, stage: int, q: float) -> PerSample:
    """r = t max(0, 1 - (1 + 8 sigmoid(-t)) / q^(stage + 1)): 0 at first, then ever nearer to t (their Eq. 14)."""
    return t * (1 - (1 + 8 * torch.sigmoid(-t)) / q ** (stage + 1)).clamp(min=0)


def ect_loss(
    denoiser: EDMDenoiser, data: Points, eps: Points, t: PerSample, r: PerSample, *, huber_c: float
) -> PerSample:
    """d(D(data + t eps, t), sg D(data + r eps, r)) / (t - r); where r <= sigma_min the target is the data."""
    answer = denoiser(data + per_sample(t, data) * eps, t)
    with torch.no_grad():
        at = r.clamp(min=denoiser.sigma_min)
        target = denoiser(data + per_sample(at, data) * eps, at)
        target = torch.where(per_sample(r, data) > denoiser.sigma_min, target, data)
    return pseudo_huber(answer - target, c=huber_c) / (t - r)


class ECTTraining(StagedTraining):
    """An EDM denoiser first, then consistency tuning; the averaged weights sample."""

    def __init__(self, problem: Problem, config: ECTConfig, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device = problem, config, compute.device
        self.scale = config.backbone.scale(problem)
        self.backbone = config.backbone.training(problem, compute, rng.common)
        net = deepcopy(config.backbone.denoiser(self.backbone.net).net)
        self.denoiser = EDMDenoiser(net, sigma_min=config.sigma_min)
        self.student = Learner(self.denoiser, lr=config.lr, iterations=config.iterations, ema_decay=config.ema_decay)
        self.data_rng = rng.numpy("data")
        self.noise = StreamNoise(
            batch_size=config.batch_size,
            event_shape=problem.event_shape,
            generator=rng.torch("noise", device=self.device),
        )
        super().__init__(self.backbone, iterations=config.iterations)

    def parts(self) -> dict[str, Learner]:
        return {"student": self.student}

    def begin(self) -> None:
        self.student.begin_from(self.backbone.average.state_dict())

    def advance(self) -> dict[str, float | Tensor]:
        config = self.config
        data = self.scale * self.problem.data.batch(config.batch_size, rng=self.data_rng).to(self.device)
        t = lognormal_sigmas(self.noise, mean=config.sigma_mean, std=config.sigma_std)
        t = t.clamp(min=2 * config.sigma_min)
        r = nearer_sigma(t, stage=self.done * config.stages // config.iterations, q=config.q)
        loss = ect_loss(self.denoiser, data, self.noise.normal(0), t, r, huber_c=config.huber_c)
        return {"consistency_loss": self.student.descend(loss.mean())}

    def model(self) -> TunedConsistencyModel:
        return TunedConsistencyModel.of(
            self.student.average,
            self.backbone.average,
            sigmas=self.config.sigmas,
            event_shape=self.problem.event_shape,
            scale=self.scale,
        )
