"""Normalised autoencoder: the reconstruction error as a proper energy, p(x) = exp(-E(x) / T) / Z.

Yoon et al. 2021, arXiv:2105.05735. The gradient of -log p is grad E(data) - grad E(samples of the model), and samples
are found by on-manifold initialisation: a Langevin chain of latent codes on H(z) = E(dec(z)), kept in a replay buffer,
then one of points from dec(z), its noise fading as 1 / (1 + i) and its gradients clipped row by row. The energy step is
E(x) - E(x-) + gamma E(x-)^2 + lambda |encoder|^2.

Deviations: points are on the unit sphere and move along it; E = `energy_scale` |x - x^|^2, not |x - x^|^2 / D; the
length of a noise step is given as an angle; sizes and rates are for a few thousand vectors.
"""

import math

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from dxbench.api import Compute, Method, Need, Problem, RandomStreams, Training
from dxbench_baselines.starts.stages import Stateful
from dxbench_baselines.starts.two_stage import TwoStageConfig, TwoStageTraining
from dxmi.arrays import Points
from dxmi.energies.langevin import Langevin, ReplayBuffer, clipped, harmonic
from dxmi.geometry.spaces import UnitSphere
from dxmi.geometry.sphere import project
from dxmi.losses import one_sided_energy_loss


class NAEConfig(TwoStageConfig):
    """Settings of the normalised autoencoder on feature vectors."""

    latent_steps: PositiveInt = 10
    latent_step_size: PositiveFloat = 0.2
    latent_std: NonNegativeFloat = 0.05
    replay: float = Field(default=0.95, ge=0, le=1, description="share of latent chains that begin in the buffer")
    buffer: PositiveInt = 10_000
    visible_steps: PositiveInt = 10
    visible_step_size: PositiveFloat = 1.0
    visible_angle: NonNegativeFloat = Field(default=0.05, description="typical length of the first step's noise")
    max_gradient: PositiveFloat = 0.01
    gamma: NonNegativeFloat = 0.5
    encoder_decay: NonNegativeFloat = 1e-4


class NAE(Method):
    """Normalised autoencoder with on-manifold initialisation."""

    name = "nae"
    version = 1
    family = "energy-based"
    citation = "Yoon et al. 2021, arXiv:2105.05735"
    recipes = ".recipes.nae"
    Config = NAEConfig
    needs = frozenset({Need.TRAINING_DATA, Need.FINITE_DATA})

    def start(self, problem: Problem, config: NAEConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return NAETraining(problem, config, compute, rng)


class NAETraining(TwoStageTraining[NAEConfig]):
    """The autoencoder first, then its energy against samples of its own."""

    def __init__(self, problem: Problem, config: NAEConfig, compute: Compute, rng: RandomStreams) -> None:
        super().__init__(problem, config, compute, rng)
        self.codes = ReplayBuffer(config.buffer, (config.latent,)).to(compute.device)
        space = UnitSphere()
        self.latent_chain = Langevin(
            step_size=config.latent_step_size, stds=(config.latent_std,) * config.latent_steps, space=space
        )
        std = config.visible_angle / math.sqrt(space.degrees_of_freedom(self.energy.dim))
        self.visible_chain = Langevin(
            step_size=config.visible_step_size,
            stds=harmonic(std, config.visible_steps),
            space=space,
            rule=clipped(config.max_gradient),
        )

    def sharpen(self, data: Points) -> dict[str, float | Tensor]:
        def loss(positive: Tensor, negative: Tensor) -> Tensor:
            penalty = sum(weight.square().sum() for weight in self.energy.net.encoder.parameters())
            contrast = one_sided_energy_loss(positive, negative, gamma=self.config.gamma).mean()
            return contrast + self.config.encoder_decay * penalty

        return self.contrast(data, self.samples(), loss)

    def parts(self) -> dict[str, Stateful]:
        return {**super().parts(), "codes": self.codes}

    def samples(self) -> Points:
        """x-: latent chains from the buffer or from uniform codes, then visible chains from their decoded ends."""
        net = self.energy.net
        shape = (self.config.batch_size, self.config.latent)
        fresh = project(torch.randn(shape, generator=self.generator, device=self.energy.device))
        codes = self.codes.mix(fresh, reuse=self.config.replay, generator=self.generator)
        codes = self.latent_chain(lambda z: net(net.decode(z)).squeeze(1), codes, generator=self.generator)
        self.codes.push(codes)
        with torch.no_grad():
            start = net.decode(codes)
        return self.visible_chain(lambda x: net(x).squeeze(1), start, generator=self.generator)
