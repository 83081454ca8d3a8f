"""SiD: score identity distillation (Zhou et al. 2024, arXiv:2404.04057), with SIM and the adversarial switch of SiDA.

The generator is an EDM denoiser (arXiv:2206.00364) called once. At its samples under noise, x, the loss is
(D_T - D_F) (D_T - G - alpha (D_T - D_F)) over mean |G - D_T|, with gradients through G and both denoisers: D_T the
teacher, D_F a fake trained on the samples. Score implicit matching (Luo et al. 2024, arXiv:2410.16794) has alpha = 1
and a pseudo-Huber distance; SiDA (Zhou et al. 2025, arXiv:2410.14919) adds a GAN's loss under noise. Deviations: the
critic is a network of its own with the teacher's weights at first, where SiDA reads the fake's encoder; SIM's distance
is of denoisers, not of scores. `sid_true_score` is a reference row: its teacher is the truth.
"""

from pydantic import Field, FiniteFloat, PositiveFloat

from dxbench.api import Compute, Method, Need, Problem, RandomStreams, Training
from dxbench_baselines.starts.score_distillation import ScoreDistillation, ScoreDistillationConfig
from dxmi.arrays import ClassLabels, PerSample, Points
from dxmi.distillation import AnyNoiseLaw, KarrasNoise, ScoreDistance, SquaredDistance, score_identity_loss
from dxmi.losses import persuasion_loss


class SiDConfig(ScoreDistillationConfig):
    """Settings of score identity distillation."""

    alpha: FiniteFloat = Field(default=1.2, description="1: the gradient through scores alone, as in SIM")
    distance: ScoreDistance = Field(
        default=SquaredDistance(), discriminator="kind", description="of both denoisers: SiD's, or SIM's"
    )
    noise: AnyNoiseLaw = Field(
        default=KarrasNoise(last=0.8), description="levels that laws are compared at, uniform along Karras's grid"
    )
    lr: PositiveFloat = 1e-3


class SiD(Method):
    """Score identity distillation (SiD, SIM, SiDA): a denoiser distilled into a one-step generator."""

    name = "sid"
    version = 1
    family = "score distillation"
    citation = "Zhou et al. 2024, arXiv:2404.04057"
    recipes = ".recipes.sid"
    Config = SiDConfig
    parallel = True

    def start(self, problem: Problem, config: SiDConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return SiDTraining(problem, config, compute, rng)


class SiDTrueScore(SiD):
    """SiD whose teacher is the true distribution: what a perfect teacher would be worth."""

    name = "sid_true_score"
    family = "reference"
    reference = True
    needs = frozenset({Need.TRAINING_DATA, Need.ORACLE, Need.TRUE_SCORE})

    def start(self, problem: Problem, config: SiDConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        training = SiDTraining(problem, config, compute, rng)
        training.teacher = TrueDenoiser(problem, scale=training.begun.data.scale)
        return training


class TrueDenoiser:
    """D of the truth, in the units that networks see data in."""

    def __init__(self, problem: Problem, *, scale: float) -> None:
        assert problem.oracle is not None  # the harness grants what `needs` lists
        assert problem.oracle.denoiser is not None
        self.denoiser, self.scale = problem.oracle.denoiser, scale

    def __call__(self, x: Points, sigma: PerSample, *labels: ClassLabels) -> Points:
        return self.scale * self.denoiser(x / self.scale, sigma / self.scale)


class SiDTraining(ScoreDistillation):
    """Score distillation that makes the difference of both denoisers small."""

    config: SiDConfig

    def generator_loss(self, generated: Points, x: Points, sigma: PerSample, *labels: ClassLabels) -> PerSample:
        config = self.config
        teacher, fake = self.teacher(x, sigma, *labels), self.fake.module(x, sigma, *labels)
        loss = score_identity_loss(generated, teacher, fake, alpha=config.alpha, distance=config.distance)
        if self.critic is not None:
            loss = loss + config.adversarial * persuasion_loss(self.critic.energy(x, sigma, *labels))
        return config.distance.weight(generated, teacher) * loss
