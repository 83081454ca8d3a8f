"""FastDPM: few steps of a DDPM of a thousand (Kong & Ping 2021, arXiv:2106.00132). DxMI's start on CIFAR-10.

VAR chooses the variances of the few steps and asks the net at fractional steps; STEP chooses whole steps. kappa = 1 is
DDPM's noise at every step, kappa = 0 is DDIM. The backbone is Ho et al. 2020 (arXiv:2006.11239), Algorithm 1, on 1,000
steps. Deviations: the last step has std `last_std` = 0.001 in place of 0, as in SFT-PG and DxMI, so that log pi
exists; in the plane and on small images an MLP in place of the UNet; points in the plane are scaled to a std of 0.5 as
images have it, and samples back.
"""

from collections.abc import Callable
from typing import Any, Literal, Self

from pydantic import Field, NonNegativeFloat, model_validator

from dxbench.api import Compute, Config, Method, Model, Need, Problem, RandomStreams, Training
from dxbench.staged import FromWeights, StagedTraining
from dxmi.backbones.images import DDPMUNet
from dxmi.backbones.small import IMAGE_DDPM, DDPMBackbone
from dxmi.backbones.starts import Start
from dxmi.models import DenoiserSampler
from dxmi.sampling.samplers import Ancestral
from dxmi.schedules.chains import Chain
from dxmi.schedules.levels import VPSchedule

SCHEDULES: dict[tuple[str, str], Callable[[Chain, int], VPSchedule]] = {
    ("VAR", "quadratic"): Chain.var_quadratic,
    ("VAR", "linear"): Chain.var_linear,
    ("STEP", "quadratic"): Chain.step_quadratic,
    ("STEP", "linear"): Chain.step_linear,
}


class FastDPMBase(Config):
    """Of a DDPM of 1,000 steps, sampled in few, whatever the data."""

    num_steps: int = Field(default=10, ge=2, description="sampling steps = NFE")
    approximation: Literal["VAR", "STEP"] = "VAR"
    schedule: Literal["quadratic", "linear"] = "quadratic"
    kappa: float = Field(default=1.0, ge=0, le=1, description="1: DDPM's noise at every step, 0: DDIM")
    last_std: NonNegativeFloat = Field(default=1e-3, description="std of the last step, in units of the scaled data")
    backbone: Any

    @model_validator(mode="after")
    def _chain_has_these_steps(self) -> Self:
        self.vp_schedule()
        return self

    def vp_schedule(self) -> VPSchedule:
        return SCHEDULES[self.approximation, self.schedule](self.backbone.chain, self.num_steps)

    def begin(self, problem: Problem, compute: Compute, streams: RandomStreams) -> Start:
        """The noise predictor's training."""
        return self.backbone.begin(problem, compute, streams)


class FastDPMConfig(FastDPMBase):
    """For points in the plane."""

    needs = frozenset({Need.VECTORS})

    backbone: DDPMBackbone = Field(default=DDPMBackbone(), description="the noise predictor and its training")


class FastDPMImageConfig(FastDPMConfig):
    """For small images; the backbone is the one of `ddpm`."""

    needs = frozenset({Need.SMALL_IMAGES})

    backbone: DDPMBackbone = Field(default=IMAGE_DDPM, description="the noise predictor and its training")


class FastDPMUNetConfig(FromWeights, FastDPMBase):
    """For images of 32 pixels and more: the released DDPM, whose own `schedule` is that of `ddpm` and `dxmi`."""

    samples_only = True

    backbone: DDPMUNet = DDPMUNet()


class FastDPM(Method):
    """A DDPM of a thousand steps sampled in few, at fractional or whole steps, without further training."""

    name = "fastdpm"
    version = 1
    family = "diffusion"
    citation = "Kong & Ping 2021, arXiv:2106.00132"
    Config = FastDPMConfig
    recipes = ".recipes.fastdpm"
    parallel = True

    def start(self, problem: Problem, config: FastDPMBase, *, compute: Compute, rng: RandomStreams) -> Training:
        return FastDPMTraining(problem, config, compute, rng)


class FastDPMTraining(StagedTraining):
    """The backbone's; its averaged weights sample."""

    def __init__(self, problem: Problem, config: FastDPMBase, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config = problem, config
        self.begun = config.begin(problem, compute, rng.common)
        super().__init__(self.begun.training)

    def model(self) -> Model:
        data = self.begun.data
        sampler = DenoiserSampler(
            denoiser=self.config.backbone.denoiser(self.begun.average),
            sampler=Ancestral(kappa=self.config.kappa, last_std=self.config.last_std),
            levels=self.config.vp_schedule().noise_levels,
            event_shape=self.problem.event_shape,
            scale=data.scale,
        )
        return Model(networks=sampler.networks, sampler=sampler.sample, num_classes=data.num_classes)
