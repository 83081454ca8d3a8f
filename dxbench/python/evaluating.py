"""Scores of samples and models: by a task, or against any other set."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dxbench.api import Evaluation, Metric, NotApplicable, Problem, ProblemSet, Task
from dxbench.drawing.draw import far_off, within_reach
from dxbench.engine.process import choose_device
from dxbench.engine.undisturbed import undisturbed
from dxbench.errors import InvalidFile, NothingMeasured, UsageError, unknown
from dxbench.features.protocols import SET_PROTOCOLS
from dxbench.features.quantisation import quantise
from dxbench.features.scoring import in_memory
from dxbench.features.sets import SampleSet, read_set, score_against, set_of
from dxbench.features.sources import silent
from dxbench.metrics.scoring import score
from dxbench.plugins.registry import TaskRef, in_file, load_metric, load_task
from dxbench.python.samplers import as_model, device_of, drawn, networks_of, source_of
from dxbench.python.scores import Scores
from dxbench.readers import Statistics, read_samples, samples_of
from dxbench.threads import fix_threads

Tell = Callable[[str], None]
THREADS_WITHOUT_TASK = 2
"""As tasks of images have."""


def evaluate(
    samples: Any,
    task: TaskRef | None = None,
    *,
    against: Any = None,
    protocol: str | Sequence[str] | None = None,
    train: Any = None,
    metrics: Sequence[str | Metric] = (),
    n: int | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Tell | None = None,
) -> Scores:
    """Score samples or a model, by a task or against any other set.

    It may be called inside a training loop: no file is written, and generators, thread counts, autocast, the gradient
    mode and the modes of networks are afterwards what they were. Networks that are hidden in a function are not seen:
    put those into evaluation mode yourself.

    >>> import dxbench, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> scores = dxbench.evaluate(rng.normal(size=(500, 2)), against=rng.normal(size=(500, 2)), protocol="points")
    >>> scores["energy_distance@500"] < 0.01
    True

    Args:
        samples: an array or tensor, points [n, d], images as uint8 [n, height, width, channels] or floats [n,
            channels, height, width] in [-1, 1]; a path that `dxbench eval` takes, `path/to/file.py:name` of a sampler
            among them; a `dxbench.api.Model`; or a function or network from int64 seeds [b] to samples [b, *event],
            which a task with classes calls with int64 labels [b] beside them.
        task: by name, `path/to/file.py:Class`, class or object.
        against: in place of a task, any set of the same kind: an array, a tensor or a path.
        protocol: with `against`, one or several by name; see `dxbench list protocols`.
        train: with `against`, what the model was trained on, to look for copies of it.
        metrics: with a task, your own beside its: objects, or `path/to/file.py:NAME`.
        n: with `against`, how many samples are drawn, by default as many as the other set has; how many samples
            statistics are of.
        seed: of the first sample that a model draws; those behind it have the seeds that follow.
        device: for energies and feature networks; "auto" is the model's own, or else the task's choice.
        progress: told what is under way.

    Raises:
        UsageError: unless it is a task or `against` with `protocol`; for a wrong name, with the nearest.
        InvalidFile: for samples of the wrong kind, shape or range, or that are not finite.
        MissingData: if data or weights of the task or protocol are absent, with the command that fetches them.
        NothingMeasured: if no metric could be computed.
    """
    if (task is None) == (against is None):
        raise UsageError("give a task, or against= with protocol=; `dxbench list protocols` shows what there is")
    if task is None and metrics:
        raise UsageError("metrics= goes with a task; a protocol has its own")
    if task is not None and (protocol is not None or train is not None):
        raise UsageError("protocol= and train= go with against=; a task has its own protocol and training set")
    tell = progress or silent
    chosen = None if task is None else _loaded(task)
    samples = samples if chosen is None else source_of(samples, chosen, {})
    with undisturbed(networks_of(samples)), in_memory():
        if chosen is not None:
            found, n = judged(samples, chosen, metrics=metrics, n=n, seed=seed, device=device, progress=tell)
            return Scores.of(found, n=n)
        return by_protocol(samples, against, protocol, train=train, n=n, seed=seed, progress=tell)


def _loaded(task: TaskRef) -> Task:
    """The task, with what it has read and computed for earlier calls where it goes by its name."""
    return _by_name(task) if isinstance(task, str) and not in_file(task) else load_task(task)


@lru_cache(maxsize=2)
def _by_name(name: str) -> Task:
    return load_task(name)


def judged(
    samples: Any,
    task: Task,
    *,
    metrics: Sequence[str | Metric] = (),
    n: int | None = None,
    seed: int,
    device: str = "auto",
    progress: Tell,
) -> tuple[Evaluation, int | None]:
    """Score by a task, where files may be written and the process may be changed; raises as `evaluate`.

    Returns the evaluation, with the samples among its arrays, and of how many samples it is.

    Args:
        samples: what `evaluate` takes, the sampler of a path by `samplers.source_of`.
    """
    own = [load_metric(metric, task) for metric in metrics]
    fix_threads(task.threads)
    problem = task.problem(oracle=False)
    where = samples if isinstance(samples, str | Path) else "the samples"
    model = as_model(samples, num_classes=None if isinstance(problem, ProblemSet) else problem.num_classes)
    try:
        if model is not None:
            if own:
                raise NotApplicable("metrics of your own want samples; draw them from the model first")
            chosen = choose_device(device, auto=task.auto_device) if device != "auto" else device_of(model)
            chosen = chosen or choose_device("auto", auto=task.auto_device)
            scored = model if isinstance(problem, ProblemSet) else within_reach(model, problem.data_std)
            found = task.evaluate(scored, seed=seed, device=chosen, progress=progress)
            n = (task.num_samples or None) if model.sampler is not None else None
            found = found if model.networks else replace(found, nfe=None)
        elif isinstance(problem, ProblemSet):
            parts = len(problem.parts)
            raise NothingMeasured(f"{where}: {task.name} has a model for each of {parts} problems, not samples")
        else:
            read = _read(samples, task, problem)
            if isinstance(read, Statistics):
                if own:
                    raise NotApplicable("metrics of your own want samples, and these are statistics")
                found = task.evaluate_statistics(read.moments, n=n, progress=progress)
            else:
                if said := far_off(torch.from_numpy(read), problem.data_std) if read.dtype.kind == "f" else "":
                    raise InvalidFile(f"{where}: {said}; give samples in the units of the task's data")
                n = len(read)
                found = task.evaluate_samples(read, progress=progress)
                found = _with(own, found, task, read, progress) if own else found
                found = replace(found, arrays={"samples": read} | found.arrays)
    except NotApplicable as reason:
        raise NothingMeasured(f"{where}: {reason}") from None
    _require_score(found, where, f"metric of {task.name}")
    return found, n


def _with(metrics: Sequence[Metric], found: Evaluation, task: Task, samples: np.ndarray, progress: Tell) -> Evaluation:
    """An evaluation with what more metrics make of the same samples."""
    scores, notes, protocols = score(metrics, task.inputs_of(samples), progress=progress)
    return replace(
        found, scores=found.scores | scores, notes=found.notes | notes, protocols=found.protocols | protocols
    )


def by_protocol(
    samples: Any,
    reference: Any,
    protocol: str | Sequence[str] | None,
    *,
    train: Any,
    n: int | None,
    seed: int = 0,
    progress: Tell,
) -> Scores:
    """`evaluate` against a set, where files may be written and the process may be changed; raises as it does."""
    if not protocol:
        raise UsageError(f"a set to compare with wants a protocol: one or several of {', '.join(SET_PROTOCOLS)}")
    names = [protocol] if isinstance(protocol, str) else list(protocol)
    for name in names:
        if name not in SET_PROTOCOLS:
            raise unknown("protocol", name, SET_PROTOCOLS, remedy="See `dxbench list protocols`.")
    fix_threads(THREADS_WITHOUT_TASK)
    real = _set(reference, "the reference")
    model, nfe = as_model(samples, num_classes=None), None
    if model is not None:
        if (n := n or real.n) is None:
            raise UsageError("say how many samples to draw by n=; statistics do not say how many they are of")
        samples, nfe = drawn(model, n, seed=seed, progress=progress)
        nfe = nfe if model.networks else None
    given = _set(samples, "the samples")
    found = score_against(
        [SET_PROTOCOLS[name] for name in dict.fromkeys(names)],
        given,
        real,
        train=None if train is None else _set(train, "the training set"),
        n=n,
        progress=progress,
    )
    _require_score(found, given.name, f"metric of {', '.join(names)}")
    return Scores.of(replace(found, nfe=nfe), n=n or given.n)


def _require_score(found: Evaluation, where: object, what: str) -> None:
    """Raise NothingMeasured, with the reasons, where there is no number."""
    if not found.scores:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in found.notes.items())
        raise NothingMeasured(f"{where}: no {what} could be measured ({reasons})")


def _read(samples: Any, task: Task, problem: Problem) -> np.ndarray | Statistics:
    """Read what a task is to score, of a path or an array."""
    if isinstance(samples, str | Path):
        read = read_samples(
            Path(samples), problem.event_shape, num_classes=problem.num_classes, image_bytes=task.image_bytes
        )
        if not isinstance(read, Statistics) and len(problem.event_shape) == 3:
            _check_scale(read, f"{samples}: ")
        return read
    array = as_array(samples)
    if len(problem.event_shape) == 3 and array.shape[1:] == problem.event_shape:
        _check_scale(array, "")
        if task.image_bytes and array.dtype.kind == "f":
            array = quantise(array)
    return samples_of(array, problem.event_shape, image_bytes=task.image_bytes)


def _check_scale(images: np.ndarray, where: str) -> None:
    """Refuse images of floats that are not in [-1, 1], but for a few values that a sampler has thrown further."""
    if images.dtype.kind != "f":
        return
    if not np.isfinite(images).all() or images.min() >= 0 or np.mean(np.abs(images) > 1.5) > 0.01:
        raise InvalidFile(
            f"{where}images as floats have finite pixels in [-1, 1], got {images.min():.3g} to {images.max():.3g}; "
            "scale pixels x in [0, 1] by 2 x - 1"
        )


def _set(given: Any, what: str) -> SampleSet:
    if isinstance(given, SampleSet):
        return given
    if isinstance(given, str | Path):
        return read_set(Path(given))
    return set_of(as_array(given), name="array", where=what)


def as_array(given: Any) -> np.ndarray:
    """An array of a tensor on any device, or of whatever NumPy makes one of.

    Raises:
        UsageError: for what is none.
    """
    if isinstance(given, torch.Tensor):
        tensor = given.detach().cpu()
        return (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).numpy()
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise UsageError(f"cannot make an array of a {type(given).__name__}: {error}") from None
    if array.dtype.kind not in "fiu":
        raise UsageError(
            f"wants samples as an array, a tensor, a path, a model or a function of seeds, got a {type(given).__name__}"
        )
    return array
