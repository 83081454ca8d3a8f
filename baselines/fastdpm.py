"""FastDPM: few steps of a DDPM of a thousand (Kong & Ping 2021, arXiv:2106.00132). DxMI's start on CIFAR-10.

VAR chooses the variances of the few steps and asks the net at fractional steps; STEP chooses whole steps. kappa = 1 is
DDPM's noise at every step, kappa = 0 is DDIM. The teacher is Ho et al. 2020 (arXiv:2006.11239), Algorithm 1, on 1,000
steps. Deviations: the last step has std `last_std` = 0.001 in place of 0, as in SFT-PG and DxMI, so that log pi
exists; an MLP in place of the UNet; data are scaled to a std of 0.5 as images have it, and samples back.
"""

from collections.abc import Callable
from typing import Any, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from dxbench.api import Compute, Config, Method, Problem, RandomStreams, Training
from dxmi.fastdpm import LinearChain
from dxmi.networks import networks
from dxmi.noise import StreamNoise
from dxmi.samplers import Ancestral, DenoiserSampling
from dxmi.schedules import VPSchedule
from dxmi.teachers import SIGMA_DATA, DDPMTeacher

CHAIN = LinearChain()
SCHEDULES: dict[tuple[str, str], Callable[[int], VPSchedule]] = {
    ("VAR", "quadratic"): CHAIN.var_quadratic,
    ("VAR", "linear"): CHAIN.var_linear,
    ("STEP", "quadratic"): CHAIN.step_quadratic,
    ("STEP", "linear"): CHAIN.step_linear,
}


class FastDPMConfig(Config):
    """Of a DDPM of 1,000 steps, sampled in few."""

    num_steps: int = Field(default=10, ge=2, description="sampling steps = NFE")
    approximation: Literal["VAR", "STEP"] = "VAR"
    schedule: Literal["quadratic", "linear"] = "quadratic"
    kappa: float = Field(default=1.0, ge=0, le=1, description="1: DDPM's noise at every step, 0: DDIM")
    last_std: NonNegativeFloat = Field(default=1e-3, description="std of the last step, in units of the scaled data")
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
        return SCHEDULES[self.approximation, self.schedule](self.num_steps)


class FastDPM(Method):
    """A DDPM of a thousand steps sampled in few, at fractional or whole steps, without further training."""

    name = "fastdpm"
    version = 1
    family = "diffusion"
    citation = "Kong & Ping 2021, arXiv:2106.00132"
    Config = FastDPMConfig

    def start(self, problem: Problem, config: FastDPMConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return FastDPMTraining(problem, config, compute, rng)


class FastDPMTraining(Training):
    """DDPM's loss on 1,000 steps; the averaged weights sample."""

    def __init__(self, problem: Problem, config: FastDPMConfig, compute: Compute, rng: RandomStreams) -> None:
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
            sampler=Ancestral(kappa=self.config.kappa, last_std=self.config.last_std),
            levels=self.config.vp_schedule().noise_levels,
            event_shape=self.problem.event_shape,
            scale=self.scale,
        )
