"""EDM: one denoiser, many samplers (Karras et al. 2022, arXiv:2206.00364). The fair curve without further training.

Training: their Table 1, last column. Sampling: Karras levels, with Euler, Heun (their Algorithm 1), Euler-ancestral,
iPNDM (arXiv:2204.13902) or DPM-Solver++(3M) (arXiv:2211.01095); epsilon scaling (arXiv:2308.15321) as an option.
Deviations: Heun without churn, which their unconditional images do not use either; a step to sigma = 0 counts as a step
of every sampler, where the solver papers stop at sigma_min. In the plane and on small images: an MLP in place of the
UNet; Adam 1e-3 with cosine decay, for the short training of a small net; data are scaled to a std of 0.5 as images have
it, and samples back.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import nn

from dxbench.api import Compute, Config, Method, Model, Need, Problem, RandomStreams, Training
from dxbench.staged import FromWeights, StagedTraining
from dxmi.backbones.edm import ADMUNet, EDMUNet
from dxmi.backbones.small import IMAGE_EDM, EDMBackbone
from dxmi.backbones.starts import Start
from dxmi.models import DenoiserSampler
from dxmi.sampling.denoisers import Clipped, EpsilonScaled
from dxmi.sampling.samplers import IPNDM, DPMSolverPP3M, Heun, Sampler, euler, euler_ancestral
from dxmi.schedules.levels import NoiseLevels

SAMPLERS: dict[str, Sampler] = {
    "euler": euler(),
    "heun": Heun(),
    "ancestral": euler_ancestral(),
    "ipndm": IPNDM(),
    "dpmpp3m": DPMSolverPP3M(),
}


class EDMBase(Config):
    """Of an EDM denoiser's sampling, whatever the data."""

    sampler: Literal["euler", "heun", "ancestral", "ipndm", "dpmpp3m"] = "heun"
    nfe: PositiveInt = Field(default=35, description="network passes per sample; odd for heun, which takes 2N - 1")
    sigma_min: PositiveFloat = 0.002
    sigma_max: PositiveFloat = 80.0
    rho: PositiveFloat = 7.0
    epsilon_scale: PositiveFloat = Field(default=1.0, description="divides the predicted noise; 1 leaves it alone")
    backbone: Any

    @model_validator(mode="after")
    def _sampler_can_do_it(self) -> Self:
        if self.sampler == "heun" and self.nfe % 2 == 0:
            raise ValueError(
                f"heun takes 2N - 1 passes for N steps, got nfe={self.nfe}; use {self.nfe - 1} or {self.nfe + 1}"
            )
        return self

    def sampling(self) -> tuple[Sampler, NoiseLevels]:
        num_steps = (self.nfe + 1) // 2 if self.sampler == "heun" else self.nfe
        levels = NoiseLevels.karras(num_steps, sigma_min=self.sigma_min, sigma_max=self.sigma_max, rho=self.rho)
        return SAMPLERS[self.sampler], levels

    def begin(self, problem: Problem, compute: Compute, streams: RandomStreams) -> Start:
        """The denoiser's training."""
        return self.backbone.begin(problem, compute, streams)

    def denoiser(self, net: nn.Module) -> nn.Module:
        """D(x, sigma) as it is sampled, of what was trained."""
        return EpsilonScaled(self.backbone.denoiser(net), scale=self.epsilon_scale)


class EDMConfig(EDMBase):
    """For points in the plane."""

    needs = frozenset({Need.VECTORS})

    backbone: EDMBackbone = Field(default=EDMBackbone(), description="the denoiser and its training")


class EDMImageConfig(EDMConfig):
    """For small images."""

    needs = frozenset({Need.SMALL_IMAGES})

    backbone: EDMBackbone = Field(default=IMAGE_EDM, description="the denoiser and its training")


class EDMUNetConfig(FromWeights, EDMBase):
    """For images of 32 pixels and more: the released denoisers."""

    samples_only = True

    backbone: Annotated[EDMUNet | ADMUNet, Field(discriminator="kind")] = EDMUNet()
    clip: bool = Field(default=False, description="D kept in [-1, 1], as the consistency models' authors sample theirs")

    def denoiser(self, net: nn.Module) -> nn.Module:
        return Clipped(super().denoiser(net)) if self.clip else super().denoiser(net)


class EDM(Method):
    """A denoiser over all noise levels, sampled along its probability flow without further training."""

    name = "edm"
    version = 2
    family = "diffusion"
    citation = "Karras et al. 2022, arXiv:2206.00364"
    Config = EDMConfig
    recipes = ".recipes.edm"
    parallel = True

    def start(self, problem: Problem, config: EDMBase, *, compute: Compute, rng: RandomStreams) -> Training:
        return EDMTraining(problem, config, compute, rng)


class EDMTraining(StagedTraining):
    """The backbone's; its averaged weights sample."""

    def __init__(self, problem: Problem, config: EDMBase, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config = problem, config
        self.begun = config.begin(problem, compute, rng.common)
        super().__init__(self.begun.training)

    def model(self) -> Model:
        data, (way, levels) = self.begun.data, self.config.sampling()
        sampler = DenoiserSampler(
            denoiser=self.config.denoiser(self.begun.average),
            sampler=way,
            levels=levels,
            event_shape=self.problem.event_shape,
            scale=data.scale,
        )
        return Model(networks=sampler.networks, sampler=sampler.sample, num_classes=data.num_classes)
