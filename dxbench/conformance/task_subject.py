"""The task under examination: asked for its problem, and given models whose worth is known, as the harness would."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dxbench.api import Evaluation, FiniteData, Model, NotApplicable, Problem, ProblemSet, Task
from dxbench.conformance.subject import NotChecked
from dxbench.drawing import draw as helpers_of_tasks
from dxbench.errors import DxbenchError, MissingData, NothingMeasured

SEED = 1000
NEIGHBOURS_OF = 500
"""Training points whose distance is the energy where a task shows no truth."""

FEW = 97
"""Samples at a time, where a check cuts batches."""

Array = NDArray[Any]
Scores = Mapping[str, float]


class Truth:
    """Draws from the data that methods see, or from the truth where a task has it; it keeps what it was asked.

    Attributes:
        seeds: of every call of `sample`.
        drawn: what each gave.
        asked: how many points it was asked the energy of.
    """

    def __init__(
        self, draw: Callable[[Tensor], Tensor], energy: Callable[[Tensor], Tensor] | None, temperature: float | None
    ) -> None:
        self._draw, self._energy, self._temperature = draw, energy, temperature
        self.seeds: list[Tensor] = []
        self.drawn: list[Tensor] = []
        self.asked = 0

    @property
    def model(self) -> Model:
        energy = None if self._energy is None else self.energy
        return Model(sampler=self.sample, energy=energy, temperature=self._temperature)

    def sample(self, seeds: Tensor) -> Tensor:
        batch = self._draw(seeds)
        self.seeds.append(seeds.cpu().clone())
        self.drawn.append(batch.cpu().clone())
        return batch

    def energy(self, x: Tensor) -> Tensor:
        assert self._energy is not None
        self.asked += len(x)
        return self._energy(x)


def distance_to(points: Tensor) -> Callable[[Tensor], Tensor]:
    """An energy: the distance of points to the nearest of these."""
    chosen = points[:: max(1, len(points) // NEIGHBOURS_OF)].flatten(1)

    def energy(x: Tensor) -> Tensor:
        return torch.cdist(x.flatten(1).to(chosen), chosen).amin(dim=1)

    return energy


class TaskSubject:
    """One task, made anew where a check asks for another."""

    def __init__(self, kind: type[Task]) -> None:
        self.kind = kind
        self.task = kind()

    @cached_property
    def problem(self) -> Problem | ProblemSet:
        """The problem that methods see.

        Raises:
            NotChecked: if its files are absent.
        """
        try:
            return self.task.problem(oracle=False)
        except MissingData as reason:
            raise NotChecked(str(reason)) from None

    @property
    def problems(self) -> list[Problem]:
        return parts_of(self.problem)

    def truth(self, *, sign: int = 1) -> tuple[Model, list[Truth]]:
        """A model that knows the data, and what it or its parts were asked; `sign` = -1 turns its energy over."""
        problem = self.problem
        with_oracle = self.task.problem(oracle=True)
        if isinstance(problem, Problem):
            assert isinstance(with_oracle, Problem)
            truth = self._truth_of(problem, with_oracle.oracle, sign)
            return truth.model, [truth]
        parts = {name: self._truth_of(part, None, sign) for name, part in problem.parts.items()}
        return Model(parts={name: part.model for name, part in parts.items()}), list(parts.values())

    def _truth_of(self, problem: Problem, oracle: Model | None, sign: int) -> Truth:
        if problem.num_classes is not None:
            raise NotChecked("the task asks for samples of given classes, of which the kit draws none")
        known = oracle or Model()
        draw, energy = known.sampler or drawing(problem), known.energy
        if energy is None and isinstance(problem.data, FiniteData):
            energy = distance_to(problem.data.points)
        signed = None if energy is None else lambda x: sign * energy(x)
        return Truth(draw, signed, known.temperature)

    def evaluate(self, model: Model, *, seed: int = SEED) -> Evaluation:
        try:
            return self.task.evaluate(model, seed=seed, device="cpu", progress=quiet)
        except MissingData as reason:
            raise NotChecked(str(reason)) from None

    @cached_property
    def judged(self) -> tuple[Evaluation, list[Truth]]:
        """The task's scores of the truth, and what it asked of it; taken once for all checks."""
        model, parts = self.truth()
        return self.evaluate(model), parts

    @cached_property
    def again(self) -> Evaluation:
        """The same of other seeds."""
        return self.evaluate(self.truth()[0], seed=SEED + 10**6)

    @property
    def samples(self) -> Array:
        """The samples that the task scored, [n, *event].

        Raises:
            NotChecked: if it draws none.
        """
        drawn = [batch for part in self.judged[1] for batch in part.drawn]
        if not drawn:
            raise NotChecked("the task scores energies and draws no samples")
        return torch.cat(drawn).numpy()

    def given(self, samples: Array) -> Evaluation:
        """The task's scores of samples alone, in the form that files have.

        Raises:
            NotApplicable: if it scores no samples.
        """
        if self.task.image_bytes and samples.ndim == 4:
            samples = ((samples + 1) * 127.5).round().clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
        try:
            return self.task.evaluate_samples(samples, progress=quiet)
        except NothingMeasured as reason:
            raise NotApplicable(str(reason)) from None

    def wrong_laws(self) -> Iterator[tuple[str, Array]]:
        """Samples that are not of the data: what is wrong with them, and as many as the true ones."""
        true, rng = self.samples, np.random.default_rng(SEED)
        lowest, highest = (-1.0, 1.0) if true.ndim == 4 else (-np.inf, np.inf)
        noise = true.mean(axis=0) + true.std(axis=0) * rng.standard_normal(true.shape)
        yield "Gaussian noise with the means and stds of the data", noise.clip(lowest, highest).astype(true.dtype)
        flat = true.reshape(len(true), -1)
        widest = flat[:, flat.var(axis=0).argmax()]
        half = true[widest <= np.median(widest)]
        yield "half of the data, the rest lost", half[rng.integers(len(half), size=len(true))]
        # Vectors in two ways: particles that all move alike have moved nowhere.
        way = np.ones(true.shape[1:]) if true.ndim == 4 else np.where(np.arange(true[0].size) < true[0].size / 2, 1, -1)
        moved = true + 2 * true.std() * way.reshape(true.shape[1:])
        yield "the data moved by two stds", moved.clip(lowest, highest).astype(true.dtype)


