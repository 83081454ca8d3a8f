"""Policies and values as models to draw from and to score."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dxmi.arrays import ClassLabels, PerSample, Points, SampleSeeds
from dxmi.energies.values import ValueNet
from dxmi.sampling.noise import Noise, SeededNoise, SilencedNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.rollout import Guidance, rollout, sample, value_guidance

States = Float[Tensor, " steps b *event"]


class PolicyChains:
    """A policy whose sample i has the noise of seed i alone.

    States are divided by `scale`, by which the data was multiplied for the policy. With `quiet_end` a sample is the
    mean of the last step, as in DDPM's Algorithm 2, for images whose last std is there for training only.

    Attributes:
        networks: what one sample evaluates.
    """

    def __init__(
        self, policy: GaussianPolicy, *, guidance: Guidance | None = None, quiet_end: bool = False, scale: float = 1.0
    ) -> None:
        self.policy, self._guidance, self._quiet_end, self._scale = policy, guidance, quiet_end, scale
        self.num_steps = policy.num_steps
        self.networks: tuple[nn.Module, ...] = (policy.net,)

    def _sample(self, seeds: SampleSeeds, labels: ClassLabels | None) -> Points:
        return sample(self.policy, self._noise(seeds), labels=self._here(labels), guidance=self._guidance) / self._scale

    def _chain(self, seeds: SampleSeeds, labels: ClassLabels | None) -> States:
        """All states, noise first."""
        return (
            rollout(self.policy, self._noise(seeds), labels=self._here(labels), guidance=self._guidance).states
            / self._scale
        )

    @property
    def _device(self) -> torch.device:
        return next(self.policy.parameters()).device

    def _here(self, labels: ClassLabels | None) -> ClassLabels | None:
        return None if labels is None else labels.to(self._device)

    def _noise(self, seeds: SampleSeeds) -> Noise:
        noise = SeededNoise(seeds=seeds.to(self._device), event_shape=self.policy.noise_shape)
        return SilencedNoise(noise=noise, silent=self.num_steps) if self._quiet_end else noise


class PolicyModel(PolicyChains):
    """A policy as a model that samples."""

    def sample(self, seeds: SampleSeeds) -> Points:
        return self._sample(seeds, None)

    def chain(self, seeds: SampleSeeds) -> States:
        return self._chain(seeds, None)


class TunedPolicyModel(PolicyModel):
    """With the policy that it was tuned from beside it, sampled in the same way."""

    def __init__(
        self, policy: GaussianPolicy, *, start: GaussianPolicy, quiet_end: bool = False, scale: float = 1.0
    ) -> None:
        super().__init__(policy, quiet_end=quiet_end, scale=scale)
        self.start = PolicyModel(start, quiet_end=quiet_end, scale=scale)


class ClassPolicyModel(PolicyChains):
    """A policy as a model that samples of a class."""

    def __init__(
        self, policy: GaussianPolicy, *, num_classes: int, guidance: Guidance | None = None, quiet_end: bool = False
    ) -> None:
        super().__init__(policy, guidance=guidance, quiet_end=quiet_end)
        self.num_classes = num_classes

    def sample_classes(self, seeds: SampleSeeds, labels: ClassLabels) -> Points:
        return self._sample(seeds, labels)

    def chain_classes(self, seeds: SampleSeeds, labels: ClassLabels) -> States:
        return self._chain(seeds, labels)


def policy_model(
    policy: GaussianPolicy, *, num_classes: int | None, guidance: Guidance | None = None, quiet_end: bool = False
) -> PolicyModel | ClassPolicyModel:
    """The model of a policy that is told classes, or of one that is not."""
    if num_classes is None:
        return PolicyModel(policy, guidance=guidance, quiet_end=quiet_end)
    return ClassPolicyModel(policy, num_classes=num_classes, guidance=guidance, quiet_end=quiet_end)


def guided_model(
    policy: GaussianPolicy, value: ValueNet, *, num_classes: int | None, strength: float
) -> PolicyModel | ClassPolicyModel:
    """`policy_model` with value guidance, whose passes count."""
    guidance = value_guidance(value, strength=strength)
    model = policy_model(policy, num_classes=num_classes, guidance=guidance)
    model.networks += _guiding(value, guidance)
    return model


class _Judged:
    """The energy and the values that a sampler was trained against."""

    def __init__(self, value: ValueNet, temperature: float | None) -> None:
        self._value, self.temperature = value, temperature

    def energy(self, x: Points) -> PerSample:
        return self._value.energy(x)

    def value(self, x: Points, k: int) -> PerSample:
        return self._value.value(x, torch.full((len(x),), k, dtype=torch.int64, device=x.device))


class EnergyPolicyModel(_Judged, PolicyModel):
    """A sampler with the energy and the values that it was trained against."""

    def __init__(
        self,
        policy: GaussianPolicy,
        value: ValueNet,
        *,
        temperature: float | None,
        guidance: Guidance | None,
        quiet_end: bool = False,
    ) -> None:
        PolicyModel.__init__(self, policy, guidance=guidance, quiet_end=quiet_end)
        _Judged.__init__(self, value, temperature)
        self.networks += _guiding(value, guidance)


class FineTunedModel(EnergyPolicyModel):
    """With the sampler before DxMI beside it."""

    def __init__(
        self,
        policy: GaussianPolicy,
        value: ValueNet,
        *,
        start: GaussianPolicy,
        temperature: float | None,
        guidance: Guidance | None,
        quiet_end: bool,
    ) -> None:
        super().__init__(policy, value, temperature=temperature, guidance=guidance, quiet_end=quiet_end)
        self.start = PolicyModel(start, quiet_end=quiet_end)


class ClassFineTunedModel(_Judged, ClassPolicyModel):
    """`FineTunedModel` of policies that are told classes; the energy is of all classes together."""

    def __init__(
        self,
        policy: GaussianPolicy,
        value: ValueNet,
        *,
        num_classes: int,
        start: GaussianPolicy,
        temperature: float | None,
        guidance: Guidance | None,
        quiet_end: bool,
    ) -> None:
        ClassPolicyModel.__init__(self, policy, num_classes=num_classes, guidance=guidance, quiet_end=quiet_end)
        _Judged.__init__(self, value, temperature)
        self.networks += _guiding(value, guidance)
        self.start = ClassPolicyModel(start, num_classes=num_classes, quiet_end=quiet_end)


DxMIModel = EnergyPolicyModel | FineTunedModel | ClassFineTunedModel


def dxmi_model(
    policy: GaussianPolicy,
    value: ValueNet,
    *,
    start: GaussianPolicy | None,
    num_classes: int | None,
    temperature: float | None,
    guidance: Guidance | None,
    quiet_end: bool,
) -> DxMIModel:
    """The model with what there is of a start and of classes; classes go with a start."""
    if start is None:
        assert num_classes is None
        return EnergyPolicyModel(policy, value, temperature=temperature, guidance=guidance, quiet_end=quiet_end)
    if num_classes is None:
        return FineTunedModel(
            policy, value, start=start, temperature=temperature, guidance=guidance, quiet_end=quiet_end
        )
    return ClassFineTunedModel(
        policy,
        value,
        num_classes=num_classes,
        start=start,
        temperature=temperature,
        guidance=guidance,
        quiet_end=quiet_end,
    )


def _guiding(value: ValueNet, guidance: Guidance | None) -> tuple[nn.Module, ...]:
    """Nets of the value that sampling evaluates, which count as NFE too."""
    return () if guidance is None else value.networks
