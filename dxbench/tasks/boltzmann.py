"""A given energy to sample from: no training data, an energy to call, whose calls are counted."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dxbench.api import EnergyCalls, Evaluation, EvaluationInputs, Metric, Model, NoData, Problem, Task, Tile
from dxbench.api.streams import derive_seed
from dxbench.drawing.counting import CountedEnergy
from dxbench.drawing.draw import draw_log_weights, draw_samples
from dxbench.metrics.points.given_energy import CallsOfEnergy, EffectiveShare, EnergyTV, LogZError
from dxbench.metrics.points.transport import Wasserstein2
from dxbench.metrics.scoring import score
from dxbench.pictures.base import CaptionedFigure
from dxbench.pictures.boltzmann import energy_pictures
from dxbench.pictures.tiles import plane_tiles

Array = NDArray[np.float64]
SETS, SET_SIZE = 5, 2000
"""How many disjoint sets of exact draws samples are compared with, and of how many points."""
BATCH = 2000


class ExactDraws:
    """The truth, which only metrics see: exact draws, the energy that nobody counts, and log Z.

    Attributes:
        test_draws: disjoint sets, [SET_SIZE, D] each.
    """

    def __init__(self, task: "type[BoltzmannTask]") -> None:
        of = f"{task.name}@{task.version}"
        rngs = (np.random.default_rng(derive_seed(of, "test", number)) for number in range(SETS))
        self.test_draws = [task.seen(task.draw(SET_SIZE, rng)) for rng in rngs]
        self.log_z, self._energy = task.log_z, task.energy

    def energy(self, x: Array) -> Array:
        """E(x) of [n, D] points in float64."""
        with torch.no_grad():
            return self._energy(torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64))).numpy()


class BoltzmannTask(Task):
    """Sampling from a given energy: a subclass says its name, version, docstring, energy, and how its law is drawn.

    Attributes:
        dim: coordinates of a point.
        log_z: log of the integral of exp(-E), nats; None where nobody knows it.
        also: metrics of its own beside the shared ones; `headline` names those of its tables.
    """

    family = "boltzmann"
    auto_device = "cpu"  # small vectors keep no GPU busy
    headline = ("w2", "energy_tv", "ess", "log_z_error", "sampling_calls", "training_calls")
    num_samples = SETS * SET_SIZE
    dim: ClassVar[int]
    log_z: ClassVar[float | None] = None
    also: ClassVar[Sequence[Metric]] = ()

    def __init__(self) -> None:
        self._asked = self._counted()

    @classmethod
    @abstractmethod
    def energy(cls, x: Tensor) -> Tensor:
        """E of [b, D] points in nats, [b], on their device and in their precision; p is proportional to exp(-E)."""

    @classmethod
    @abstractmethod
    def draw(cls, n: int, rng: np.random.Generator) -> Array:
        """Exact draws, float64 [n, D]; the only source of randomness is `rng`."""

    @classmethod
    def draw_of(cls, seeds: Sequence[int]) -> Array:
        """An exact draw of each seed, [n, D], of which reference draws know nothing."""
        return np.concatenate([cls.draw(1, np.random.Generator(np.random.Philox(key=seed))) for seed in seeds])

    @classmethod
    def seen(cls, samples: Array) -> Array:
        """Samples or draws [n, D] as metrics see them: a law that has no place in space puts them at one."""
        return samples

    @property
    def metrics(self) -> Sequence[Metric]:
        of = f"{self.name}@{self.version}"
        of_log_z = () if self.log_z is None else (LogZError(reference=of), LogZError(reference=of, bound=True))
        return (
            Wasserstein2(reference=f"{SETS} disjoint sets of exact draws of {of}", num_samples=SET_SIZE, repeats=SETS),
            EnergyTV(reference=f"{SETS * SET_SIZE} exact draws of {of}", num_samples=self.num_samples),
            EffectiveShare(reference=of),
            *of_log_z,
            CallsOfEnergy(when="sampling", reference=of),
            CallsOfEnergy(when="training", reference=of),
            *self.also,
        )

    @cached_property
    def reference(self) -> ExactDraws:
        """The truth, which only metrics see."""
        return ExactDraws(type(self))

    def problem(self, *, oracle: bool) -> Problem:
        """A problem with an energy that nobody has called; `evaluate` tells the calls of the last one handed out."""
        self._asked = self._counted()
        return Problem(
            task=self.name,
            event_shape=(self.dim,),
            data=NoData(),
            data_std=float(np.concatenate(self.reference.test_draws).var(axis=0).mean() ** 0.5),
            oracle=self._oracle() if oracle else None,
            energy=self._asked,
        )

    def _counted(self) -> CountedEnergy:
        return CountedEnergy(type(self).energy, event_shape=(self.dim,), task=self.name)

    def _oracle(self) -> Model:
        """Exact draws, one generator per seed, and the energy."""
        kind = type(self)
        return Model(
            sampler=lambda seeds: torch.from_numpy(kind.draw_of(seeds.tolist())), energy=kind.energy, temperature=1.0
        )

    def evaluate(self, model: Model, *, seed: int, device: str, progress: Callable[[str], None]) -> Evaluation:
        samples, nfe, weights, sampling = None, None, None, 0.0
        if model.sampler is not None:
            with self._asked.apart():
                samples, nfe = draw_samples(
                    model,
                    self.num_samples,
                    first_seed=seed,
                    batch_size=BATCH,
                    progress=progress,
                    event_shape=(self.dim,),
                )
                sampling = self._asked.total / self.num_samples
            with self._asked.apart():  # weighing is the evaluation's, not the sampler's
                weights = draw_log_weights(
                    model, self.num_samples, first_seed=seed, batch_size=BATCH, progress=progress
                )
            samples = self.seen(samples.astype(np.float64))
        calls = None if samples is None else EnergyCalls(training=self._asked.total, sampling=sampling)
        seen = EvaluationInputs(
            samples=samples,
            energy=None,
            temperature=None,
            nfe=nfe,
            reference=self.reference,
            log_weights=weights,
            calls=calls,
        )
        return self._scored(seen, progress)

    def evaluate_samples(self, samples: Array, *, progress: Callable[[str], None]) -> Evaluation:
        return self._scored(self.inputs_of(samples), progress)

    def inputs_of(self, samples: Array) -> EvaluationInputs:
        points = self.seen(samples.astype(np.float64))
        return EvaluationInputs(samples=points, energy=None, temperature=None, nfe=None, reference=self.reference)

    def _scored(self, seen: EvaluationInputs, progress: Callable[[str], None]) -> Evaluation:
        scores, notes, protocols = score(self.metrics, seen, progress=progress)
        arrays = {"test": self.reference.test_draws[0]}
        if seen.samples is not None:
            arrays |= {
                "samples": seen.samples,
                "sample_energies": self.reference.energy(seen.samples),
                "test_energies": self.reference.energy(arrays["test"]),
            }
        kept = {name: array.astype(np.float32) for name, array in arrays.items()}
        return Evaluation(scores=scores, notes=notes, protocols=protocols, arrays=kept, nfe=seen.nfe)

    def pictures(self, arrays: Mapping[str, Array]) -> list[CaptionedFigure]:
        return energy_pictures(arrays, box=_box(arrays["test"]))

    def tiles(self, arrays: Mapping[str, Array]) -> list[Tile]:
        first_two = {name: arrays[name][:, :2] for name in ("samples",) if name in arrays}
        return plane_tiles(first_two, box=_box(arrays["test"]))


def _box(test: Array) -> tuple[float, float]:
    """The square that pictures show: all but the thousandth of the draws that lie farthest out."""
    reach = 1.2 * float(np.quantile(np.abs(test[:, :2]), 0.999))
    return -reach, reach
