"""DDPM: denoising diffusion, ancestral sampling (Ho et al. 2020, arXiv:2006.11239).

Loss: their Algorithm 1 (noise prediction, steps uniform). Sampling: their Algorithm 2 with the posterior std.
For points in the plane one model is trained per number of steps, as in Table 1 of DxMI; the last step's std is
`last_std`, not 0, as in SFT-PG and DxMI, so that log pi exists at every step. For images one model of 1,000 steps is
trained, and sampling visits `num_steps` of them (Nichol & Dhariwal 2021, arXiv:2102.09672, section 4); it begins at
`first_level`, because nearer to pure noise a step multiplies what the network errs.
"""

from collections.abc import Mapping

from pydantic import Field, JsonValue, PositiveInt

from dxbench.api import Compute, Method, Model, Problem, RandomStreams, Training
from dxbench_baselines.starts.backbone import Backbone, Pretraining, StreamNames
from dxbench_baselines.starts.config import FewStepConfig, FewStepNetwork
from dxbench_baselines.starts.migration import PRETRAINING, complete, of_steps, take, with_start
from dxbench_baselines.starts.models import model_of
from dxbench_baselines.starts.stages import StagedTraining
from dxmi.backbones.few_steps import AnyFewSteps, StridedSteps
from dxmi.backbones.small import StepsMLP
from dxmi.models import PolicySampler

POINTS = Backbone(network=StepsMLP(), pretraining=Pretraining(iterations=6000, ema_decay=0.995))


class DDPMConfig(FewStepConfig):
    """Settings of a DDPM and of the few of its steps that are sampled."""

    samples_only = True
    own_streams = StreamNames(init="init", data="data", noise="noise")

    num_steps: PositiveInt = Field(default=10, description="sampling steps T = NFE")
    backbone: Backbone[FewStepNetwork] = Field(default=POINTS, description="the noise predictor and its training")
    sampler: AnyFewSteps = Field(default=StridedSteps(), description="the steps that are sampled, and their stds")


class DDPM(Method):
    """Denoising diffusion with ancestral sampling."""

    name = "ddpm"
    version = 1
    family = "diffusion"
    citation = "Ho et al. 2020, arXiv:2006.11239"
    recipes = ".recipes.ddpm"
    Config = DDPMConfig
    parallel = True

    @classmethod
    def migrate_config(cls, config: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        settings, sampler = with_start(config, "ddpm")
        if "first_level" in settings:  # small images
            sampler = {"kind": "strided", **take(settings, "first_level"), "last_std": 1.0, "noiseless_last_step": True}
        elif "hidden" in settings:  # points in the plane
            settings["backbone"] = of_steps(settings, "hidden", "depth", "schedule")
            settings["backbone"]["pretraining"] = take(settings, *PRETRAINING)
            sampler = {"kind": "strided", **take(settings, "last_std")}
        return complete(cls.Config, settings | ({"sampler": sampler} if sampler else {}))

    def start(self, problem: Problem, config: DDPMConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return DDPMTraining(problem, config, compute, rng)


class DDPMTraining(StagedTraining):
    """The backbone's; its averaged weights sample."""

    def __init__(self, problem: Problem, config: DDPMConfig, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device = problem, config, compute.device
        self.begun = config.begin(problem, compute, rng)
        super().__init__(self.begun.training)

    def model(self) -> Model:
        policy = self.config.policy(self.begun.average, self.problem.event_shape, trainable=False)
        sampler = PolicySampler(
            policy=policy.to(self.device),
            noiseless_last_step=self.config.sampler.noiseless_last_step,
            scale=self.begun.data.scale,
        )
        return model_of(sampler, self.begun.data)
