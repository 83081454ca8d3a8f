"""EDM: one denoiser, many samplers (Karras et al. 2022, arXiv:2206.00364). The fair curve without further training.

Training: their Table 1, last column. Sampling: Karras levels, with Euler, Heun (their Algorithm 1), Euler-ancestral,
iPNDM (arXiv:2204.13902) or DPM-Solver++(3M) (arXiv:2211.01095); epsilon scaling (arXiv:2308.15321) as an option.
Deviations: an MLP in place of the UNet; Adam 1e-3 with cosine decay, for the short training of a small net; data are
scaled to a std of 0.5 as images have it, and samples back; Heun without churn, which their unconditional images do
not use either; a step to sigma = 0 counts as a step of every sampler, where the solver papers stop at sigma_min.
"""

from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from dxbench.api import Compute, Config, Method, Problem, RandomStreams, Training
from dxmi.denoisers import EpsilonScaled
from dxmi.networks import networks
from dxmi.noise import StreamNoise
from dxmi.samplers import IPNDM, DenoiserSampling, DPMSolverPP3M, Heun, Sampler, euler, euler_ancestral
from dxmi.schedules import NoiseLevels
from dxmi.teachers import SIGMA_DATA, EDMTeacher

SAMPLERS: dict[str, Sampler] = {
    "euler": euler(),
    "heun": Heun(),
    "ancestral": euler_ancestral(),
    "ipndm": IPNDM(),
    "dpmpp3m": DPMSolverPP3M(),
}


class EDMConfig(Config):
    """Of an EDM denoiser and its sampling."""

    sampler: Literal["euler", "heun", "ancestral", "ipndm", "dpmpp3m"] = "heun"
    nfe: PositiveInt = Field(default=35, description="network passes per sample; odd for heun, which takes 2N - 1")
    sigma_min: PositiveFloat = 0.002
    sigma_max: PositiveFloat = 80.0
    rho: PositiveFloat = 7.0
    epsilon_scale: PositiveFloat = Field(default=1.0, description="divides the predicted noise; 1 leaves it alone")
    iterations: PositiveInt = 10000
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 1e-3
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    hidden: PositiveInt = 128
    depth: PositiveInt = 3

    @model_validator(mode="after")
    def _sampler_can_do_it(self) -> Self:
        if self.sampler == "heun" and self.nfe % 2 == 0:
            raise ValueError(
                f"heun takes 2N - 1 passes for N steps, got nfe={self.nfe}; use {self.nfe - 1} or {self.nfe + 1}"
            )
        return self

    @property
    def num_steps(self) -> int:
        return (self.nfe + 1) // 2 if self.sampler == "heun" else self.nfe


class EDM(Method):
    """A denoiser over all noise levels, sampled along its probability flow without further training."""

    name = "edm"
    version = 1
    family = "diffusion"
    citation = "Karras et al. 2022, arXiv:2206.00364"
    Config = EDMConfig

    def start(self, problem: Problem, config: EDMConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return EDMTraining(problem, config, compute, rng)


class EDMTraining(Training):
    """EDM's loss; the averaged weights sample."""

    def __init__(self, problem: Problem, config: EDMConfig, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device = problem, config, compute.device
        self.scale = SIGMA_DATA / problem.data_std
        self.teacher = EDMTeacher(
            networks(problem.event_shape, hidden=config.hidden, depth=config.depth, data_std=SIGMA_DATA),
            rng.torch("init"),
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
        config = self.config
        levels = NoiseLevels.karras(
            config.num_steps, sigma_min=config.sigma_min, sigma_max=config.sigma_max, rho=config.rho
        )
        return DenoiserSampling(
            denoiser=EpsilonScaled(self.teacher.denoiser, scale=config.epsilon_scale),
            sampler=SAMPLERS[config.sampler],
            levels=levels,
            event_shape=self.problem.event_shape,
            scale=self.scale,
        )
