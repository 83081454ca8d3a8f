"""An energy in two stages: an autoencoder pretrained by its error, then sharpened against samples."""

import copy
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn

from dxbench.api import Compute, Config, FiniteData, Model, Problem, RandomStreams, Training
from dxbench_baselines.starts.stages import Stateful
from dxmi.arrays import Points
from dxmi.energies.autoencoder import SphereAutoencoder
from dxmi.energies.feature_energy import FeatureEnergy
from dxmi.geometry.features import FeatureKind, fit_features
from dxmi.training.optimisers import Learner


class TwoStageConfig(Config):
    """Settings of a method on feature vectors that trains in two stages."""

    features: FeatureKind = "whitened"
    neighbours: PositiveInt = 5
    latent: PositiveInt = 64
    hidden: PositiveInt = 256
    depth: PositiveInt = 2
    energy_scale: PositiveFloat = 10.0
    pretrain_iterations: PositiveInt = 800
    pretrain_lr: PositiveFloat = 1e-3
    iterations: PositiveInt = 100
    batch_size: PositiveInt = 64
    energy_lr: PositiveFloat = 1e-4
    ema_decay: float = 0.97


class TwoStageEnergy:
    """Data on the sphere, the autoencoder that is trained on them, and where its training stands.

    Attributes:
        net: the energy, under training.
        frozen: its copy at the end of pretraining.
        dim: of the points it sees, features included.
        steps_done: of both stages.
    """

    def __init__(
        self, points: Points, settings: TwoStageConfig, *, init: Generator, data: np.random.Generator, device: str
    ) -> None:
        self._settings, self._rng, self.device = settings, data, device
        self.features = fit_features(settings.features, points, neighbours=settings.neighbours).to(device)
        self._points = self.features(points.to(device))
        self.dim = self._points.shape[1]
        self.net = SphereAutoencoder(
            dim=self.dim,
            latent=settings.latent,
            hidden=settings.hidden,
            depth=settings.depth,
            scale=settings.energy_scale,
            generator=init,
        ).to(device)
        self.frozen = copy.deepcopy(self.net).requires_grad_(False)
        self._first = Learner(self.net, lr=settings.pretrain_lr, iterations=settings.pretrain_iterations, ema_decay=0.0)
        self._second = Learner(
            self.net, lr=settings.energy_lr, iterations=settings.iterations, ema_decay=settings.ema_decay
        )
        self.steps_done = 0

    @property
    def total_steps(self) -> int:
        return self._settings.pretrain_iterations + self._settings.iterations

    def batch(self) -> Points:
        """Training points of the next step."""
        rows = torch.from_numpy(self._rng.integers(len(self._points), size=self._settings.batch_size))
        return self._points[rows.to(self.device)]

    def pretrain(self) -> Tensor | None:
        """A step of the first stage and its reconstruction error, or None once that stage is over."""
        if self.steps_done >= self._settings.pretrain_iterations:
            return None
        # The optimiser does not see the scale of the energy, only its learning rate does: errors, not energies.
        loss = self._first.descend(self.net(self.batch()).mean() / self._settings.energy_scale)
        self.steps_done += 1
        if self.steps_done == self._settings.pretrain_iterations:
            self.frozen.load_state_dict(self.net.state_dict())
            self._second.begin_from(self.net.state_dict())
        return loss

    def descend(self, loss: Tensor) -> Tensor:
        """A step of the second stage."""
        self.steps_done += 1
        return self._second.descend(loss)

    def scored(self) -> FeatureEnergy:
        """The energy of points, with averaged weights."""
        pretraining = self.steps_done < self._settings.pretrain_iterations
        return FeatureEnergy(self.features, self.net if pretraining else self._second.average)

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()} | {"steps_done": self.steps_done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.steps_done = state["steps_done"]

    def _parts(self) -> dict[str, nn.Module | Learner]:
        return {"frozen": self.frozen, "first": self._first, "second": self._second}


C = TypeVar("C", bound=TwoStageConfig)


class TwoStageTraining(Training, Generic[C]):
    """The autoencoder first, then its energy against samples that a method draws; all state is in named parts.

    Attributes:
        generator: stream of the method's own noise.
        temperature: of the model.
    """

    temperature = 1.0

    def __init__(self, problem: Problem, config: C, compute: Compute, rng: RandomStreams) -> None:
        assert isinstance(problem.data, FiniteData)
        self.config, self.device = config, compute.device
        self.energy = TwoStageEnergy(
            problem.data.points.flatten(1),
            config,
            init=rng.torch("init energy"),
            data=rng.numpy("data"),
            device=compute.device,
        )
        self.generator = rng.torch("noise", device=compute.device)

    @abstractmethod
    def sharpen(self, data: Points) -> dict[str, float | Tensor]:
        """One iteration of the second stage on a batch; returns scalars to log."""

    def contrast(
        self, data: Points, samples: Points, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> dict[str, float | Tensor]:
        """A step of the energy against a loss of the energies of data and of samples; their means."""
        positive, negative = self.energy.net(torch.cat([data, samples])).squeeze(1).chunk(2)
        self.energy.descend(loss(positive, negative))
        return {
            "energy_data": positive.detach().mean(),
            "energy_samples": negative.detach().mean(),
            "energy_gap": (negative - positive).detach().mean(),
        }

    def parts(self) -> dict[str, Stateful]:
        """Parts with a state, in the order that they are restored."""
        return {"energy": self.energy}

    @property
    def total_steps(self) -> int:
        return self.energy.total_steps

    def step(self) -> Mapping[str, float | Tensor]:
        if (reconstruction := self.energy.pretrain()) is not None:
            return {"reconstruction": reconstruction}
        return self.sharpen(self.energy.batch())

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self.parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self.parts().items():
            part.load_state_dict(state[name])

    def model(self) -> Model:
        energy = self.energy.scored()
        return Model(networks=energy.networks, energy=energy.energy, temperature=self.temperature)


K = TypeVar("K", bound=TwoStageConfig)
PATCHES = {"features": "sphere", "latent": 128, "hidden": 1024, "depth": 3, "pretrain_lr": 1e-4, "batch_size": 784}
"""DxMI's autoencoder (App. C.3) for the 711,284 patches of MVTec-AD, of which one epoch is 907 iterations."""


def two_stage_recipes(
    kind: type[K], *, patches: Mapping[str, Any], patches_separate: Mapping[str, Any]
) -> dict[tuple[str, str], Callable[[], K]]:
    """Recipes of an energy in two stages.

    Vectors are standardised rows and small images, whose length counts; pooled features are a few thousand, from the
    autoencoder of `dxmi_detection`, as are screws; separate ones a few hundred, fifteen times. `quick` shows that
    everything works.

    Args:
        patches: beside `PATCHES`, rates and lengths of the method's source.
        patches_separate: what differs for the patches of one category, in the same epochs.
    """
    return {
        ("any", "quick"): partial(kind, pretrain_iterations=100, iterations=20),
        ("vectors", "default"): partial(
            kind, features="lifted", hidden=128, latent=16, pretrain_iterations=400, iterations=50
        ),
        ("vectors/mvtec_pooled", "default"): partial(
            kind, features="mahalanobis", hidden=1024, depth=1, pretrain_iterations=1600
        ),
        ("vectors/mvtec_separate", "default"): partial(kind, pretrain_iterations=400, iterations=50),
        ("patches/screw", "default"): partial(kind, features="sphere", hidden=1024, depth=1, pretrain_iterations=1600),
        ("patches/mvtec_ad", "default"): partial(kind, **{**PATCHES, **patches}),
        ("mvtec_ad_separate", "default"): partial(kind, **{**PATCHES, **patches, **patches_separate}),
    }
