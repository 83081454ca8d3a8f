"""A function, a network, or the sampler in a file or a folder, as a model that draws samples."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from dxbench.api import Model, Task
from dxbench.drawing.counting import counted_passes
from dxbench.engine.process import choose_device
from dxbench.errors import InvalidFile, UsageError
from dxbench.plugins.registry import in_file, load_file
from dxbench.python.pipelines import is_pipeline, pipeline_model

BATCH = 1000
_MANY = 10
"""Images of which one at least has a pixel below the middle."""


def as_model(given: Any, *, num_classes: int | None) -> Model | None:
    """A model as it is, a function or network as one that draws; None for anything else."""
    if isinstance(given, Model):
        return given
    if not callable(given):
        return None
    networks = (given,) if isinstance(given, nn.Module) else ()

    def sampler(*seeds_and_labels: Tensor, **settings: JsonValue) -> Tensor:
        return torch.as_tensor(given(*seeds_and_labels, **settings))

    return Model(networks=networks, sampler=sampler, num_classes=num_classes)


def opened(
    place: str | Path, task: Task, *, settings: Mapping[str, JsonValue], num_classes: int | None
) -> Model | None:
    """The sampler of `path/to/file.py:name`, or of a pipeline folder of diffusers; None for any other place.

    Networks are in evaluation mode, and images have to lie in [-1, 1].

    Args:
        settings: arguments that the sampler is called with, beside the seeds.

    Raises:
        UsageError: for a file that has no such sampler, settings without one, or a folder that cannot be used.
        InvalidFile: for a folder that holds code or pickles; when drawing, for pixels out of range.
        MissingData: if diffusers is not installed, with the command that installs it.
    """
    if in_file(str(place)):
        model = _of_file(str(place), settings, num_classes)
    elif is_pipeline(Path(place)):
        device = choose_device("auto", auto=task.auto_device)
        model = pipeline_model(Path(place), settings, device=device, num_classes=num_classes)
    elif settings:
        raise UsageError(f"--set says what a sampler is called with, and {place} holds samples; leave it out")
    else:
        return None
    for network in model.networks:
        network.eval()
    return _in_range(model, str(place))


def _of_file(reference: str, settings: Mapping[str, JsonValue], num_classes: int | None) -> Model:
    found = load_file(reference)
    model = None if isinstance(found, type) else as_model(found, num_classes=num_classes)
    if model is None or model.sampler is None:
        raise UsageError(
            f"{reference} is a {'class' if isinstance(found, type) else type(found).__name__}, wanted a function of "
            "int64 seeds, a network, or a dxbench.api.Model with a sampler; docs/your-samples.md shows one"
        )
    return replace(model, sampler=partial(model.sampler, **settings))


def _in_range(model: Model, place: str) -> Model:
    """The model, which refuses to draw images whose pixels are not in [-1, 1]."""
    draw = model.sampler
    assert draw is not None

    def checked(*seeds: Tensor) -> Tensor:
        batch = draw(*seeds)
        if batch.ndim == 4 and len(batch) >= _MANY and batch.isfinite().all():
            low, high = float(batch.min()), float(batch.max())
            if low >= 0 or max(-low, high) > 1.5:
                raise InvalidFile(
                    f"{place} draws pixels from {low:.3g} to {high:.3g}, wanted [-1, 1]; scale x in [0, 1] by 2 x - 1"
                )
        return batch

    return replace(model, sampler=checked)


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
