"""Energy from contrastive divergence: a scalar net trained by persistent Langevin chains.

Du & Mordatch 2019, arXiv:1903.08689. Samples are the ends of chains that begin in a replay buffer, some anew; the
energy step is E(x+) - E(x-) + gamma (E(x+)^2 + E(x-)^2). This is the MCMC that DxMI does without.

Deviations: points are on the unit sphere, where chains begin anew uniformly; the length of a noise step is given as an
angle; a multi-layer perceptron without spectral norm in place of a ResNet with it; sizes and rates are for a few
thousand vectors.
"""

import math
from typing import Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from dxbench.api import Compute, Config, FiniteData, Method, Model, Need, Problem, RandomStreams, Training
from dxmi.arrays import Points
from dxmi.energies.feature_energy import FeatureEnergy
from dxmi.energies.langevin import Langevin, ReplayBuffer, clipped
from dxmi.geometry.features import FeatureKind, fit_features
from dxmi.geometry.spaces import UnitSphere
from dxmi.geometry.sphere import project
from dxmi.losses import energy_loss
from dxmi.nets.mlp import StepMLP, Unconditional
from dxmi.training.optimisers import Learner


class IGEBMConfig(Config):
    """Settings of contrastive divergence on feature vectors."""

    features: FeatureKind = "whitened"
    neighbours: PositiveInt = 5
    hidden: PositiveInt = 256
    depth: PositiveInt = 2
    iterations: PositiveInt = 500
    batch_size: PositiveInt = 64
    mcmc_steps: PositiveInt = 60
    step_size: PositiveFloat = 10.0
    angle: NonNegativeFloat = Field(default=0.05, description="typical length of the noise of a step")
    max_gradient: PositiveFloat = Field(default=0.01, description="longer gradients of a chain are clipped to it")
    buffer: PositiveInt = 10_000
    restart: float = Field(default=0.05, ge=0, le=1, description="share of chains that begin anew")
    gamma: NonNegativeFloat = 0.1
    lr: PositiveFloat = 1e-4
    ema_decay: float = 0.97


class IGEBM(Method):
    """A scalar energy net trained by persistent contrastive divergence."""

    name = "igebm"
    version = 1
    family = "energy-based"
    citation = "Du, Mordatch 2019, arXiv:1903.08689"
    Config = IGEBMConfig
    recipes = ".recipes.igebm"
    needs = frozenset({Need.TRAINING_DATA, Need.FINITE_DATA})

    def start(self, problem: Problem, config: IGEBMConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return IGEBMTraining(problem, config, compute, rng)


class IGEBMTraining(Training):
    """One energy step per batch of chains."""

    def __init__(self, problem: Problem, config: IGEBMConfig, compute: Compute, rng: RandomStreams) -> None:
        assert isinstance(problem.data, FiniteData)
        self.config, self.device = config, compute.device
        points = problem.data.points.flatten(1)
        self.features = fit_features(config.features, points, neighbours=config.neighbours).to(self.device)
        self.points = self.features(points.to(self.device))
        dim = self.points.shape[1]
        net = StepMLP(
            dim_in=dim,
            dim_out=1,
            num_levels=1,
            hidden=config.hidden,
            depth=config.depth,
            generator=rng.torch("init"),
        )
        self.net = Unconditional(net).to(self.device)
        self.learner = Learner(
            self.net, lr=config.lr, iterations=config.iterations, ema_decay=config.ema_decay, betas=(0.0, 0.999)
        )
        self.buffer = ReplayBuffer(config.buffer, (dim,)).to(self.device)
        space = UnitSphere()
        self.chain = Langevin(
            step_size=config.step_size,
            stds=(config.angle / math.sqrt(space.degrees_of_freedom(dim)),) * config.mcmc_steps,
            space=space,
            rule=clipped(config.max_gradient),
        )
        self.rng = rng.numpy("data")
        self.generator = rng.torch("noise", device=self.device)

    @property
    def total_steps(self) -> int:
        return self.config.iterations

    def step(self) -> dict[str, float | Tensor]:
        rows = torch.from_numpy(self.rng.integers(len(self.points), size=self.config.batch_size))
        data = self.points[rows.to(self.device)]
        samples = self.samples()
        positive, negative = self.net(torch.cat([data, samples])).squeeze(1).chunk(2)
        self.learner.descend(energy_loss(positive, negative, gamma=self.config.gamma).mean())
        return {
            "energy_data": positive.detach().mean(),
            "energy_samples": negative.detach().mean(),
            "energy_gap": (negative - positive).detach().mean(),
        }

    def samples(self) -> Points:
        """Ends of chains from the buffer, some of them begun anew."""
        shape = (self.config.batch_size, self.points.shape[1])
        fresh = project(torch.randn(shape, generator=self.generator, device=self.device))
        start = self.buffer.mix(fresh, reuse=1 - self.config.restart, generator=self.generator)
        ends = self.chain(lambda x: self.net(x).squeeze(1), start, generator=self.generator)
        self.buffer.push(ends)
        return ends

    def state_dict(self) -> dict[str, Any]:
        return {"learner": self.learner.state_dict(), "buffer": self.buffer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.learner.load_state_dict(state["learner"])
        self.buffer.load_state_dict(state["buffer"])

    def model(self) -> Model:
        energy = FeatureEnergy(self.features, self.learner.average)
        return Model(networks=energy.networks, energy=energy.energy, temperature=1.0)
