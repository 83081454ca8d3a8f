"""Score distillation: a generator, the teacher that it begins from, a fake that follows it, and perhaps a critic."""

from abc import abstractmethod
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from typing import Literal, Self

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from dxbench.api import Compute, Model, Problem, RandomStreams
from dxbench_baselines.starts.backbone import Backbone, prepared
from dxbench_baselines.starts.config import EDMNetwork, StartConfig
from dxbench_baselines.starts.models import jumping_model
from dxbench_baselines.starts.presets import POINTS_EDM
from dxbench_baselines.starts.stages import Tuning
from dxmi.arrays import ClassLabels, PerSample, Points, per_sample
from dxmi.backbones.small import SIGMA_DATA
from dxmi.distillation import AnyNoiseLaw, KarrasNoise, LogNormalNoise, NoisedCritic, NoiseLaw
from dxmi.losses import discrimination_loss
from dxmi.models import check_jumps
from dxmi.protocols import ClassDenoiser
from dxmi.sampling.denoisers import EDMDenoiser, check_denoiser, conditioned
from dxmi.training.denoising import edm_loss
from dxmi.training.optimisers import Learner

# As Diff-Instruct and SiD have it: no momentum in a game.
ADAM_BETAS = (0.0, 0.999)


class ScoreDistillationConfig(StartConfig[EDMNetwork]):
    """Settings that methods of score distillation have in common."""

    sigma_start: PositiveFloat = Field(default=2.5, description="noise level the generator is called at")
    noise: AnyNoiseLaw = Field(default=KarrasNoise(), description="levels that laws are compared at")
    fake_noise: AnyNoiseLaw = Field(default=LogNormalNoise(), description="levels that the fake and critic learn at")
    fake_steps: PositiveInt = Field(default=1, description="steps of the fake for one of the generator")
    adversarial: NonNegativeFloat = Field(default=0.0, description="weight of a GAN's loss under noise; 0: no data")
    backbone: Backbone[EDMNetwork] = Field(default=POINTS_EDM, description="teacher and start, and its training")
    iterations: PositiveInt = 10000
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 3e-4
    fake_lr: PositiveFloat = Field(default=1e-3, description="of the fake and of the critic")
    lr_decay: Literal["cosine", "none"] = "cosine"
    ema_decay: float = Field(default=0.999, ge=0, lt=1)

    @model_validator(mode="after")
    def _has_a_teacher(self) -> Self:
        if self.init == "train" and self.backbone.pretraining.iterations == 0:
            raise ValueError(
                "score distillation needs a teacher: set backbone.pretraining.iterations above 0, or init=official"
            )
        return self

    @model_validator(mode="after")
    def _passes_can_be_made(self) -> Self:
        check_jumps(self.sigmas, sigma_min=0.0)
        for law in (self.noise, self.fake_noise):
            shares = law.cdf(self._edges()).diff()
            if not bool((shares < 0).all()):
                raise ValueError(
                    f"no noise levels are drawn between two of the levels {self.sigmas} that passes begin at; widen "
                    "noise and fake_noise, or move middle_sigmas"
                )
        return self

    @property
    def sigmas(self) -> tuple[float, ...]:
        """Levels that the generator is called at: as many as network passes of a sample."""
        return (self.sigma_start,)

    @property
    def has_critic(self) -> bool:
        """True where a critic tells data from samples."""
        return self.adversarial > 0

    def uses_data(self) -> bool:
        return self.init == "train" or self.has_critic

    def intervals(self, k: Tensor) -> tuple[PerSample, PerSample]:
        """Lower and upper ends of the noise levels that what pass k gives is compared at, float64 [b] each."""
        edges = self._edges().to(k.device)
        return edges[k + 1], edges[k]

    def _edges(self) -> Tensor:
        return torch.tensor([torch.inf, *self.sigmas[1:], 0.0], dtype=torch.float64)