def refused(task: Task, truth: Scores, other: Evaluation, spread: Callable[[str], float]) -> list[str]:
    """Headline metrics by which an evaluation is clearly worse than the truth's: by three times what chance moves."""
    found = []
    for name in task.headline:
        if name in truth and name in other.scores and other.scores[name].better != "none":
            estimate = other.scores[name]
            worse = (estimate.value - truth[name]) * (1 if estimate.better == "lower" else -1)
            if worse > 3 * spread(name):
                found.append(name)
    return found


def parts_of(problem: Problem | ProblemSet) -> list[Problem]:
    return list(problem.parts.values()) if isinstance(problem, ProblemSet) else [problem]


def drawing(problem: Problem) -> Callable[[Tensor], Tensor]:
    """Samples that are data: of each seed one draw."""

    def draw(seeds: Tensor) -> Tensor:
        batches = [problem.data.batch(1, rng=np.random.default_rng(seed)) for seed in seeds.tolist()]
        return torch.cat(batches)

    return draw


def quiet(text: str) -> None:
    """Nobody is told."""


@contextmanager
def small_batches(kind: type[Task]) -> Iterator[list[str]]:
    """The helpers by which a task's modules draw samples and ask energies take FEW at a time; yields those that did."""
    used: list[str] = []

    def cut(name: str, helper: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            used.append(name)
            return helper(*arguments, **options | {"batch_size": FEW})

        return call

    helpers = {name: getattr(helpers_of_tasks, name) for name in ("draw_samples", "energy_function", "energy_maps")}
    modules = {module for name, module in sys.modules.items() if name.startswith("dxbench.tasks")}
    modules |= {sys.modules[base.__module__] for base in kind.__mro__ if base.__module__ in sys.modules}
    with ExitStack() as stack:
        for module in modules:
            for name, helper in helpers.items():
                if vars(module).get(name) is helper:
                    stack.enter_context(patch.object(module, name, cut(name, helper)))
        yield used


REFUSALS = (DxbenchError, NotApplicable)
"""How a task says that it does not score something."""
