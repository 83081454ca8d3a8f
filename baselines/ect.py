"""ECT: easy consistency tuning (Geng et al. 2024, arXiv:2406.14548). A denoiser tuned to jump to the data.

The student starts from an EDM denoiser (arXiv:2206.00364). Two noise levels r < t of the same data and the same noise
are to give the same answer, the one at r without gradient; r goes to t in stages. No target network, no teacher at
work. Deviations: the start model is trained within the run; the boundary is shifted to sigma_min, so that the answer
there is exact (as in consistency models); Adam with cosine decay in place of RAdam; an MLP in place of the UNet; no
dropout; data are scaled to a std of 0.5, as images have it. Lengths and rates are for points in the plane.
"""

from typing import Any, Self

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from dxbench.api import Compute, Config, Method, Problem, RandomStreams, Training
from dxmi.arrays import PerSample, Points
from dxmi.consistency import ConsistencyModel, check_jumps, pseudo_huber
from dxmi.denoisers import EDMDenoiser, check_denoiser, per_sample
from dxmi.denoising import lognormal_sigmas
from dxmi.networks import networks
from dxmi.noise import StreamNoise
from dxmi.optimisers import Learner
from dxmi.teachers import SIGMA_DATA, EDMTeacher


class ECTConfig(Config):
    """Of consistency tuning."""

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
    teacher_iterations: NonNegativeInt = Field(default=6000, description="of the start model; 0: from scratch")
    teacher_lr: PositiveFloat = 1e-3
    iterations: PositiveInt = 12000
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 1e-3
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    hidden: PositiveInt = 128
    depth: PositiveInt = 3

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
    version = 1
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


class ECTTraining(Training):
    """An EDM denoiser first, then consistency tuning; the averaged weights sample."""

    def __init__(self, problem: Problem, config: ECTConfig, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device = problem, config, compute.device
        self.scale = SIGMA_DATA / problem.data_std
        nets = networks(problem.event_shape, hidden=config.hidden, depth=config.depth, data_std=SIGMA_DATA)
        self.teacher = EDMTeacher(
            nets,
            rng.torch("init"),
            lr=config.teacher_lr,
            iterations=max(1, config.teacher_iterations),
            ema_decay=config.ema_decay,
            device=self.device,
        )
        student = EDMDenoiser(nets.denoiser(rng.torch("init student")), sigma_min=config.sigma_min).to(self.device)
        self.student = Learner(student, lr=config.lr, iterations=config.iterations, ema_decay=config.ema_decay)
        self.data_rng = rng.numpy("data")
        self.noise = StreamNoise(
            batch_size=config.batch_size,
            event_shape=problem.event_shape,
            generator=rng.torch("noise", device=self.device),
        )
        self.steps_done = 0

    @property
    def total_steps(self) -> int:
        return self.config.teacher_iterations + self.config.iterations

    def step(self) -> dict[str, float | Tensor]:
        data = self.scale * self.problem.data.batch(self.config.batch_size, rng=self.data_rng).to(self.device)
        self.steps_done += 1
        tuned = self.steps_done - self.config.teacher_iterations
        if tuned <= 0:
            loss = self.teacher.step(data, self.noise)
            if tuned == 0:
                check_denoiser(self.teacher.denoiser, data)
                self.student.begin_from(self.teacher.denoiser.state_dict())
            return {"denoising_loss": loss}
        return {"consistency_loss": self._tune(data, stage=(tuned - 1) * self.config.stages // self.config.iterations)}

    def _tune(self, data: Tensor, *, stage: int) -> Tensor:
        config, student = self.config, self.student.module
        assert isinstance(student, EDMDenoiser)
        t = lognormal_sigmas(self.noise, mean=config.sigma_mean, std=config.sigma_std)
        t = t.clamp(min=2 * config.sigma_min)
        r = nearer_sigma(t, stage=stage, q=config.q)
        loss = ect_loss(student, data, self.noise.normal(0), t, r, huber_c=config.huber_c)
        return self.student.descend(loss.mean())

    def _parts(self) -> dict[str, Any]:
        return {"teacher": self.teacher, "student": self.student}

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()} | {"steps_done": self.steps_done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.steps_done = state["steps_done"]

    def model(self) -> ConsistencyModel:
        denoiser = self.student.average
        assert isinstance(denoiser, EDMDenoiser)
        return ConsistencyModel(
            denoiser=denoiser,
            sigmas=self.config.sigmas,
            event_shape=self.problem.event_shape,
            scale=self.scale,
        )
