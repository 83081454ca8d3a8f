"""Flow matching (Lipman et al. 2023, arXiv:2210.02747): a velocity along straight paths, followed from noise to data.

Pairs of noise and data are independent, or couplings of optimal transport within a batch (OT-CFM: Tong et al. 2024,
arXiv:2302.00482). With independent pairs the same model is known as rectified flow before its reflow (Liu et al. 2023,
arXiv:2209.03003), as iterative alpha-deblending (Heitz et al. 2023, arXiv:2305.03486) and, with times that are
logit-normal, from Esser et al. 2024 (arXiv:2403.03206). Deviations: noise has no part at the data (sigma_min = 0, as in
OT-CFM's released code); steps are equal, by Euler or Heun, where the sources also solve adaptively. In the plane and on
small images: an MLP in place of the UNet, Adam 1e-3 with cosine decay.
"""

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from dxbench.api import Compute, Method, Problem, RandomStreams, Training
from dxbench_baselines.starts.backbone import Backbone
from dxbench_baselines.starts.config import FlowNetwork, StartConfig
from dxbench_baselines.starts.presets import POINTS_FLOW
from dxbench_baselines.starts.stages import SampledField
from dxmi.sampling.flows import EulerFlow, FlowSteps, HeunFlow

SAMPLERS: dict[str, type[FlowSteps]] = {"euler": EulerFlow, "heun": HeunFlow}


class FlowConfig(StartConfig[FlowNetwork]):
    """Settings of flow matching and its sampling."""

    samples_only = True

    sampler: Literal["euler", "heun"] = "heun"
    nfe: PositiveInt = Field(default=34, description="network passes per sample; even for heun, which takes 2N")
    backbone: Backbone[FlowNetwork] = Field(
        default=POINTS_FLOW, description="the velocity, how noise and data are paired, and its training"
    )

    @model_validator(mode="after")
    def _sampler_can_do_it(self) -> Self:
        if self.nfe % SAMPLERS[self.sampler].passes:
            raise ValueError(
                f"{self.sampler} takes two passes a step, got nfe={self.nfe}; use {self.nfe + 1}, or sampler=euler"
            )
        return self

    def steps(self) -> FlowSteps:
        """The way from noise to data."""
        kind = SAMPLERS[self.sampler]
        return kind(num_steps=self.nfe // kind.passes)


class Flow(Method):
    """Flow matching, with independent or optimally coupled pairs: a velocity, followed from noise to data."""

    name = "flow"
    version = 1
    family = "diffusion"
    citation = "Lipman et al. 2023, arXiv:2210.02747"
    recipes = ".recipes.flow"
    Config = FlowConfig
    parallel = True

    def start(self, problem: Problem, config: FlowConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return SampledField(problem, config.begin(problem, compute, rng), config.backbone.network, config.steps())
