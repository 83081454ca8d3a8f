"""Manifold projection-diffusion recovery: an energy trained by MCMC that begins near the data.

Yoon et al. 2023, arXiv:2310.18677. A frozen autoencoder projects a point, its latent code is perturbed, z~ = (z + sigma
eps) / |z + sigma eps|, sigma ~ U(0.05, 0.3), and MCMC recovers a point from

    log p(x | z~) = -E(x) / T - c |enc(x) - z~|^2 / (2 sigma^2) + const:

first in the latent space through the decoder (normalised gradients, on the latent sphere), then in that of the data.
The energy step is E(x) - E(x-) + gamma E(x-)^2, as for MPDR-R, whose energy is a reconstruction error too.

Deviations: points and chains are on the sphere, as in DxMI's comparison (arXiv:2407.00626, Table 5), whose own
configuration of MPDR is unknown; the energy begins as the pretrained autoencoder; one autoencoder, no ensemble; the
length of a noise step is given as an angle; no penalty on the encoder's weights; sizes and rates are for a few
thousand vectors.
"""

import math

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor

from dxbench.api import Compute, Method, Need, Problem, RandomStreams, Training
from dxbench_baselines.starts.two_stage import TwoStageConfig, TwoStageTraining
from dxmi.arrays import PerSample, Points
from dxmi.energies.langevin import Langevin, normalised
from dxmi.geometry.spaces import UnitSphere
from dxmi.losses import one_sided_energy_loss


class MPDRConfig(TwoStageConfig):
    """Settings of manifold projection-diffusion recovery on feature vectors."""

    latent_noise: tuple[PositiveFloat, PositiveFloat] = Field(
        default=(0.05, 0.3), description="smallest and largest std of the latent perturbation"
    )
    recovery: NonNegativeFloat = Field(default=1e-4, description="c, weight of the latent distance to z~")
    latent_steps: NonNegativeInt = 2
    latent_step_size: PositiveFloat = 0.05
    latent_std: NonNegativeFloat = 0.02
    visible_steps: NonNegativeInt = 10
    visible_step_size: PositiveFloat = 0.001
    visible_angle: NonNegativeFloat = Field(default=0.02, description="typical length of the noise of a visible step")
    gamma: NonNegativeFloat = 0.5


class MPDR(Method):
    """Manifold projection-diffusion recovery with a reconstruction error as energy."""

    name = "mpdr"
    version = 1
    family = "energy-based"
    citation = "Yoon et al. 2023, arXiv:2310.18677"
    recipes = ".recipes.mpdr"
    Config = MPDRConfig
    needs = frozenset({Need.TRAINING_DATA, Need.FINITE_DATA})

    def start(self, problem: Problem, config: MPDRConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return MPDRTraining(problem, config, compute, rng)


class MPDRTraining(TwoStageTraining[MPDRConfig]):
    """The autoencoder first, then the energy against recovered points."""

    def __init__(self, problem: Problem, config: MPDRConfig, compute: Compute, rng: RandomStreams) -> None:
        super().__init__(problem, config, compute, rng)
        space = UnitSphere()
        self.latent_chain = Langevin(
            step_size=config.latent_step_size,
            stds=(config.latent_std,) * config.latent_steps,
            space=space,
            rule=normalised,
        )
        std = config.visible_angle / math.sqrt(space.degrees_of_freedom(self.energy.dim))
        self.visible_chain = Langevin(
            step_size=config.visible_step_size, stds=(std,) * config.visible_steps, space=space
        )

    def sharpen(self, data: Points) -> dict[str, float | Tensor]:
        def loss(positive: Tensor, negative: Tensor) -> Tensor:
            return one_sided_energy_loss(positive, negative, gamma=self.config.gamma).mean()

        return self.contrast(data, self.recovered(data), loss)

    def recovered(self, data: Points) -> Points:
        """x-: the ends of the latent and the visible chain that begin at the data's perturbed codes."""
        energy, manifold = self.energy.net, self.energy.frozen
        low, high = self.config.latent_noise
        sigma = low + (high - low) * torch.rand(len(data), generator=self.generator, device=data.device)
        eps = torch.randn((len(data), self.config.latent), generator=self.generator, device=data.device)
        with torch.no_grad():
            code = manifold.perturbed_code(data, std=sigma, eps=eps)

        def restraint(z: Points) -> PerSample:
            return self.config.recovery * (z - code).square().sum(dim=1) / (2 * sigma.square())

        z = self.latent_chain(
            lambda z: energy(manifold.decode(z)).squeeze(1) + restraint(z), code, generator=self.generator
        )
        with torch.no_grad():
            start = manifold.decode(z)
        return self.visible_chain(
            lambda x: energy(x).squeeze(1) + restraint(manifold.encode(x)), start, generator=self.generator
        )
