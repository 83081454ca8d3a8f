"""A denoiser with the way in which it is sampled."""

from dataclasses import dataclass

import torch
from torch import nn

from dxmi.arrays import ClassLabels, Points, SampleSeeds, States
from dxmi.protocols import Denoiser
from dxmi.sampling.denoisers import conditioned
from dxmi.sampling.noise import SeededNoise
from dxmi.sampling.samplers import Sampler
from dxmi.schedules.levels import NoiseLevels


@dataclass(frozen=True, kw_only=True, eq=False)
class DenoiserSampler:
    """D(x, sigma) along noise levels; sample i has the noise of seed i alone.

    Attributes:
        denoiser: conditioned on class labels where there are any.
        scale: by which the data were multiplied for the denoiser; samples are divided by it.
    """

    denoiser: nn.Module
    sampler: Sampler
    levels: NoiseLevels
    event_shape: tuple[int, ...]
    scale: float = 1.0

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The network that one sample evaluates."""
        return (self.denoiser,)

    def sample(self, seeds: SampleSeeds, labels: ClassLabels | None = None) -> Points:
        """Samples of seeds, and of class labels where the denoiser is conditioned on them."""
        with torch.no_grad():
            return self.sampler(*self._begun(seeds, labels)) / self.scale

    def trajectory(self, seeds: SampleSeeds, labels: ClassLabels | None = None) -> States:
        """All states from noise on, [K + 1, b, *event]; the last are the samples."""
        with torch.no_grad():
            return torch.stack(list(self.sampler.states(*self._begun(seeds, labels)))) / self.scale

    def _begun(self, seeds: SampleSeeds, labels: ClassLabels | None) -> tuple[Denoiser, NoiseLevels, SeededNoise]:
        device = next(self.denoiser.parameters()).device
        noise = SeededNoise(seeds=seeds.to(device), event_shape=self.event_shape)
        denoiser = conditioned(self.denoiser, *(() if labels is None else (labels.to(device),)))
        return denoiser, self.levels, noise
