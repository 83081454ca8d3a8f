"""Protocols of the trainable parts that update rules and samplers ask for."""

from typing import Protocol, runtime_checkable

from torch import nn

from dxmi.arrays import ClassLabels, PerSample, Points, StepIndex


@runtime_checkable
class Energy(Protocol):
    """E(x): low = likely, p proportional to exp(-E / temperature)."""

    def energy(self, x: Points) -> PerSample: ...


@runtime_checkable
class Value(Energy, Protocol):
    """V_k(x): expected cost-to-go from x at step k, minimised; V_K = E."""

    def value(self, x: Points, k: StepIndex) -> PerSample: ...


@runtime_checkable
class GuidingValue(Value, Protocol):
    """A value that says which networks it evaluates, so that sampling guided by it counts them."""

    @property
    def networks(self) -> tuple[nn.Module, ...]: ...


@runtime_checkable
class NoisePredictor(Protocol):
    """epsilon(x, k): predicted noise of a noised point (Ho et al. 2020, arXiv:2006.11239)."""

    def __call__(self, x: Points, k: StepIndex) -> Points: ...


@runtime_checkable
class Denoiser(Protocol):
    """D(x, sigma): mean of the data behind x = data + sigma eps (Karras et al. 2022, arXiv:2206.00364)."""

    def __call__(self, x: Points, sigma: PerSample) -> Points: ...


@runtime_checkable
class Velocity(Protocol):
    """v(x, t): mean of dx/dt at x on the straight path from noise, t = 1, to data, t = 0; by class, or by none."""

    def __call__(self, x: Points, t: PerSample, *labels: ClassLabels) -> Points: ...


@runtime_checkable
class AverageVelocity(Protocol):
    """u(x, t, r): mean of dx/dt along the flow from x at time t down to r <= t; by class, or by none."""

    def __call__(self, x: Points, t: PerSample, r: PerSample, *labels: ClassLabels) -> Points: ...


@runtime_checkable
class ClassDenoiser(Protocol):
    """A denoiser conditioned on the class labels of its rows, or on none."""

    def __call__(self, x: Points, sigma: PerSample, *labels: ClassLabels) -> Points: ...
