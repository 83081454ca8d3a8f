"""What a method begins from: a network that is trained or released, and the data as that network sees them."""

import copy
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Generator, Tensor, nn

from dxmi.arrays import ClassLabels, Points
from dxmi.training.denoising import DenoiserTraining


@runtime_checkable
class DataSource(Protocol):
    """Training data."""

    def batch(self, n: int, *, rng: np.random.Generator) -> Points: ...


@runtime_checkable
class LabelledData(DataSource, Protocol):
    """Training data with classes."""

    def labelled_batch(self, n: int, *, rng: np.random.Generator) -> tuple[Points, ClassLabels]: ...


@dataclass(frozen=True)
class Mirrored:
    """Images [c, h, w] of a source, each mirrored left to right with probability 1/2."""

    source: DataSource

    def batch(self, n: int, *, rng: np.random.Generator) -> Points:
        return _mirrored(self.source.batch(n, rng=rng), rng)

    def labelled_batch(self, n: int, *, rng: np.random.Generator) -> tuple[Points, ClassLabels]:
        assert isinstance(self.source, LabelledData)
        images, labels = self.source.labelled_batch(n, rng=rng)
        return _mirrored(images, rng), labels


def _mirrored(images: Points, rng: np.random.Generator) -> Points:
    chosen = torch.from_numpy(rng.random(len(images)) < 0.5).reshape(-1, 1, 1, 1)
    return torch.where(chosen, images.flip(-1), images)


class Official:
    """A backbone whose training others have done.

    Attributes:
        net: to be trained on.
        average: as it came.
    """

    iterations, finished = 0, True

    def __init__(self, net: nn.Module) -> None:
        self.net, self.average = net, copy.deepcopy(net)

    def step(self) -> Tensor:
        raise RuntimeError("nothing to train")

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert not state


@dataclass(frozen=True, kw_only=True)
class NetworkData:
    """Data as a network sees them.

    Attributes:
        source: in the units of the problem.
        scale: by which the data are multiplied for the network.
        num_classes: classes that the network is told; None where it is told none.
    """

    source: DataSource
    device: str
    scale: float = 1.0
    num_classes: int | None = None

    def batch(self, n: int, *, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Scaled points [n, *event] on the device, and behind them their classes [n] where the network is told them."""
        if self.num_classes is None:
            return (self.scale * self.source.batch(n, rng=rng).to(self.device),)
        assert isinstance(self.source, LabelledData)
        points, labels = self.source.labelled_batch(n, rng=rng)
        return self.scale * points.to(self.device), labels.to(self.device)

    def classes(self, n: int, *, generator: Generator) -> tuple[ClassLabels, ...]:
        """Classes [n], each as likely as another, where the network is told them."""
        if self.num_classes is None:
            return ()
        return (torch.randint(self.num_classes, (n,), generator=generator, device=self.device),)


@dataclass(frozen=True, kw_only=True)
class Start:
    """A backbone on its way, and the data as it sees them.

    Attributes:
        training: its `net` is to be trained on, its `average` is what the start is worth.
    """

    training: DenoiserTraining | Official
    data: NetworkData

    @property
    def net(self) -> nn.Module:
        return self.training.net

    @property
    def average(self) -> nn.Module:
        return self.training.average
