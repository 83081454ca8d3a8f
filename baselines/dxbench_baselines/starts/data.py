"""Training data as a network sees them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from dxbench.api import DataSource, LabelledData, Problem


def refuse_classes(problem: Problem) -> None:
    """Refuse a task of given classes, for a method whose energy knows none.

    Raises:
        ValueError: if the problem has classes.
    """
    if problem.num_classes is not None:
        raise ValueError(
            f"the energy knows no classes and {problem.task} draws samples of {problem.num_classes}; take a task "
            "without classes"
        )


@dataclass(frozen=True)
class HorizontalFlips:
    """Images [C, H, W] of a source, each mirrored left to right with probability 1/2."""

    source: DataSource

    def batch(self, n: int, *, rng: np.random.Generator) -> Tensor:
        return _flipped(self.source.batch(n, rng=rng), rng)

    def labelled_batch(self, n: int, *, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        assert isinstance(self.source, LabelledData)
        images, labels = self.source.labelled_batch(n, rng=rng)
        return _flipped(images, rng), labels


def _flipped(images: Tensor, rng: np.random.Generator) -> Tensor:
    chosen = torch.from_numpy(rng.random(len(images)) < 0.5).reshape(-1, 1, 1, 1)
    return torch.where(chosen, images.flip(-1), images)


@dataclass(frozen=True, kw_only=True)
class NetworkData:
    """Data as a network sees them.

    Attributes:
        source: in the units of the problem.
        scale: factor that the data are multiplied by for the network.
        num_classes: number of classes that the network is conditioned on; None without classes.
    """

    source: DataSource
    device: str
    scale: float = 1.0
    num_classes: int | None = None

    def batch(self, n: int, *, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Scaled points [n, *event] on the device, and their classes [n] where it is conditioned on them."""
        if self.num_classes is None:
            return (self.scale * self.source.batch(n, rng=rng).to(self.device),)
        assert isinstance(self.source, LabelledData)
        points, labels = self.source.labelled_batch(n, rng=rng)
        return self.scale * points.to(self.device), labels.to(self.device)

    def classes(self, n: int, *, generator: Generator) -> tuple[Tensor, ...]:
        """Classes [n], each as likely as another, where the network is conditioned on them."""
        if self.num_classes is None:
            return ()
        return (torch.randint(self.num_classes, (n,), generator=generator, device=self.device),)
