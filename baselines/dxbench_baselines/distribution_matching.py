"""Distribution matching: Diff-Instruct, DMD2, f-distill and intervals of a trajectory as settings of one update.

The generator is an EDM denoiser (arXiv:2206.00364) called once, or a few times with fresh noise between. Its samples
are moved along weight (D_F - D_T) at a random noise level: D_T the teacher, D_F a fake trained on the samples.
Diff-Instruct (Luo et al. 2023, arXiv:2305.18455) has weight 1; DMD2 (Yin et al. 2024, arXiv:2405.14867) the inverse of
the teacher's error, several steps of the fake and a GAN's loss; f-distill (Xu et al. 2025, arXiv:2502.15681) a function
of the density ratio, which the critic knows; trajectory distribution matching (Luo et al. 2025, arXiv:2503.06674)
compares what a pass gives between its noise level and the next. Deviations: the critic is a network of its own with
the teacher's weights at first, where the sources read the fake's inner layers; ratios are bounded and weights are not
divided by their mean; passes add fresh noise, where TDM follows the ODE; Adam with beta_1 = 0.
"""

from typing import Literal

import torch
from pydantic import Field, PositiveFloat

from dxbench.api import Compute, Method, Problem, RandomStreams, Training
from dxbench_baselines.starts.score_distillation import ScoreDistillation, ScoreDistillationConfig
from dxmi.arrays import ClassLabels, PerSample, Points
from dxmi.distillation import DIVERGENCES, density_ratio, matching_loss, teacher_error
from dxmi.losses import persuasion_loss


class DistributionMatchingConfig(ScoreDistillationConfig):
    """Settings of distribution matching."""

    divergence: Literal[
        "reverse_kl",
        "forward_kl",
        "jensen_shannon",
        "softened_reverse_kl",
        "jeffreys",
        "squared_hellinger",
        "neyman",
    ] = Field(default="reverse_kl", description="what is brought down; all but reverse_kl train a critic on data")
    unit: Literal["teacher_error", "one"] = Field(
        default="teacher_error", description="what D_F - D_T is divided by: mean |G - D_T| (DMD2), or 1 (Diff-Instruct)"
    )
    middle_sigmas: tuple[PositiveFloat, ...] = Field(
        default=(), description="noise levels to go back to between passes, falling; none: one step"
    )

    @property
    def sigmas(self) -> tuple[float, ...]:
        return (self.sigma_start, *self.middle_sigmas)

    @property
    def has_critic(self) -> bool:
        return self.adversarial > 0 or self.divergence != "reverse_kl"


class DistributionMatching(Method):
    """Distribution matching (Diff-Instruct, DMD2, f-distill): one pass, or a few, draw a sample."""

    name = "distribution_matching"
    version = 1
    family = "score distillation"
    citation = "Yin et al. 2024, arXiv:2405.14867"
    recipes = ".recipes.distribution_matching"
    Config = DistributionMatchingConfig
    parallel = True

    def start(
        self, problem: Problem, config: DistributionMatchingConfig, *, compute: Compute, rng: RandomStreams
    ) -> Training:
        return DistributionMatchingTraining(problem, config, compute, rng)


class DistributionMatchingTraining(ScoreDistillation):
    """Score distillation along the difference of both denoisers."""

    config: DistributionMatchingConfig

    def generator_loss(self, generated: Points, x: Points, sigma: PerSample, *labels: ClassLabels) -> PerSample:
        config = self.config
        with torch.no_grad():
            teacher, fake = self.teacher(x, sigma, *labels), self.fake.module(x, sigma, *labels)
        weight = torch.ones_like(sigma) if config.unit == "one" else 1 / teacher_error(generated, teacher)
        if self.critic is None:
            return matching_loss(generated, teacher, fake, weight)
        energy = self.critic.energy(x, sigma, *labels)
        weight = weight * DIVERGENCES[config.divergence](density_ratio(energy))
        return matching_loss(generated, teacher, fake, weight) + config.adversarial * persuasion_loss(energy)
