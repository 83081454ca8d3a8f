"""Denoisers with the way they are sampled, as models to draw from."""

from dataclasses import dataclass

import torch
from torch import nn

from dxmi.arrays import ClassLabels, Points, SampleSeeds
from dxmi.backbones.starts import NetworkData
from dxmi.sampling.denoisers import told
from dxmi.sampling.noise import SeededNoise
from dxmi.sampling.samplers import Sampler
from dxmi.schedules.levels import NoiseLevels


@dataclass(frozen=True, kw_only=True)
class _Sampling:
    """A denoiser with the way it is sampled; samples are in units of the data before they were scaled.

    Attributes:
        networks: what is evaluated and counted.
        scale: by which the data was multiplied for the denoiser.
    """

    denoiser: nn.Module
    sampler: Sampler
    levels: NoiseLevels
    event_shape: tuple[int, ...]
    scale: float

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return (self.denoiser,)

    def _sample(self, seeds: SampleSeeds, *labels: ClassLabels) -> Points:
        device = next(self.denoiser.parameters()).device
        noise = SeededNoise(seeds=seeds.to(device), event_shape=self.event_shape)
        denoiser = told(self.denoiser, *(classes.to(device) for classes in labels))
        with torch.no_grad():
            return self.sampler(denoiser, self.levels, noise) / self.scale


class DenoiserSampling(_Sampling):
    """A denoiser as a model that samples."""

    def sample(self, seeds: SampleSeeds) -> Points:
        return self._sample(seeds)


@dataclass(frozen=True, kw_only=True)
class ClassDenoiserSampling(_Sampling):
    """A denoiser as a model that samples of a class."""

    num_classes: int

    def sample_classes(self, seeds: SampleSeeds, labels: ClassLabels) -> Points:
        return self._sample(seeds, labels)


def denoiser_sampling(
    denoiser: nn.Module,
    sampler: Sampler,
    levels: NoiseLevels,
    *,
    event_shape: tuple[int, ...],
    data: NetworkData,
) -> DenoiserSampling | ClassDenoiserSampling:
    """The model of a denoiser of such data: one that is told classes, or one that is not."""
    if data.num_classes is None:
        return DenoiserSampling(
            denoiser=denoiser, sampler=sampler, levels=levels, event_shape=event_shape, scale=data.scale
        )
    return ClassDenoiserSampling(
        denoiser=denoiser,
        sampler=sampler,
        levels=levels,
        event_shape=event_shape,
        scale=data.scale,
        num_classes=data.num_classes,
    )
