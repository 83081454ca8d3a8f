"""A sound task in the plane, and for every check one that fails it and no other."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from dxbench.api import Estimate, Evaluation, MetricProtocol, Model, NotApplicable, Problem, Task
from dxbench.errors import NothingMeasured
from dxbench.metrics.points.sliced import SlicedWasserstein
from dxbench.metrics.scoring import repeated, require_samples
from dxbench.tasks.plane import Fresh, PlaneTask

SETS = 4


def sw2(reference: str) -> SlicedWasserstein:
    return SlicedWasserstein(num_projections=20, num_samples=500, repeats=SETS, reference=reference)


class Good(PlaneTask):
    """Three spots of unequal weight."""

    name, version = "good", 1
    headline = ("sw2",)
    num_samples = 500 * SETS

    @staticmethod
    def draw(n: int, rng: np.random.Generator) -> Any:
        spots = np.array([[2.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]])
        return spots[rng.choice(3, size=n, p=[0.5, 0.3, 0.2])] + 0.2 * rng.standard_normal((n, 2))

    @property
    def metrics(self) -> Any:
        return (sw2("test draws of good@1"), *self.also)


class NoDocstring(Good):
    __doc__ = None


class NoSuchColumn(Good):
    """Its headline names a metric that it does not have."""

    headline = ("sw2", "sw3")


@dataclass(frozen=True)
class Constant:
    """A metric with one number for all."""

    asks_for_samples: bool = True
    name: str = "constant"
    title: str = "always one"
    protocol = MetricProtocol(name="constant", version=1, fields={})

    def measure(self, inputs: Any) -> Estimate:
        if self.asks_for_samples:
            require_samples(inputs, 10)
        return repeated(self.protocol, [1.0, 1.0], better="higher")


class MeasuresNothing(Good):
    """It has a metric that needs no inputs."""

    also = (Constant(asks_for_samples=False),)


class TwoOfOneName(Good):
    """It has one metric twice."""

    also = (Constant(), Constant())


class NamesAnObject(Good):
    """The protocol of its metric holds an address."""

    def __init__(self) -> None:
        self.address = f"test draws of {object.__repr__(self)}"

    @property
    def metrics(self) -> Any:
        return (sw2(self.address),)


class Doubles(Good):
    """Its data are float64."""

    class Stream(Fresh):
        def batch(self, n: int, *, rng: np.random.Generator) -> Any:
            return super().batch(n, rng=rng).double()

    def problem(self, *, oracle: bool) -> Problem:
        return replace(super().problem(oracle=oracle), data=self.Stream(type(self).draw))


class WrongScale(Good):
    """It says a std that the data do not have."""

    def problem(self, *, oracle: bool) -> Problem:
        return replace(super().problem(oracle=oracle), data_std=20.0)


class Fickle(Good):
    """Its data ignore the rng."""

    class Stream(Fresh):
        def batch(self, n: int, *, rng: np.random.Generator) -> Any:
            return super().batch(n, rng=np.random.default_rng())

    def problem(self, *, oracle: bool) -> Problem:
        return replace(super().problem(oracle=oracle), data=self.Stream(type(self).draw))


class Telling(Good):
    """Its data hold the task."""

    class Stream(Fresh):
        task: Task

    def problem(self, *, oracle: bool) -> Problem:
        data = self.Stream(type(self).draw)
        data.task = self
        return replace(super().problem(oracle=oracle), data=data)


class OtherPrint(Good):
    """Its scores are by another protocol than its metric's."""

    def _scored(self, seen: Any, progress: Any) -> Evaluation:
        found = super()._scored(seen, progress)
        scores = {
            name: estimate.model_copy(update={"fingerprint": "0" * 16}) for name, estimate in found.scores.items()
        }
        return replace(found, scores=scores)


class Silent(Good):
    """It has no word for a metric that was not measured."""

    class Energetic(Constant):
        def measure(self, inputs: Any) -> Estimate:
            raise NotApplicable("the model has no energy")

    also = (Energetic(),)

    def _scored(self, seen: Any, progress: Any) -> Evaluation:
        return replace(super()._scored(seen, progress), notes={})


class Restless(Good):
    """Its evaluation adds noise of its own."""

    def evaluate(self, model: Any, *, seed: int, device: str, progress: Any) -> Evaluation:
        def noisy(seeds: Any) -> Any:
            batch = model.sample(seeds).double()
            return batch + 1e-5 * torch.from_numpy(np.random.default_rng().standard_normal(batch.shape))

        return super().evaluate(Model(sampler=noisy), seed=seed, device=device, progress=progress)


class GlobalRandomness(Good):
    """Its evaluation draws from numpy's global generator."""

    def _scored(self, seen: Any, progress: Any) -> Evaluation:
        np.random.rand()  # noqa: NPY002
        return super()._scored(seen, progress)


class OtherSeeds(Good):
    """It draws sample i with seed + i + 1."""

    def evaluate(self, model: Any, *, seed: int, device: str, progress: Any) -> Evaluation:
        return super().evaluate(model, seed=seed + 1, device=device, progress=progress)


class LooksAtBatches(Good):
    """What it scores of a sample depends on the first of its batch."""

    def evaluate(self, model: Any, *, seed: int, device: str, progress: Any) -> Evaluation:
        def shifted(seeds: Any) -> Any:
            batch = model.sample(seeds)
            return batch + 2e-4 * batch[:1]

        return super().evaluate(Model(sampler=shifted), seed=seed, device=device, progress=progress)


class OnlyModels(Good):
    """It scores no samples of a file."""

    def evaluate_samples(self, samples: Any, *, progress: Any) -> Evaluation:
        raise NothingMeasured("this task scores models")


class OtherwiseOfFiles(Good):
    """It scores samples of a file in another way."""

    def evaluate_samples(self, samples: Any, *, progress: Any) -> Evaluation:
        return super().evaluate_samples(samples[::-1] + 0.3, progress=progress)


class SeesNothing(Good):
    """Its only column has one number for all."""

    headline = ("constant",)
    also = (Constant(),)


class WrongWayRound(Good):
    """It holds a distance for better the larger it is."""

    def _scored(self, seen: Any, progress: Any) -> Evaluation:
        found = super()._scored(seen, progress)
        scores = {name: estimate.model_copy(update={"better": "higher"}) for name, estimate in found.scores.items()}
        return replace(found, scores=scores)


class NoArray(Good):
    """Its pictures want an array that it does not keep."""

    def pictures(self, arrays: Any) -> Any:
        return super().pictures({"test": arrays["lost"]})


class NoCaption(Good):
    """Its pictures say nothing."""

    def pictures(self, arrays: Any) -> Any:
        return [replace(picture, caption="") for picture in super().pictures(arrays)]


BAD: list[tuple[str, type[Task]]] = [
    ("identity", NoDocstring),
    ("identity", NoSuchColumn),
    ("metrics", MeasuresNothing),
    ("metrics", TwoOfOneName),
    ("protocols", NamesAnObject),
    ("data", Doubles),
    ("data", WrongScale),
    ("reproducible", Fickle),
    ("hidden", Telling),
    ("evaluation", OtherPrint),
    ("evaluation", Silent),
    ("repeatable", Restless),
    ("repeatable", GlobalRandomness),
    ("seeds", OtherSeeds),
    ("batch-size", LooksAtBatches),
    ("without-model", OnlyModels),
    ("without-model", OtherwiseOfFiles),
    ("wrong-law", SeesNothing),
    ("wrong-law", WrongWayRound),
    ("pictures", NoArray),
    ("pictures", NoCaption),
]
