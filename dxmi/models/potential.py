"""An energy that is its own sampler: points go down its gradient."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from dxmi.arrays import PerSample, Points, SampleSeeds, States
from dxmi.energies.gradients import gradient_of
from dxmi.sampling.descent import Descent
from dxmi.sampling.noise import SeededNoise


@dataclass(frozen=True, kw_only=True, eq=False)
class PotentialSampler:
    """A net V(x), [b, 1], and a way down; sample i has the noise of seed i alone.

    Attributes:
        start_std: of the noise that samples begin as, in units of the data.
    """

    net: nn.Module
    descent: Descent
    event_shape: tuple[int, ...]
    start_std: float = 1.0

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The network that energy and samples evaluate."""
        return (self.net,)

    def energy(self, x: Points) -> PerSample:
        """V(x), [b]."""
        return self.net(x).squeeze(1)

    def sample(self, seeds: SampleSeeds) -> Points:
        """Samples of seeds."""
        return deque(self._states(seeds), maxlen=1).pop()

    def trajectory(self, seeds: SampleSeeds) -> States:
        """All states from noise on, [K + 1, b, *event]; the last are the samples."""
        return torch.stack(list(self._states(seeds)))

    def _states(self, seeds: SampleSeeds) -> Iterator[Points]:
        device = next(self.net.parameters()).device
        noise = SeededNoise(seeds=seeds.to(device), event_shape=self.event_shape)
        return self.descent.states(lambda x: gradient_of(self.energy, x), self.start_std * noise.normal(0), noise)
