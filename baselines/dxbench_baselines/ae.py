"""Autoencoder on the sphere: the reconstruction error as an energy.

The energy of DxMI's detection experiment before DxMI (arXiv:2407.00626, section 5.3 and App. C.3: features on the
unit sphere, decoder on it too), as a detector of its own. Deviations: sizes for sets of a few thousand vectors (there
711,284, 3 x 1024 hidden, latent 128); features are whitened locally before the sphere (`features=whitened`),
`features=sphere` is the paper's.
"""

from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from dxbench.api import Compute, Config, FiniteData, Method, Model, Need, Problem, RandomStreams, Training
from dxmi.energies.autoencoder import SphereAutoencoder
from dxmi.energies.feature_energy import FeatureEnergy
from dxmi.geometry.features import FeatureKind, fit_features
from dxmi.training.optimisers import Learner


class AEConfig(Config):
    """Settings of the autoencoder."""

    features: FeatureKind = "whitened"
    neighbours: PositiveInt = 5
    latent: PositiveInt = 64
    hidden: PositiveInt = 256
    depth: PositiveInt = 2
    iterations: PositiveInt = 1500
    batch_size: PositiveInt = 64
    lr: PositiveFloat = 1e-3


class AE(Method):
    """Reconstruction error of an autoencoder on the sphere."""

    name = "ae"
    version = 1
    family = "detector"
    citation = "Yoon et al. 2024, arXiv:2407.00626, App. C.3"
    Config = AEConfig
    recipes = ".recipes.ae"
    needs = frozenset({Need.TRAINING_DATA, Need.FINITE_DATA})

    def start(self, problem: Problem, config: AEConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return AETraining(problem, config, compute, rng)


class AETraining(Training):
    """Adam with cosine decay on the squared error."""

    def __init__(self, problem: Problem, config: AEConfig, compute: Compute, rng: RandomStreams) -> None:
        assert isinstance(problem.data, FiniteData)
        self.config, self.device = config, compute.device
        points = problem.data.points.flatten(1)
        self.features = fit_features(config.features, points, neighbours=config.neighbours).to(self.device)
        self.points = self.features(points.to(self.device))
        net = SphereAutoencoder(
            dim=self.points.shape[1],
            latent=config.latent,
            hidden=config.hidden,
            depth=config.depth,
            generator=rng.torch("init"),
        ).to(self.device)
        self.learner = Learner(net, lr=config.lr, iterations=config.iterations, ema_decay=0.0)
        self.rng = rng.numpy("data")

    @property
    def total_steps(self) -> int:
        return self.config.iterations

    def step(self) -> dict[str, float | Tensor]:
        rows = torch.from_numpy(self.rng.integers(len(self.points), size=self.config.batch_size))
        return {"reconstruction": self.learner.descend(self.learner.module(self.points[rows]).mean())}

    def state_dict(self) -> dict[str, Any]:
        return self.learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.learner.load_state_dict(state)

    def model(self) -> Model:
        energy = FeatureEnergy(self.features, self.learner.module)
        return Model(networks=energy.networks, energy=energy.energy)
