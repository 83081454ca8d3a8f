"""The straight path between data and noise, and steps along it.

x_t = (1 - t) data + t z lies at the data for t = 0 and at the noise z for t = 1, and moves with dx/dt = z - data. Flow
matching (Lipman et al. 2023, arXiv:2210.02747; Tong et al. 2024, arXiv:2302.00482), rectified flow (Liu et al. 2023,
arXiv:2209.03003) and alpha-deblending (Heitz et al. 2023, arXiv:2305.03486) take this path; their clocks may run from
noise to data, which is 1 - t here, and changes the sign of the velocity.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from pydantic import PositiveInt

from dxmi.arrays import PerSample, Points, per_sample


def straight_path(data: Points, z: Points, t: PerSample) -> tuple[Points, Points]:
    """x_t and dx/dt of the path between each pair."""
    share = per_sample(t, data)
    return (1 - share) * data + share * z, z - data


@dataclass(frozen=True, kw_only=True)
class FlowSteps(ABC):
    """A way from noise to data in equal steps of t, from 1 to 0, along a field that a network gives.

    Attributes:
        passes: of the network, in a step.
    """

    passes: ClassVar[int] = 1

    num_steps: PositiveInt

    @abstractmethod
    def step(self, field: Callable[..., Points], x: Points, t: PerSample, after: PerSample) -> Points:
        """x at time `after`, from x at t; both [b]."""

    def states(self, field: Callable[..., Points], start: Points) -> Iterator[Points]:
        """x at every time, from the noise on; the last are the samples."""
        x = start
        yield x
        for t, after in pairwise(torch.linspace(1, 0, self.num_steps + 1, dtype=torch.float64).tolist()):
            x = self.step(field, x, x.new_full((len(x),), t), x.new_full((len(x),), after))
            yield x

    @property
    def nfe(self) -> int:
        """Passes that one sample takes."""
        return self.passes * self.num_steps


@dataclass(frozen=True, kw_only=True)
class EulerFlow(FlowSteps):
    """Steps along the velocity where they begin, order 1: v(x, t)."""

    def step(self, field: Callable[..., Points], x: Points, t: PerSample, after: PerSample) -> Points:
        return x + per_sample(after - t, x) * field(x, t)


@dataclass(frozen=True, kw_only=True)
class HeunFlow(FlowSteps):
    """Steps along the mean of the velocities at both ends, order 2; also at the data, where a velocity exists."""

    passes = 2

    def step(self, field: Callable[..., Points], x: Points, t: PerSample, after: PerSample) -> Points:
        length = per_sample(after - t, x)
        first = field(x, t)
        return x + length * (first + field(x + length * first, after)) / 2


@dataclass(frozen=True, kw_only=True)
class MeanSteps(FlowSteps):
    """Steps along the average velocity from where they begin to where they end: u(x, t, r), exact for any length."""

    def step(self, field: Callable[..., Points], x: Points, t: PerSample, after: PerSample) -> Points:
        return x + per_sample(after - t, x) * field(x, t, after)
