"""GAN finetuning: a denoiser turned one-step generator by an adversarial loss alone (GDD / D2O, arXiv:2506.09376).

The generator is an EDM denoiser (arXiv:2206.00364) called once at sigma_max; the critic is of the class of DxMI's
value network, its energy the negative logit; the loss is the non-saturating one with R1 on the data. DxMI without
entropy and without dynamic programming. Deviations: the critic learns from points, where the source takes the features
of a pretrained projected-GAN discriminator; the start model is trained first; every weight moves, none are
frozen; Adam with beta_1 = 0 and cosine decay; data are scaled to a std of 0.5 as images have it.
"""

from copy import deepcopy

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import softplus

from dxbench.api import Compute, Config, Method, Need, Problem, RandomStreams, Training
from dxbench.staged import StagedTraining
from dxmi.arrays import PerSample, Points
from dxmi.backbones import IMAGE_EDM, SIGMA_DATA, EDMBackbone
from dxmi.consistency import TunedConsistencyModel
from dxmi.networks import networks
from dxmi.noise import StreamNoise
from dxmi.optimisers import Learner
from dxmi.protocols import Energy
from dxmi.values import SharedValue


class GANFinetuneConfig(Config):
    """Of adversarial finetuning, for points in the plane."""

    needs = frozenset({Need.VECTORS})

    sigma_start: PositiveFloat = Field(default=80.0, description="noise level the generator is called at")
    r1: NonNegativeFloat = Field(default=0.1, description="weight of the critic's squared gradient at data, halved")
    data_noise: NonNegativeFloat = Field(default=0.0, description="std of noise on what the critic sees, scaled data")
    head_start: NonNegativeInt = Field(default=0, description="iterations of the critic before the generator moves")
    backbone: EDMBackbone = Field(
        default=EDMBackbone(iterations=3000), description="the start and its training; of 0 iterations: from scratch"
    )
    iterations: PositiveInt = 26200
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 1e-4
    critic_lr: PositiveFloat = 1e-3
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    critic_hidden: PositiveInt = 128
    critic_depth: PositiveInt = 3


class GANFinetuneImageConfig(GANFinetuneConfig):
    """For small images."""

    needs = frozenset({Need.SMALL_IMAGES})

    r1: NonNegativeFloat = Field(default=0.01, description="weight of the critic's squared gradient at data, halved")
    sigma_start: PositiveFloat = Field(default=20.0, description="noise level the generator is called at")
    data_noise: NonNegativeFloat = Field(default=0.05, description="std of noise on what the critic sees")
    iterations: PositiveInt = 1970
    batch_size: PositiveInt = 128
    ema_decay: float = Field(default=0.99, ge=0, lt=1)
    critic_hidden: PositiveInt = 256
    critic_depth: PositiveInt = 2
    backbone: EDMBackbone = Field(
        default=IMAGE_EDM, description="the start and its training; of 0 iterations: from scratch"
    )


# As R1's authors have it (Mescheder et al. 2018, arXiv:1801.04406): no momentum in a game.
ADAM_BETAS = (0.0, 0.99)


class GANFinetune(Method):
    """A denoiser finetuned by a GAN loss into a one-step generator."""

    name = "gan_finetune"
    version = 1
    family = "adversarial"
    citation = "Zheng & Yang 2025, arXiv:2506.09376"
    Config = GANFinetuneConfig

    def start(self, problem: Problem, config: GANFinetuneConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return GANFinetuneTraining(problem, config, compute, rng)


def critic_loss(critic: Energy, data: Points, fake: Points, *, r1: float) -> PerSample:
    """softplus(E(data)) + softplus(-E(fake)) + r1/2 ||grad E(data)||^2, the logit being -E (R1, Eq. 9)."""
    data = data.detach().requires_grad_(True)
    energy = critic.energy(torch.cat([data, fake.detach()]))
    real, false = energy[: len(data)], energy[len(data) :]
    (gradient,) = torch.autograd.grad(real.sum(), data, create_graph=True)
    return softplus(real) + softplus(-false) + 0.5 * r1 * gradient.flatten(1).square().sum(dim=1)


def generator_loss(critic: Energy, fake: Points) -> PerSample:
    """softplus(E(fake)): the non-saturating loss (Goodfellow et al. 2014, arXiv:1406.2661)."""
    return softplus(critic.energy(fake))


class GANFinetuneTraining(StagedTraining):
    """An EDM denoiser first, then the adversarial game; the averaged generator samples."""

    def __init__(self, problem: Problem, config: GANFinetuneConfig, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device = problem, config, compute.device
        self.scale = config.backbone.scale(problem)
        self.backbone = config.backbone.training(problem, compute, rng.common)
        self.generator = self._learner(deepcopy(self.backbone.net), config.lr)
        nets = networks(
            problem.event_shape, hidden=config.critic_hidden, depth=config.critic_depth, data_std=SIGMA_DATA
        )
        self.energy = SharedValue(nets.critic(1, rng.torch("init critic")), num_steps=0).to(self.device)
        self.critic = self._learner(self.energy, config.critic_lr)
        self.data_rng = rng.numpy("data")
        self.noise = StreamNoise(
            batch_size=config.batch_size,
            event_shape=problem.event_shape,
            generator=rng.torch("noise", device=self.device),
        )
        super().__init__(self.backbone, iterations=config.iterations)

    def _learner(self, module: nn.Module, lr: float) -> Learner:
        config = self.config
        return Learner(module, lr=lr, iterations=config.iterations, ema_decay=config.ema_decay, betas=ADAM_BETAS)

    def parts(self) -> dict[str, Learner]:
        return {"generator": self.generator, "critic": self.critic}

    def begin(self) -> None:
        self.generator.begin_from(self.backbone.average.state_dict())

    def advance(self) -> dict[str, float | Tensor]:
        """One generator pass serves both players: the critic sees it without gradient, then the generator learns."""
        data = self.scale * self.problem.data.batch(self.config.batch_size, rng=self.data_rng).to(self.device)
        data, fake = self._noised(data), self._noised(self._generate())
        loss = self.critic.descend(critic_loss(self.energy, data, fake, r1=self.config.r1).mean())
        if self.done < self.config.head_start:
            return {"critic_loss": loss}
        return {
            "critic_loss": loss,
            "generator_loss": self.generator.descend(generator_loss(self.energy, fake).mean()),
        }

    def _noised(self, x: Tensor) -> Tensor:
        """Instance noise (Sonderby et al. 2017, arXiv:1610.04490): without it the critic has no slope between laws."""
        return x if self.config.data_noise == 0 else x + self.config.data_noise * self.noise.normal(0)

    def _generate(self) -> Tensor:
        sigma = self.config.sigma_start
        z = self.noise.normal(0)
        return self.generator.module(sigma * z, z.new_full((len(z),), sigma))

    def model(self) -> TunedConsistencyModel:
        return TunedConsistencyModel.of(
            self.generator.average,
            self.backbone.average,
            sigmas=(self.config.sigma_start,),
            event_shape=self.problem.event_shape,
            scale=self.scale,
        )
