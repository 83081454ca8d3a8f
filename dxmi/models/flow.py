"""A field on the straight path with the steps along it."""

from dataclasses import dataclass

import torch
from torch import nn

from dxmi.arrays import ClassLabels, Points, SampleSeeds, States
from dxmi.sampling.flows import FlowSteps
from dxmi.sampling.noise import SeededNoise


@dataclass(frozen=True, kw_only=True, eq=False)
class FlowSampler:
    """Steps from noise to data along a field; sample i has the noise of seed i alone.

    Attributes:
        field: conditioned on class labels where there are any.
        scale: by which the data were multiplied for the field; samples are divided by it.
    """

    field: nn.Module
    steps: FlowSteps
    event_shape: tuple[int, ...]
    scale: float = 1.0

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The network that one sample evaluates."""
        return (self.field,)

    def sample(self, seeds: SampleSeeds, labels: ClassLabels | None = None) -> Points:
        """Samples of seeds, and of class labels where the field is conditioned on them."""
        return self.trajectory(seeds, labels)[-1]

    def trajectory(self, seeds: SampleSeeds, labels: ClassLabels | None = None) -> States:
        """All states from noise on, [K + 1, b, *event]; the last are the samples."""
        device = next(self.field.parameters()).device
        start = SeededNoise(seeds=seeds.to(device), event_shape=self.event_shape).normal(0)
        given = () if labels is None else (labels.to(device),)
        with torch.no_grad():
            states = self.steps.states(lambda x, *times: self.field(x, *times, *given), start)
            return torch.stack(list(states)) / self.scale
