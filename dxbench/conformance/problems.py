"""A problem of any event shape, for methods that are not bound to one task."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dxbench.api import Problem


@dataclass(frozen=True, kw_only=True)
class TwoBlobs:
    """Training data: two Gaussians of std 0.3 around +1 and -1 in every coordinate."""

    event_shape: tuple[int, ...]
    std: float = 0.3

    def batch(self, n: int, *, rng: np.random.Generator) -> Tensor:
        signs = rng.choice([-1.0, 1.0], size=(n, *[1] * len(self.event_shape)))
        points = signs + self.std * rng.standard_normal((n, *self.event_shape))
        return torch.from_numpy(points).float()


def synthetic_problem(event_shape: tuple[int, ...]) -> Problem:
    """Data of shape [n, *event_shape], without files and without a truth to be shown."""
    data = TwoBlobs(event_shape=event_shape)
    return Problem(task="synthetic", event_shape=event_shape, data=data, data_std=float(np.hypot(1.0, data.std)))
