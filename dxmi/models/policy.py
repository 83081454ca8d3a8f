"""A policy with the way in which it is sampled."""

from dataclasses import dataclass

import torch
from torch import nn

from dxmi.arrays import ClassLabels, Points, SampleSeeds, States
from dxmi.energies.gradients import gradient_of
from dxmi.protocols import GuidingValue
from dxmi.sampling.noise import Noise, SeededNoise, SilencedNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.rollouts import rollout, sample


@dataclass(frozen=True, kw_only=True, eq=False)
class ValueGuidance:
    """x_{k+1} <- x_{k+1} - strength std_k grad V_{k+1}(x_{k+1}) (DxMI section 5.2).

    The sign is the paper's, downhill in the value; the released code climbs it for a positive scale.
    """

    value: GuidingValue
    strength: float

    def __call__(self, x: Points, step: int, std: float) -> Points:
        k = x.new_full((len(x),), step + 1, dtype=torch.int64)
        gradient = gradient_of(lambda x: self.value.value(x, k), x)
        return x.detach() - self.strength * std * gradient


@dataclass(frozen=True, kw_only=True, eq=False)
class PolicySampler:
    """Ancestral sampling of a policy; sample i has the noise of seed i alone.

    Attributes:
        policy: conditioned on class labels where there are any.
        guidance: of every step by a value, whose passes count.
        noiseless_last_step: a sample is the mean of the last step, as in DDPM's Algorithm 2, for images whose last std
            is there for training only.
        scale: by which the data were multiplied for the policy; states are divided by it.
        beside: networks that the policy evaluates besides its own.
    """

    policy: GaussianPolicy
    guidance: ValueGuidance | None = None
    noiseless_last_step: bool = False
    scale: float = 1.0
    beside: tuple[nn.Module, ...] = ()

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The networks that one sample evaluates."""
        return (self.policy.net, *self.beside, *(() if self.guidance is None else self.guidance.value.networks))

    def sample(self, seeds: SampleSeeds, labels: ClassLabels | None = None) -> Points:
        """Samples of seeds, and of class labels where the policy is conditioned on them."""
        labels = self._here(labels)
        return sample(self.policy, self._noise(seeds), labels=labels, guidance=self.guidance) / self.scale

    def trajectory(self, seeds: SampleSeeds, labels: ClassLabels | None = None) -> States:
        """All states, noise first."""
        labels = self._here(labels)
        return rollout(self.policy, self._noise(seeds), labels=labels, guidance=self.guidance).states / self.scale

    @property
    def _device(self) -> torch.device:
        return next(self.policy.parameters()).device

    def _here(self, labels: ClassLabels | None) -> ClassLabels | None:
        return None if labels is None else labels.to(self._device)

    def _noise(self, seeds: SampleSeeds) -> Noise:
        noise = SeededNoise(seeds=seeds.to(self._device), event_shape=self.policy.noise_shape)
        return SilencedNoise(noise=noise, silent=self.policy.num_steps) if self.noiseless_last_step else noise