class ScoreDistillation(Tuning):
    """An EDM denoiser first; then fake, critic and generator in turns, all from its weights; the average samples.

    What the passes before the last give is passed on without gradient, under fresh noise, as DMD2 simulates its own
    sampling (arXiv:2405.14867); what pass k gives is compared between the noise levels of pass k + 1 and k.

    Attributes:
        teacher: D_T, the start's averaged weights unless another is given.
        critic: tells data from samples where there is one; its learner is `judge`.
    """

    def __init__(
        self,
        problem: Problem,
        config: ScoreDistillationConfig,
        compute: Compute,
        rng: RandomStreams,
    ) -> None:
        begun, size = config.begin(problem, compute, rng), config.batch_size
        super().__init__(problem, begun, compute, rng, batch_size=size, iterations=config.iterations)
        self.config, self.network = config, config.backbone.network
        self.before = self.network.denoiser(begun.average)
        self.teacher: ClassDenoiser = self.before
        following = config.iterations * config.fake_steps
        self.generator = self._learner(self._copy(compute), lr=config.lr, steps=config.iterations)
        self.fake = self._learner(self._copy(compute), lr=config.fake_lr, steps=following)
        self.critic = NoisedCritic(self._copy(compute).net) if config.has_critic else None
        self.judge = None if self.critic is None else self._learner(self.critic, lr=config.fake_lr, steps=following)

    def _copy(self, compute: Compute) -> EDMDenoiser:
        denoiser = self.network.denoiser(prepared(self.network, deepcopy(self.begun.net), compute))
        assert isinstance(denoiser, EDMDenoiser)
        return denoiser

    def _learner(self, module: nn.Module, *, lr: float, steps: int) -> Learner:
        config = self.config
        return Learner(
            module,
            lr=lr,
            iterations=steps,
            ema_decay=config.ema_decay,
            betas=ADAM_BETAS,
            lr_decay=config.lr_decay,
            parallel=self.parallel,
        )

    @abstractmethod
    def generator_loss(self, generated: Points, x: Points, sigma: PerSample, *labels: ClassLabels) -> PerSample:
        """A number per sample whose gradient in `generated` moves the generator; x = generated + sigma eps."""

    def parts(self) -> dict[str, Learner]:
        critic = {} if self.judge is None else {"critic": self.judge}
        return {"generator": self.generator, "fake": self.fake, **critic}

    def begin(self) -> None:
        example = SIGMA_DATA * self.noise.normal(0)
        labels = self.begun.data.classes(len(example), generator=self.noise.generator)
        check_denoiser(conditioned(self.teacher, *labels), example)
        for learner in self.parts().values():
            learner.begin_from(self.before.state_dict())

    def advance(self) -> dict[str, float | Tensor]:
        scalars: dict[str, float | Tensor] = {}
        for _ in range(self.config.fake_steps):
            scalars |= self._follow()
        drawn = self._drawn(self.config.noise)

        def loss_of(rows: slice) -> Tensor:
            starts, k, sigma, eps, *labels = (values[rows] for values in drawn)
            generated = self.generated(starts, k, *labels)
            return self.generator_loss(generated, generated + per_sample(sigma, eps) * eps, sigma, *labels).mean()

        return scalars | {"generator_loss": self.generator.accumulated_step(self.config.batch_size, loss_of)}

    def _follow(self) -> dict[str, float | Tensor]:
        """A step of the fake, and of the critic where there is one, at the generator as it is."""
        drawn, size = self._drawn(self.config.fake_noise), self.config.batch_size

        @lru_cache(maxsize=1)
        @torch.no_grad()
        def samples(start: int, stop: int) -> Tensor:
            starts, k, _, _, *labels = (values[start:stop] for values in drawn)
            return self.generated(starts, k, *labels)

        def of_fake(rows: slice) -> Tensor:
            _, _, *levels = (values[rows] for values in drawn)
            return edm_loss(self.fake.module, samples(rows.start, rows.stop), *levels).mean()  # type: ignore[arg-type]

        scalars: dict[str, float | Tensor] = {"fake_loss": self.fake.accumulated_step(size, of_fake)}
        if self.critic is not None and self.judge is not None:
            critic, batch = self.critic, self.begun.data.batch(size, rng=self.data_rng)
            real = [values[self.mine] for values in batch]

            def of_critic(rows: slice) -> Tensor:
                _, _, sigma, eps, *labels = (values[rows] for values in drawn)
                data, *classes = (values[rows] for values in real)
                noise = per_sample(sigma, eps) * eps
                return discrimination_loss(
                    critic.energy(data + noise, sigma, *classes),
                    critic.energy(samples(rows.start, rows.stop) + noise, sigma, *labels),
                ).mean()

            scalars["critic_loss"] = self.judge.accumulated_step(size, of_critic)
        return scalars

    def _drawn(self, law: NoiseLaw) -> list[Tensor]:
        """This process's rows: noise of each pass, the pass whose samples are compared, sigma, eps and classes."""
        size, passes, generator = self.config.batch_size, len(self.config.sigmas), self.noise.generator
        starts = torch.stack([self.noise.normal(j) for j in range(passes)], dim=1)
        k = torch.randint(passes, (size,), generator=generator, device=generator.device)
        sigma = law.draw(self.noise, *self.config.intervals(k))
        classes = self.begun.data.classes(size, generator=generator)
        return [values[self.mine] for values in (starts, k, sigma, self.noise.normal(0), *classes)]

    def generated(self, starts: Tensor, k: Tensor, *labels: ClassLabels) -> Points:
        """Samples of pass k, [b, *event], from the noise of each pass, [b, passes, *event]."""
        sigmas = starts.new_tensor(self.config.sigmas)
        x = sigmas[0] * starts[:, 0]
        with torch.no_grad():
            for j in range(1, len(sigmas)):
                further = self.generator.module(x, sigmas[j - 1].expand(len(x)), *labels) + sigmas[j] * starts[:, j]
                x = torch.where(per_sample(k >= j, x), further, x)
        return self.generator.module(x, sigmas[k], *labels)

    def model(self) -> Model:
        model, start = (
            jumping_model(denoiser, self.problem, self.begun.data, sigmas=self.config.sigmas)
            for denoiser in (self.generator.average, self.before)
        )
        return replace(model, start=start)
