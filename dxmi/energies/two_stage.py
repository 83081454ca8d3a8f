"""An energy in two stages: an autoencoder pretrained by its error, then sharpened against samples."""

import copy
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Generator, Tensor, nn

from dxmi.arrays import Points
from dxmi.energies.autoencoder import SphereAutoencoder
from dxmi.energies.feature_energy import FeatureEnergy
from dxmi.geometry.features import FeatureKind, fit_features
from dxmi.training.optimisers import Learner


@runtime_checkable
class TwoStageSettings(Protocol):
    """What a method that trains in two stages lets a user set."""

    @property
    def features(self) -> FeatureKind: ...
    @property
    def neighbours(self) -> int: ...
    @property
    def latent(self) -> int: ...
    @property
    def hidden(self) -> int: ...
    @property
    def depth(self) -> int: ...
    @property
    def energy_scale(self) -> float: ...
    @property
    def pretrain_iterations(self) -> int: ...
    @property
    def pretrain_lr(self) -> float: ...
    @property
    def iterations(self) -> int: ...
    @property
    def energy_lr(self) -> float: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def ema_decay(self) -> float: ...


class TwoStageEnergy:
    """Data on the sphere, the autoencoder that is trained on them, and where its training stands.

    Attributes:
        net: the energy, under training.
        frozen: its copy at the end of pretraining.
        dim: of the points it sees, features included.
        steps_done: of both stages.
    """

    def __init__(
        self, points: Points, settings: TwoStageSettings, *, init: Generator, data: np.random.Generator, device: str
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
