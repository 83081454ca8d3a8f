"""MeanFlow (Geng et al. 2025, arXiv:2505.13447): one pass, or a few, from noise to data, trained from scratch.

A network learns the average velocity between two times of the flow (`dxmi.training.mean_flows`). What it is regressed
on is a choice: MeanFlow's derivative along the pair's velocity, improved MeanFlow's along its own (arXiv:2512.02012),
alpha-flow's way from flow matching to MeanFlow (arXiv:2510.20771), or a shortcut model's two half steps
(arXiv:2410.12557). Deviations: no guidance; shortcut's half steps are those of the weights in training, not of their
average, and are told from its steps by their ends, not their length. In the plane and on small images: an MLP in place
of the UNet, no adaptive weight, Adam with cosine decay.
"""

from pydantic import Field, PositiveInt

from dxbench.api import Compute, Method, Problem, RandomStreams, Training
from dxbench_baselines.starts.backbone import Backbone
from dxbench_baselines.starts.config import MeanFlowNetwork, StartConfig
from dxbench_baselines.starts.presets import POINTS_MEANFLOW
from dxbench_baselines.starts.stages import SampledField
from dxmi.sampling.flows import MeanSteps


class MeanFlowConfig(StartConfig[MeanFlowNetwork]):
    """Settings of average velocities and their sampling."""

    samples_only = True

    num_steps: PositiveInt = Field(default=1, description="steps from noise to data = NFE")
    backbone: Backbone[MeanFlowNetwork] = Field(
        default=POINTS_MEANFLOW, description="the average velocity, what it is regressed on, and its training"
    )


class MeanFlow(Method):
    """MeanFlow, improved MeanFlow, alpha-flow, shortcut models: one pass, or a few, from scratch, without a teacher."""

    name = "meanflow"
    version = 1
    family = "flow maps"
    citation = "Geng et al. 2025, arXiv:2505.13447"
    recipes = ".recipes.meanflow"
    Config = MeanFlowConfig
    parallel = True

    def start(self, problem: Problem, config: MeanFlowConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        steps = MeanSteps(num_steps=config.num_steps)
        return SampledField(problem, config.begin(problem, compute, rng), config.backbone.network, steps)
