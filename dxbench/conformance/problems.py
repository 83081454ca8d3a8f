"""A problem of any event shape, for methods that are not bound to one task."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dxbench.api import Problem


@dataclass(frozen=True, kw_only=True)
class TwoBlobs:
    """Training data: two Gaussians of std 0.3 around -1 and +1 in every coordinate, classes 0 and 1."""

    event_shape: tuple[int, ...]
    std: float = 0.3

    def batch(self, n: int, *, rng: np.random.Generator) -> Tensor:
        return self.labelled_batch(n, rng=rng)[0]

    def labelled_batch(self, n: int, *, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        signs = rng.choice([-1.0, 1.0], size=(n, *[1] * len(self.event_shape)))
        points = signs + self.std * rng.standard_normal((n, *self.event_shape))
        return torch.from_numpy(points).float(), torch.from_numpy(signs.reshape(n) > 0).long()


def synthetic_problem(event_shape: tuple[int, ...], *, classes: bool = False) -> Problem:
    """Data of shape [n, *event_shape], without files and without a truth to be shown; of two classes if asked for."""
    data = TwoBlobs(event_shape=event_shape)
    return Problem(
        task="synthetic",
        event_shape=event_shape,
        data=data,
        data_std=float(np.hypot(1.0, data.std)),
        num_classes=2 if classes else None,
    )
