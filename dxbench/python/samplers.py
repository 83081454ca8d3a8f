"""A function or network as a model that draws samples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dxbench.api import ConditionalSampler, Model, Sampler
from dxbench.drawing.counting import counted_passes
from dxbench.drawing.draw import sample

Draw = Callable[..., Any]
BATCH = 1000


@dataclass(frozen=True)
class CalledWithSeeds:
    """A function of int64 seeds [b] that gives samples [b, *event]."""

    draw: Draw
    networks: Sequence[nn.Module]

    def sample(self, seeds: Tensor) -> Tensor:
        return torch.as_tensor(self.draw(seeds))


@dataclass(frozen=True)
class CalledWithClasses:
    """A function of int64 seeds [b] and classes [b] that gives samples [b, *event]."""

    draw: Draw
    networks: Sequence[nn.Module]
    num_classes: int

    def sample_classes(self, seeds: Tensor, labels: Tensor) -> Tensor:
        return torch.as_tensor(self.draw(seeds, labels))


def as_model(given: Any, *, num_classes: int | None) -> Model | None:
    """A model as it is, a function or network as one that draws; None for anything else."""
    if hasattr(given, "networks"):
        return given
    if not callable(given):
        return None
    networks = [given] if isinstance(given, nn.Module) else []
    if num_classes is None:
        return CalledWithSeeds(given, networks)
    return CalledWithClasses(given, networks, num_classes)


def device_of(model: Model) -> str | None:
    """The kind of device that its networks are on; None where there is none."""
    parameters = (parameter for network in model.networks for parameter in network.parameters())
    first = next(parameters, None)
    return None if first is None else first.device.type


def draws(model: Model) -> bool:
    """Whether a model draws samples."""
    return isinstance(model, Sampler | ConditionalSampler)


def drawn(model: Any, n: int, *, seed: int, progress: Callable[[str], None]) -> tuple[Tensor, float]:
    """n samples without classes on the CPU, of seeds `seed` .. `seed` + n - 1, and counted evaluations per sample."""
    batches = []
    with torch.no_grad(), counted_passes(model.networks) as counter:
        for start in range(0, n, BATCH):
            progress(f"sampling {start:,} of {n:,}")
            seeds = seed + torch.arange(start, min(n, start + BATCH), dtype=torch.int64)
            batches.append(sample(model, seeds, None).detach().cpu())
    return torch.cat(batches), counter.rows / n
