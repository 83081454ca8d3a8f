"""Discriminator guidance: a denoiser's score refined by the gradient of a discriminator between data and its samples.

Kim et al. 2023, arXiv:2211.17091. At every noise level a discriminator tells noisy data from noisy samples of the
denoiser's own; the gradient of its logit, ln d / (1 - d), is the difference of both scores where it is optimal.
docs/methods/discriminator_guidance.md has the deviations.
"""

from copy import deepcopy
from dataclasses import replace

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from dxbench.api import Compute, Method, Model, Problem, RandomStreams, Training
from dxbench_baselines.starts.backbone import prepared
from dxbench_baselines.starts.models import model_of
from dxbench_baselines.starts.self_sampled import SelfSampled, SelfSampledConfig
from dxmi.arrays import per_sample
from dxmi.distillation import AnyNoiseLaw, KarrasNoise, RatioCritic
from dxmi.energies.noisy import GuidedDenoiser
from dxmi.losses import discrimination_loss
from dxmi.sampling.denoisers import EDMDenoiser
from dxmi.training.optimisers import Learner


class DiscriminatorGuidanceConfig(SelfSampledConfig):
    """Settings of discriminator guidance."""

    weight: NonNegativeFloat = Field(default=1.0, description="of the guidance; 0 leaves the start as it is")
    noise: AnyNoiseLaw = Field(default=KarrasNoise(), description="levels that the discriminator learns at")
    synthetic: PositiveInt = Field(default=50_000, description="samples of the start that the discriminator sees")
    iterations: PositiveInt = 3000
    lr: PositiveFloat = 1e-3
    ema_decay: float = Field(default=0.999, ge=0, lt=1)


class DiscriminatorGuidance(Method):
    """A denoiser guided by a discriminator that tells data from its samples under noise."""

    name = "discriminator_guidance"
    version = 1
    family = "diffusion"
    citation = "Kim et al. 2023, arXiv:2211.17091"
    recipes = ".recipes.discriminator_guidance"
    Config = DiscriminatorGuidanceConfig
    parallel = True

    def start(
        self, problem: Problem, config: DiscriminatorGuidanceConfig, *, compute: Compute, rng: RandomStreams
    ) -> Training:
        return DiscriminatorGuidanceTraining(problem, config, compute, rng)


class DiscriminatorGuidanceTraining(SelfSampled):
    """A denoiser first, then the discriminator between data and its samples, which begins from the same weights."""

    config: DiscriminatorGuidanceConfig

    def __init__(
        self, problem: Problem, config: DiscriminatorGuidanceConfig, compute: Compute, rng: RandomStreams
    ) -> None:
        super().__init__(problem, config, compute, rng)
        self.critic = Learner(
            self._critic(prepared(config.backbone.network, deepcopy(self.begun.net), compute)),
            lr=config.lr,
            iterations=config.iterations,
            ema_decay=config.ema_decay,
            parallel=self.parallel,
        )

    def _critic(self, net: nn.Module) -> RatioCritic:
        denoiser = self.config.backbone.network.denoiser(net)
        assert isinstance(denoiser, EDMDenoiser)
        return RatioCritic(denoiser.net)

    def parts(self) -> dict[str, Learner]:
        return {"critic": self.critic}

    def begin(self) -> None:
        self.critic.begin_from(self._critic(self.begun.average).state_dict())

    def advance(self) -> dict[str, float | Tensor]:
        """A step of the discriminator; both sides of a row have one noise level and noise of their own."""
        config, size = self.config, self.config.batch_size
        sigma = config.noise.draw(self.noise)
        real, fake = self.begun.data.batch(size, rng=self.data_rng), self.synthetic_batch()
        drawn = [(self.noise.normal(0), *side) for side in (real, fake)]
        critic = self.critic.module
        assert isinstance(critic, RatioCritic)

        def loss_of(rows: slice) -> Tensor:
            energies = []
            for side in drawn:
                eps, points, *labels = (values[self.mine][rows] for values in side)
                level = sigma[self.mine][rows]
                energies.append(critic.energy(points + per_sample(level, eps) * eps, level, *labels))
            return discrimination_loss(*energies).mean()

        return {"critic_loss": self.critic.accumulated_step(size, loss_of)}

    def model(self) -> Model:
        critic, before = self.critic.average, self.config.denoiser(self.begun.average)
        assert isinstance(critic, RatioCritic)
        guided = GuidedDenoiser(before, critic.energy, weight=self.config.weight)
        found, start = (model_of(self.sampler_of(one), self.begun.data) for one in (guided, before))
        return replace(found, networks=(before, critic.net), start=start)
