"""DDIM: deterministic sampling of a DDPM in few of its steps (Song, Meng & Ermon 2021, arXiv:2010.02502).

Eq. 12 with sigma = 0, on the whole steps of their App. D.2, linear or quadratic; the teacher is Ho et al. 2020
(arXiv:2006.11239), Algorithm 1, on 1,000 steps. Deviations: steps count from 0 and the quadratic ones are rounded down,
as released; an MLP in place of the UNet; data are scaled to a std of 0.5 as images have it, and samples back.
"""

from collections.abc import Callable
from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from dxbench.api import Compute, Config, Method, Problem, RandomStreams, Training
from dxmi.fastdpm import LinearChain
from dxmi.networks import networks
from dxmi.noise import StreamNoise
from dxmi.samplers import DenoiserSampling, euler
from dxmi.schedules import VPSchedule
from dxmi.teachers import SIGMA_DATA, DDPMTeacher

CHAIN = LinearChain()
SCHEDULES: dict[str, Callable[[int], VPSchedule]] = {
    "quadratic": CHAIN.step_quadratic,
    "linear": CHAIN.step_linear,
}


class DDIMConfig(Config):
    """Of a DDPM of 1,000 steps, sampled in few."""

    num_steps: int = Field(default=10, ge=2, description="sampling steps = NFE")
    schedule: Literal["quadratic", "linear"] = "quadratic"
    iterations: PositiveInt = 10000
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 1e-3
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    hidden: PositiveInt = 128
    depth: PositiveInt = 3

    @model_validator(mode="after")
    def _chain_has_these_steps(self) -> Self:
        self.vp_schedule()
        return self

    def vp_schedule(self) -> VPSchedule:
        return SCHEDULES[self.schedule](self.num_steps)


class DDIM(Method):
    """A DDPM of a thousand steps sampled in few of them without noise or further training."""

    name = "ddim"
    version = 1
    family = "diffusion"
    citation = "Song et al. 2021, arXiv:2010.02502"
    Config = DDIMConfig

    def start(self, problem: Problem, config: DDIMConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return DDIMTraining(problem, config, compute, rng)


class DDIMTraining(Training):
    """DDPM's loss on 1,000 steps; the averaged weights sample."""

    def __init__(self, problem: Problem, config: DDIMConfig, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device = problem, config, compute.device
        self.scale = SIGMA_DATA / problem.data_std
        self.teacher = DDPMTeacher(
            networks(problem.event_shape, hidden=config.hidden, depth=config.depth, data_std=SIGMA_DATA),
            rng.torch("init"),
            chain=CHAIN,
            lr=config.lr,
            iterations=config.iterations,
            ema_decay=config.ema_decay,
            device=self.device,
        )
        self.data_rng = rng.numpy("data")
        self.noise = StreamNoise(
            batch_size=config.batch_size,
            event_shape=problem.event_shape,
            generator=rng.torch("noise", device=self.device),
        )

    @property
    def total_steps(self) -> int:
        return self.config.iterations

    def step(self) -> dict[str, float | Tensor]:
        data = self.problem.data.batch(self.config.batch_size, rng=self.data_rng).to(self.device)
        return {"denoising_loss": self.teacher.step(self.scale * data, self.noise)}

    def state_dict(self) -> dict[str, Any]:
        return self.teacher.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.teacher.load_state_dict(state)

    def model(self) -> DenoiserSampling:
        return DenoiserSampling(
            denoiser=self.teacher.denoiser,
            sampler=euler(),
            levels=self.config.vp_schedule().noise_levels,
            event_shape=self.problem.event_shape,
            scale=self.scale,
        )
