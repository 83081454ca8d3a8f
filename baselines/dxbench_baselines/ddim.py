"""DDIM: deterministic sampling of a DDPM in few of its steps (Song, Meng & Ermon 2021, arXiv:2010.02502).

Eq. 12 with sigma = 0, on the whole steps of their App. D.2, linear or quadratic; the backbone is Ho et al. 2020
(arXiv:2006.11239), Algorithm 1, on 1,000 steps. Deviations: steps count from 0 and the quadratic ones are rounded down,
as released; in the plane and on small images an MLP in place of the UNet; points in the plane are scaled to a std of
0.5 as images have it, and samples back.
"""

from collections.abc import Callable
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from dxbench.api import Compute, Config, Method, Model, Need, Problem, RandomStreams, Training
from dxbench.staged import FromWeights, StagedTraining
from dxmi.backbones.images import DDPMUNet
from dxmi.backbones.small import IMAGE_DDPM, DDPMBackbone
from dxmi.backbones.starts import Start
from dxmi.models import DenoiserSampler
from dxmi.sampling.samplers import euler
from dxmi.schedules.chains import Chain
from dxmi.schedules.levels import VPSchedule

SCHEDULES: dict[str, Callable[[Chain, int], VPSchedule]] = {
    "quadratic": Chain.step_quadratic,
    "linear": Chain.step_linear,
}


class DDIMBase(Config):
    """Of a DDPM of 1,000 steps, sampled in few, whatever the data."""

    num_steps: int = Field(default=10, ge=2, description="sampling steps = NFE")
    schedule: Literal["quadratic", "linear"] = "quadratic"
    backbone: Any

    @model_validator(mode="after")
    def _chain_has_these_steps(self) -> Self:
        self.vp_schedule()
        return self

    def vp_schedule(self) -> VPSchedule:
        return SCHEDULES[self.schedule](self.backbone.chain, self.num_steps)

    def begin(self, problem: Problem, compute: Compute, streams: RandomStreams) -> Start:
        """The noise predictor's training."""
        return self.backbone.begin(problem, compute, streams)


class DDIMConfig(DDIMBase):
    """For points in the plane."""

    needs = frozenset({Need.VECTORS})

    backbone: DDPMBackbone = Field(default=DDPMBackbone(), description="the noise predictor and its training")


class DDIMImageConfig(DDIMConfig):
    """For small images; the backbone is the one of `ddpm`."""

    needs = frozenset({Need.SMALL_IMAGES})

    backbone: DDPMBackbone = Field(default=IMAGE_DDPM, description="the noise predictor and its training")


class DDIMUNetConfig(FromWeights, DDIMBase):
    """For images of 32 pixels and more: the released DDPM, whose own `schedule` is that of `ddpm` and `dxmi`."""

    samples_only = True

    backbone: DDPMUNet = DDPMUNet()


class DDIM(Method):
    """A DDPM of a thousand steps sampled in few of them without noise or further training."""

    name = "ddim"
    version = 1
    family = "diffusion"
    citation = "Song et al. 2021, arXiv:2010.02502"
    Config = DDIMConfig
    recipes = ".recipes.ddim"
    parallel = True

    def start(self, problem: Problem, config: DDIMBase, *, compute: Compute, rng: RandomStreams) -> Training:
        return DDIMTraining(problem, config, compute, rng)


class DDIMTraining(StagedTraining):
    """The backbone's; its averaged weights sample."""

    def __init__(self, problem: Problem, config: DDIMBase, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config = problem, config
        self.begun = config.begin(problem, compute, rng.common)
        super().__init__(self.begun.training)

    def model(self) -> Model:
        data = self.begun.data
        sampler = DenoiserSampler(
            denoiser=self.config.backbone.denoiser(self.begun.average),
            sampler=euler(),
            levels=self.config.vp_schedule().noise_levels,
            event_shape=self.problem.event_shape,
            scale=data.scale,
        )
        return Model(networks=sampler.networks, sampler=sampler.sample, num_classes=data.num_classes)
