"""A law in the plane that can be drawn from at will: fresh draws train, others test."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dxbench.api import Evaluation, EvaluationInputs, Metric, Model, Problem, Task, Tile
from dxbench.api.streams import derive_seed
from dxbench.drawing.draw import draw_samples, energy_function
from dxbench.metrics.points.energy_distance import EnergyDistance
from dxbench.metrics.points.sliced import SlicedWasserstein
from dxbench.metrics.scoring import score
from dxbench.pictures.base import CaptionedFigure
from dxbench.pictures.plane import plane_pictures
from dxbench.pictures.tiles import plane_tiles

Array = NDArray[np.float64]
Draw = Callable[[int, np.random.Generator], Array]
SETS, SET_SIZE = 5, 2000
"""How many disjoint sets of test draws samples are compared with, and of how many points."""


class Fresh:
    """Training data of a law: fresh draws at every call."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw

    def batch(self, n: int, *, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(self._draw(n, rng)).float()


class HeldOut:
    """Disjoint sets of draws that no method sees, [SET_SIZE, 2] each."""

    def __init__(self, draw: Draw, reference: str) -> None:
        rngs = (np.random.default_rng(derive_seed(reference, "test", number)) for number in range(SETS))
        self.test_draws = [draw(SET_SIZE, rng) for rng in rngs]


class PlaneTask(Task):
    """Points in the plane: a subclass says its name, version and docstring, and how the law is drawn.

    Attributes:
        also: metrics of its own beside the distances of samples to test draws; `headline` names those of its tables.
    """

    family = "plane"
    auto_device = "cpu"  # batches of a few hundred points keep no GPU busy
    headline = ("sw2", "energy_distance")
    num_samples = SETS * SET_SIZE
    also: ClassVar[Sequence[Metric]] = ()

    @staticmethod
    @abstractmethod
    def draw(n: int, rng: np.random.Generator) -> Array:
        """Points of the law, float64 [n, 2]; the only source of randomness is `rng`."""

    @property
    def metrics(self) -> Sequence[Metric]:
        sets = f"{SETS} disjoint sets of test draws of {self.name}@{self.version}"
        return (
            SlicedWasserstein(reference=sets, num_samples=SET_SIZE, repeats=SETS),
            EnergyDistance(reference=sets, num_samples=SET_SIZE, repeats=SETS),
            *self.also,
        )

    @cached_property
    def reference(self) -> HeldOut:
        """The truth, which only metrics see."""
        return HeldOut(type(self).draw, f"{self.name}@{self.version}")

    def problem(self, *, oracle: bool) -> Problem:
        std = np.concatenate(self.reference.test_draws).var(axis=0).mean() ** 0.5
        return Problem(task=self.name, event_shape=(2,), data=Fresh(type(self).draw), data_std=float(std))

    def evaluate(self, model: Model, *, seed: int, device: str, progress: Callable[[str], None]) -> Evaluation:
        samples, nfe, energy, temperature = None, None, None, None
        if model.sampler is not None:
            samples, nfe = draw_samples(
                model, self.num_samples, first_seed=seed, batch_size=5000, progress=progress, event_shape=(2,)
            )
            samples = samples.astype(np.float64)
        if model.energy is not None:
            energy, temperature = energy_function(model.energy, device=device, batch_size=5000), model.temperature
        seen = EvaluationInputs(
            samples=samples, energy=energy, temperature=temperature, nfe=nfe, reference=self.reference
        )
        return self._scored(seen, progress)

    def evaluate_samples(self, samples: Array, *, progress: Callable[[str], None]) -> Evaluation:
        return self._scored(self.inputs_of(samples), progress)

    def inputs_of(self, samples: Array) -> EvaluationInputs:
        points = samples.astype(np.float64)
        return EvaluationInputs(samples=points, energy=None, temperature=None, nfe=None, reference=self.reference)

    def _scored(self, seen: EvaluationInputs, progress: Callable[[str], None]) -> Evaluation:
        scores, notes, protocols = score(self.metrics, seen, progress=progress)
        arrays = {"test": self.reference.test_draws[0].astype(np.float32)}
        if seen.samples is not None:
            arrays["samples"] = seen.samples.astype(np.float32)
        return Evaluation(scores=scores, notes=notes, protocols=protocols, arrays=arrays, nfe=seen.nfe)

    def pictures(self, arrays: Mapping[str, Array]) -> list[CaptionedFigure]:
        return plane_pictures(arrays, box=_box(arrays["test"]))

    def tiles(self, arrays: Mapping[str, Array]) -> list[Tile]:
        return plane_tiles(arrays, box=_box(arrays["test"]))


def _box(test: Array) -> tuple[float, float]:
    """The square that pictures show."""
    reach = 1.2 * float(np.abs(test).max())
    return -reach, reach
