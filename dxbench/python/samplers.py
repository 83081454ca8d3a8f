"""A function or network as a model that draws samples."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dxbench.api import Model
from dxbench.drawing.counting import counted_passes

BATCH = 1000


def as_model(given: Any, *, num_classes: int | None) -> Model | None:
    """A model as it is, a function or network as one that draws; None for anything else."""
    if isinstance(given, Model):
        return given
    if not callable(given):
        return None
    networks = (given,) if isinstance(given, nn.Module) else ()

    def sampler(*seeds_and_labels: Tensor) -> Tensor:
        return torch.as_tensor(given(*seeds_and_labels))

    return Model(networks=networks, sampler=sampler, num_classes=num_classes)


def device_of(model: Model) -> str | None:
    """The kind of device that its networks are on; None where there is none."""
    parameters = (parameter for network in model.networks for parameter in network.parameters())
    first = next(parameters, None)
    return None if first is None else first.device.type


def drawn(model: Any, n: int, *, seed: int, progress: Callable[[str], None]) -> tuple[Tensor, float]:
    """n samples without classes on the CPU, of seeds `seed` .. `seed` + n - 1, and counted evaluations per sample."""
    batches = []
    with torch.no_grad(), counted_passes(model.networks) as counter:
        for start in range(0, n, BATCH):
            progress(f"sampling {start:,} of {n:,}")
            seeds = seed + torch.arange(start, min(n, start + BATCH), dtype=torch.int64)
            batches.append(model.sample(seeds).detach().cpu())
    return torch.cat(batches), counter.rows / n
