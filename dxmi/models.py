"""Policies and values as models to draw from and to score."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dxmi.arrays import PerSample, Points, SampleSeeds
from dxmi.nets.mlp import StepMLP
from dxmi.noise import Noise, SeededNoise, SilencedNoise
from dxmi.policies import GaussianPolicy
from dxmi.rollout import Guidance, rollout, sample
from dxmi.values import ValueNet


class PolicyModel:
    """A policy as a model that samples: sample i has the noise of seed i alone.

    With `quiet_end` a sample is the mean of the last step, as in DDPM's Algorithm 2, for images whose last std is
    there for training only.

    Attributes:
        networks: what one sample evaluates.
    """

    def __init__(self, policy: GaussianPolicy, *, guidance: Guidance | None = None, quiet_end: bool = False) -> None:
        self.policy, self._guidance, self._quiet_end = policy, guidance, quiet_end
        self.num_steps = policy.num_steps
        self.networks: tuple[nn.Module, ...] = (policy.net,)

    def sample(self, seeds: SampleSeeds) -> Points:
        return sample(self.policy, self._noise(seeds), guidance=self._guidance)

    def chain(self, seeds: SampleSeeds) -> Float[Tensor, " steps b *event"]:
        """All states, noise first."""
        return rollout(self.policy, self._noise(seeds), guidance=self._guidance).states

    def _noise(self, seeds: SampleSeeds) -> Noise:
        device = next(self.policy.parameters()).device
        noise = SeededNoise(seeds=seeds.to(device), event_shape=self.policy.event_shape)
        return SilencedNoise(noise=noise, silent=self.num_steps) if self._quiet_end else noise


class EnergyPolicyModel(PolicyModel):
    """A sampler with the energy and the values that it was trained against."""

    quiet_end = False

    def __init__(
        self, policy: GaussianPolicy, value: ValueNet, *, temperature: float | None, guidance: Guidance | None
    ) -> None:
        super().__init__(policy, guidance=guidance, quiet_end=self.quiet_end)
        self._value = value
        self.temperature = temperature
        # Guidance evaluates the value nets while sampling, so their passes count as NFE too.
        if guidance is not None:
            self.networks += tuple(m for m in value.modules() if isinstance(m, StepMLP))

    def energy(self, x: Points) -> PerSample:
        return self._value.energy(x)

    def value(self, x: Points, k: int) -> PerSample:
        return self._value.value(x, torch.full((len(x),), k, dtype=torch.int64, device=x.device))


class FineTunedModel(EnergyPolicyModel):
    """With the sampler before DxMI beside it; on images, whose last noise is for training."""

    quiet_end = True

    def __init__(self, policy: GaussianPolicy, value: ValueNet, *, start: GaussianPolicy, **rest: Any) -> None:
        super().__init__(policy, value, **rest)
        self.start = PolicyModel(start, quiet_end=True)


class FeatureEnergy:
    """Fixed features, then a trained energy [b, D] to [b, 1]: the model of a detector."""

    def __init__(self, features: nn.Module, energy: nn.Module, *, temperature: float | None) -> None:
        self._features = features
        self.networks = (energy,)
        self.temperature = temperature

    def energy(self, x: Points) -> PerSample:
        return self.networks[0](self._features(x.flatten(1))).squeeze(1)
