"""Training for a problem, or for every problem of a set, one after the other as one run."""

import math
from collections.abc import Mapping, Set
from functools import partial
from typing import Any

from torch import Tensor

from dxbench.api import (
    Compute,
    Config,
    FiniteData,
    Method,
    Model,
    Need,
    NoData,
    PatchData,
    Problem,
    ProblemSet,
    Task,
    Training,
    require_model,
)
from dxbench.api.streams import RandomStreams
from dxbench.assets import Asset
from dxbench.errors import MissingData, UsageError, require_all

SMALL_IMAGE_VALUES = 1024
_FINITE_VECTORS = {
    Need.TRAINING_DATA: True,
    Need.FINITE_DATA: True,
    Need.VECTORS: True,
    Need.SMALL_EVENTS: True,
    Need.CUDA: True,
    Need.ENERGY: False,
    Need.IMAGES: False,
    Need.TRUE_SCORE: False,
}
KNOWN: Mapping[str, Mapping[Need, bool]] = {
    "vectors": {**_FINITE_VECTORS, Need.PATCHES: False, Need.ORACLE: False},
    "patches": _FINITE_VECTORS,
    "small_images": {
        Need.TRAINING_DATA: True,
        Need.IMAGES: True,
        Need.SMALL_EVENTS: True,
        Need.CUDA: True,
        Need.ENERGY: False,
        Need.VECTORS: False,
        Need.PATCHES: False,
    },
}
"""Family of data -> what every task of it meets on some machine and none of it does. Their problems read all data."""


class UnmetNeed(Exception):
    """The method cannot run here, through nobody's fault."""


def trains_on_data(method: type[Method], config: Config) -> bool:
    """True where a run reads the training data."""
    return Need.TRAINING_DATA in method.needs and config.uses_data()


def needed_files(task: Task, method: type[Method], config: Config) -> list[Asset]:
    """The files that a run reads and that are not shipped: references, training data, weights to begin from."""
    return list(task.needed(training=trains_on_data(method, config), weights=method.pretrained(config)))


def problem_for(task: Task, method: type[Method], config: Config, compute: Compute) -> Problem | ProblemSet:
    """The problem of a run that can go ahead: its needs are met and its files are there.

    Raises:
        UnmetNeed: if the task does not have here what the method cannot do without.
        UsageError: if the configuration begins from weights that the task does not grant.
        MissingData: naming all files that are absent.
    """
    training = trains_on_data(method, config)
    try:
        problem = task.problem(oracle=Need.ORACLE in method.needs)
    except MissingData:
        task.require(training=training)  # names all that is absent, not only what is read first
        raise
    for need in unmet_needs(method.needs | config.needs(), problem, compute):
        raise UnmetNeed(f"{method.name} needs {need.value}, which {task.name} does not have here")
    require_all([lambda: require_pretrained(method, config, problem), lambda: task.require(training=training)])
    return problem


def unmet_needs(needs: Set[Need], problem: Problem | ProblemSet, compute: Compute) -> list[Need]:
    """Needs that a problem, or one of a set, does not meet here."""
    problems = [problem] if isinstance(problem, Problem) else list(problem.parts.values())
    met = {
        Need.CUDA: compute.device == "cuda",
        Need.TRAINING_DATA: not any(isinstance(p.data, NoData) for p in problems),
        Need.ENERGY: all(p.energy is not None for p in problems),
        Need.ORACLE: all(p.oracle is not None for p in problems),
        Need.TRUE_SCORE: all(p.oracle is not None and p.oracle.denoiser is not None for p in problems),
        Need.FINITE_DATA: all(isinstance(p.data, FiniteData) for p in problems),
        Need.VECTORS: all(len(p.event_shape) == 1 for p in problems),
        Need.IMAGES: all(len(p.event_shape) == 3 for p in problems),
        Need.SMALL_EVENTS: all(
            len(p.event_shape) == 1 or (len(p.event_shape) == 3 and math.prod(p.event_shape) <= SMALL_IMAGE_VALUES)
            for p in problems
        ),
        Need.PATCHES: all(isinstance(p.data, PatchData) for p in problems),
    }
    return [need for need in sorted(needs) if not met.get(need, True)]


def ruled_out(needs: Set[Need], task: Task) -> list[Need]:
    """Needs that a task meets on no machine, as far as that can be told without reading much; sorted."""
    known = KNOWN.get(task.family.partition("/")[0], {})
    if lacking := [need for need in sorted(needs) if not known.get(need, True)]:
        return lacking
    if needs <= known.keys():
        return []
    if not task.problem_is_quick:
        return []
    try:
        problem = task.problem(oracle=Need.ORACLE in needs)
    except MissingData:
        return []
    return unmet_needs(needs, problem, Compute(device="cuda", threads=task.threads))


def require_pretrained(method: type[Method], config: Config, problem: Problem | ProblemSet) -> None:
    """Ask for the official weights that a configuration begins from.

    Raises:
        UsageError: if the task grants none of that name.
        MissingData: naming the files that are absent, with the command that fetches them.
    """
    asks = []
    for part in [problem] if isinstance(problem, Problem) else problem.parts.values():
        for name in method.pretrained(config):
            if part.pretrained is None:
                raise UsageError(
                    f"{method.name} begins from weights named {name!r}, but task {part.task} grants no pretrained "
                    "weights; choose another preset or start"
                )
            asks.append(partial(part.pretrained.require, name))
    require_all(asks)


def start_training(
    method: type[Method], problem: Problem | ProblemSet, config: Config, *, compute: Compute, rng: RandomStreams
) -> Training:
    """The training of one problem, or of a set; each problem of a set has streams of its own."""
    if isinstance(problem, Problem):
        return method().start(problem, config, compute=compute, rng=rng)
    return PartwiseTraining(
        {
            name: method().start(part, config, compute=compute, rng=rng.within(name))
            for name, part in problem.parts.items()
        }
    )


def trained_model(training: Training) -> Model:
    """The model of a training.

    Raises:
        TypeError: if it is no `Model`, with the remedy.
    """
    return require_model(training.model())


class PartwiseTraining(Training):
    """Independent trainings, carried out in order."""

    def __init__(self, parts: Mapping[str, Training]) -> None:
        self._parts = parts
        self._steps_done = 0

    @property
    def total_steps(self) -> int:
        return sum(part.total_steps for part in self._parts.values())

    def step(self) -> Mapping[str, float | Tensor]:
        before = 0
        for part in self._parts.values():
            before += part.total_steps
            if self._steps_done < before:
                self._steps_done += 1
                return part.step()
        raise RuntimeError("all parts are trained")

    def state_dict(self) -> dict[str, Any]:
        parts = {name: part.state_dict() for name, part in self._parts.items()}
        return {"parts": parts, "steps_done": self._steps_done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts.items():
            part.load_state_dict(state["parts"][name])
        self._steps_done = state["steps_done"]

    def model(self) -> Model:
        parts = {name: trained_model(part) for name, part in self._parts.items()}
        return Model(networks=[network for part in parts.values() for network in part.networks], parts=parts)
