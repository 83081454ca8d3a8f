"""A function, a network, or the sampler in a file or a folder, as a model that draws samples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from dxbench.api import Model, Problem, ProblemSet, Task
from dxbench.drawing.counting import counted_passes
from dxbench.drawing.draw import far_off
from dxbench.engine.process import choose_device
from dxbench.errors import DxbenchError, InvalidFile, NothingMeasured, UsageError
from dxbench.files.code import told
from dxbench.plugins.registry import in_file, load_file
from dxbench.python.pipelines import is_pipeline, pipeline_model

BATCH = 1000
_MANY = 10
"""Images of which one at least has a pixel below the middle."""
_FAR = 10.0
"""Beyond any pixel in [-1, 1] that a sampler overshoots."""


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


def networks_of(given: Any) -> Sequence[nn.Module]:
    """The networks of a model, or a network itself; none of anything else."""
    return given.networks if isinstance(given, Model) else [given] if isinstance(given, nn.Module) else []


def source_of(samples: Any, task: Task, settings: Mapping[str, JsonValue]) -> Any:
    """The object to score: the sampler of `path/to/file.py:name` or of a pipeline folder as a model, else as it is.

    Networks are then in evaluation mode, and what is drawn has to be one finite event per seed, images in [-1, 1].

    Args:
        settings: arguments that the sampler is called with, beside the seeds.

    Raises:
        UsageError: for a file of code without a name behind it, one that has no such sampler, settings without a
            sampler, or a folder that cannot be used; when drawing, if the sampler fails.
        InvalidFile: for a folder that holds code or pickles; when drawing, for samples that do not fit.
        MissingData: if diffusers is not installed, with the command that installs it.
        NothingMeasured: for a task that is no single problem.
    """
    named = isinstance(samples, str | Path) and (in_file(str(samples)) or is_pipeline(Path(samples)))
    if not named:
        if settings:
            raise UsageError("--set says what a sampler is called with, and these are samples or a model; leave it out")
        if isinstance(samples, str | Path) and Path(samples).suffix == ".py":
            raise UsageError(f"{samples} is code: write the name of its sampler behind it, {samples}:NAME")
        return samples
    problem = task.problem(oracle=False)
    if isinstance(problem, ProblemSet):
        raise NothingMeasured(f"{samples}: {task.name} has a model for each of {len(problem.parts)} problems")
    if in_file(str(samples)):
        model = _of_file(str(samples), settings, problem.num_classes)
    else:
        device = choose_device("auto", auto=task.auto_device)
        model = pipeline_model(Path(samples), settings, device=device, num_classes=problem.num_classes)
    for network in model.networks:
        network.eval()
    return _checked(model, str(samples), problem)


def _of_file(reference: str, settings: Mapping[str, JsonValue], num_classes: int | None) -> Model:
    found = load_file(reference)
    model = None if isinstance(found, type) else as_model(found, num_classes=num_classes)
    if model is None or model.sampler is None:
        raise UsageError(
            f"{reference} is a {'class' if isinstance(found, type) else type(found).__name__}, wanted a function of "
            "int64 seeds, a network, or a dxbench.api.Model with a sampler; docs/your-samples.md shows one"
        )
    return replace(model, sampler=partial(model.sampler, **settings))


def _checked(model: Model, place: str, problem: Problem) -> Model:
    """The model, whose sampler says in a sentence what is wrong with it or with what it draws."""
    draw, event_shape = model.sampler, problem.event_shape
    assert draw is not None

    def checked(*seeds: Tensor) -> Tensor:
        try:
            batch = draw(*seeds)
        except DxbenchError:
            raise
        except Exception as error:
            raise UsageError(f"{place} fails: {told(error)}; mend it") from error
        wanted = (len(seeds[0]), *event_shape)
        if not isinstance(batch, Tensor) or batch.shape != wanted:
            got = tuple(batch.shape) if isinstance(batch, Tensor) else f"a {type(batch).__name__}"
            raise InvalidFile(f"{place} draws {got}, wanted a tensor {wanted}: one event per seed")
        if bad := int((~batch.isfinite().flatten(1).all(dim=1)).sum()):
            raise InvalidFile(f"{place}: {bad:,} of {len(batch):,} samples are not finite")
        low, high = float(batch.min()), float(batch.max())
        if len(event_shape) == 3 and ((len(batch) >= _MANY and low >= 0) or high > _FAR):
            raise InvalidFile(
                f"{place} draws pixels from {low:.3g} to {high:.3g}, wanted [-1, 1]; scale x in [0, 1] by 2 x - 1"
            )
        if said := far_off(batch, problem.data_std):
            raise InvalidFile(f"{place}: {said}; give samples in the units of the task's data")
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
    return torch.cat(batches), counter.total / n
