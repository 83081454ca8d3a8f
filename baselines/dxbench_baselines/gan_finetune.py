"""GAN finetuning: a denoiser turned one-step generator by an adversarial loss alone (GDD / D2O, arXiv:2506.09376).

The generator is an EDM denoiser (arXiv:2206.00364) called once at sigma_max; the critic is of the class of DxMI's
value network, its energy the negative logit; the loss is the non-saturating one with R1 on the data. DxMI without
entropy and without dynamic programming. Deviations: the critic learns from points, where the source takes the features
of a pretrained projected-GAN discriminator; every weight moves, none are frozen; Adam with beta_1 = 0. In the plane and
on small images the start model is trained first; cosine decay; data are scaled to a std of 0.5 as images have it.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from typing import Literal

import torch
from pydantic import Field, JsonValue, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from dxbench.api import Compute, Method, Model, Problem, RandomStreams, Training
from dxbench_baselines.starts.backbone import Backbone, Pretraining, prepared
from dxbench_baselines.starts.config import EDMNetwork, StartConfig
from dxbench_baselines.starts.migration import complete, take, with_start
from dxbench_baselines.starts.models import jumping_model
from dxbench_baselines.starts.presets import POINTS_EDM
from dxbench_baselines.starts.stages import Tuning
from dxmi.arrays import PerSample, Points
from dxmi.backbones.small import SIGMA_DATA
from dxmi.energies.critics import AnyCritic, MLPCritic
from dxmi.energies.values import TimeIndependentValue
from dxmi.losses import discrimination_loss, persuasion_loss
from dxmi.protocols import Energy
from dxmi.training.optimisers import Learner


class GANFinetuneConfig(StartConfig[EDMNetwork]):
    """Settings of adversarial finetuning."""

    sigma_start: PositiveFloat = Field(default=80.0, description="noise level the generator is called at")
    r1: NonNegativeFloat = Field(default=0.1, description="weight of the critic's squared gradient at data, halved")
    data_noise: NonNegativeFloat = Field(default=0.0, description="std of noise on what the critic sees, scaled data")
    head_start: NonNegativeInt = Field(default=0, description="iterations of the critic before the generator moves")
    backbone: Backbone[EDMNetwork] = Field(
        default=replace(POINTS_EDM, pretraining=Pretraining(iterations=3000)),
        description="the start and its training; of 0 iterations: from scratch",
    )
    critic: AnyCritic = Field(default=MLPCritic(), description="the layout of the critic")
    iterations: PositiveInt = 26200
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 1e-4
    critic_lr: PositiveFloat = 1e-3
    lr_decay: Literal["cosine", "none"] = "cosine"
    ema_decay: float = Field(default=0.999, ge=0, lt=1)


# As R1's authors have it (Mescheder et al. 2018, arXiv:1801.04406): no momentum in a game.
ADAM_BETAS = (0.0, 0.99)


class GANFinetune(Method):
    """A denoiser finetuned by a GAN loss into a one-step generator."""

    name = "gan_finetune"
    version = 1
    family = "adversarial"
    citation = "Zheng & Yang 2025, arXiv:2506.09376"
    recipes = ".recipes.gan_finetune"
    Config = GANFinetuneConfig
    parallel = True

    @classmethod
    def migrate_config(cls, config: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        settings, images = with_start(config, "edm")
        if images:
            settings |= {"lr_decay": "none", "critic": {"kind": "resnet", **take(settings, width="critic_width")}}
        elif "critic_hidden" in settings:
            layout = take(settings, hidden="critic_hidden", depth="critic_depth")
            settings |= {"critic": {"kind": "mlp", **layout}}
        return complete(cls.Config, settings)

    def start(self, problem: Problem, config: GANFinetuneConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return GANFinetuneTraining(problem, config, compute, rng)


def critic_loss(critic: Energy, data: Points, fake: Points, *, r1: float) -> PerSample:
    """softplus(E(data)) + softplus(-E(fake)) + r1/2 ||grad E(data)||^2, the logit being -E (R1, Eq. 9)."""
    data = data.detach().requires_grad_(True)
    energy = critic.energy(torch.cat([data, fake.detach()]))
    real, false = energy[: len(data)], energy[len(data) :]
    (gradient,) = torch.autograd.grad(real.sum(), data, create_graph=True)
    return discrimination_loss(real, false) + 0.5 * r1 * gradient.flatten(1).square().sum(dim=1)


def generator_loss(critic: Energy, fake: Points) -> PerSample:
    """softplus(E(fake)): the non-saturating loss (Goodfellow et al. 2014, arXiv:1406.2661)."""
    return persuasion_loss(critic.energy(fake))


class GANFinetuneTraining(Tuning):
    """An EDM denoiser first, then the adversarial game; the averaged generator samples."""

    def __init__(self, problem: Problem, config: GANFinetuneConfig, compute: Compute, rng: RandomStreams) -> None:
        begun, size = config.begin(problem, compute, rng), config.batch_size
        super().__init__(problem, begun, compute, rng, batch_size=size, iterations=config.iterations)
        self.config, network = config, config.backbone.network
        self.before = network.denoiser(begun.average)
        net = prepared(network, deepcopy(begun.net), compute)
        self.generator = self._learner(network.denoiser(net), config.lr)
        critic = config.critic.net(
            problem.event_shape,
            num_levels=None,
            data_std=SIGMA_DATA,
            generator=rng.torch("init critic"),
        )
        self.energy = TimeIndependentValue(critic).to(compute.device)
        self.critic = self._learner(self.energy, config.critic_lr)

    def _learner(self, module: nn.Module, lr: float) -> Learner:
        config = self.config
        return Learner(
            module,
            lr=lr,
            iterations=config.iterations,
            ema_decay=config.ema_decay,
            betas=ADAM_BETAS,
            lr_decay=config.lr_decay,
            parallel=self.parallel,
        )

    def parts(self) -> dict[str, Learner]:
        return {"generator": self.generator, "critic": self.critic}

    def begin(self) -> None:
        self.generator.begin_from(self.before.state_dict())

    def advance(self) -> dict[str, float | Tensor]:
        """The critic's step, then the generator's; a batch that goes through at once is generated once for both."""
        config, size = self.config, self.config.batch_size
        data, *_ = self.begun.data.batch(size, rng=self.data_rng)
        drawn = self._noised(data), self.noise.normal(0), self._noised(torch.zeros_like(data))
        classes = self.begun.data.classes(size, generator=self.noise.generator)
        data, z, blur, *labels = (values[self.mine] for values in (*drawn, *classes))

        @lru_cache(maxsize=1)
        def fake(start: int, stop: int) -> Tensor:
            sigma = z.new_full((stop - start,), config.sigma_start)
            given = (values[start:stop] for values in labels)
            return self.generator.module(config.sigma_start * z[start:stop], sigma, *given) + blur[start:stop]

        def of_critic(rows: slice) -> Tensor:
            return critic_loss(self.energy, data[rows], fake(rows.start, rows.stop), r1=config.r1).mean()

        def of_generator(rows: slice) -> Tensor:
            return generator_loss(self.energy, fake(rows.start, rows.stop)).mean()

        scalars: dict[str, float | Tensor] = {"critic_loss": self.critic.accumulated_step(size, of_critic)}
        if self.done >= config.head_start:
            scalars["generator_loss"] = self.generator.accumulated_step(size, of_generator)
        return scalars

    def _noised(self, x: Tensor) -> Tensor:
        """Instance noise (Sonderby et al. 2017, arXiv:1610.04490): without it the critic has no slope between laws."""
        return x if self.config.data_noise == 0 else x + self.config.data_noise * self.noise.normal(0)

    def model(self) -> Model:
        model, start = (
            jumping_model(denoiser, self.problem, self.begun.data, sigmas=(self.config.sigma_start,))
            for denoiser in (self.generator.average, self.before)
        )
        return replace(model, start=start)
