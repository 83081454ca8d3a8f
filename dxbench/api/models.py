"""The model that training leaves, and what it can do."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Model(Protocol):
    """What training leaves: networks, and any of `Sampler` (`ConditionalSampler` where the task has classes),
    `EnergyModel`, `ValueModel` beside it."""

    @property
    def networks(self) -> "Sequence[torch.nn.Module]":
        """The networks that sampling or scoring evaluates; the harness counts their forward passes."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """A model that draws samples."""

    def sample(self, seeds: "Tensor") -> "Tensor":
        """int64 seeds [b] to samples [b, *event] on any device. Sample i depends on seeds[i] alone."""
        ...


@runtime_checkable
class ConditionalSampler(Protocol):
    """A model that draws samples of a class."""

    @property
    def num_classes(self) -> int: ...

    def sample_classes(self, seeds: "Tensor", labels: "Tensor") -> "Tensor":
        """int64 seeds [b] and classes [b], 0 .. num_classes - 1, to samples [b, *event] on any device.

        Sample i depends on seeds[i] and labels[i] alone.
        """
        ...


@runtime_checkable
class EnergyModel(Protocol):
    """A model with an energy."""

    @property
    def temperature(self) -> float | None: ...

    def energy(self, x: "Tensor") -> "Tensor":
        """[b, *event] to [b]; low = likely, p proportional to exp(-E / temperature)."""
        ...


@runtime_checkable
class MapModel(Protocol):
    """A model whose energy of a patch depends on where the patch lies, or on the other patches of its image."""

    def energy_map(self, grids: "Tensor") -> "Tensor":
        """Images as grids of patches [b, h, w, d] to energies [b, h, w]; larger is more anomalous."""
        ...


@runtime_checkable
class PartwiseModel(Protocol):
    """The models of a `ProblemSet`, each by the name of its problem."""

    @property
    def parts(self) -> Mapping[str, Model]: ...


@runtime_checkable
class ValueModel(Protocol):
    """A model with a value function per sampling step, drawn in reports."""

    @property
    def num_steps(self) -> int: ...

    def value(self, x: "Tensor", k: int) -> "Tensor":
        """V_k of [b, *event] points as [b]; k = num_steps is the energy."""
        ...


@runtime_checkable
class ChainModel(Protocol):
    """A model that shows how a sample comes about, drawn in reports."""

    def chain(self, seeds: "Tensor") -> "Tensor":
        """States from noise to samples, [K + 1, b, *event]; the last is `sample(seeds)`."""
        ...


@runtime_checkable
class ConditionalChainModel(Protocol):
    """`ChainModel` of a model that draws samples of a class."""

    def chain_classes(self, seeds: "Tensor", labels: "Tensor") -> "Tensor":
        """States from noise to samples, [K + 1, b, *event]; the last is `sample_classes(seeds, labels)`."""
        ...


@runtime_checkable
class FineTunedModel(Protocol):
    """A model that was trained on from another, which tasks score by the same protocol."""

    @property
    def start(self) -> "Sampler | ConditionalSampler":
        """The model before."""
        ...
