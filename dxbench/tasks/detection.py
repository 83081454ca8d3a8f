"""Parts that detection tasks share: normal points train, energies of test points are ranked, group by group."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dxbench.api import (
    Evaluation,
    EvaluationInputs,
    Metric,
    Model,
    Problem,
    ProblemSet,
    Task,
)
from dxbench.api.streams import derive_seed
from dxbench.drawing.draw import energy_function
from dxbench.errors import InvalidFile, NothingMeasured
from dxbench.metrics.detection.metrics import ROBUST, GroupScores
from dxbench.metrics.detection.ranking import Scores, require_booleans
from dxbench.metrics.detection.robust import WorstCase
from dxbench.metrics.scoring import score
from dxbench.pictures.base import CaptionedFigure
from dxbench.pictures.detection import detection_pictures

Array = NDArray[np.floating[Any]]
Energy = Callable[[Array], Scores]
TEST_BATCH = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """A category or data set: what of it trains, and what tests.

    Attributes:
        train: normal points, [n, *event], as floats or as bytes of 255 levels.
        test: [m, *event].
        anomalous: which test points are, [m].

    Raises:
        InvalidFile: if a value is not finite or there is nothing to train on or to test.
        ValueError: if `anomalous` is not as many booleans as there are test points.
    """

    train: NDArray[Any]
    test: Array
    anomalous: NDArray[np.bool_]

    def __post_init__(self) -> None:
        require_booleans("anomalous", self.anomalous, (len(self.test),))
        for name, points in (("training", self.train), ("test", self.test)):
            bad = int((~np.isfinite(points.reshape(len(points), -1)).all(axis=1)).sum()) if len(points) else 0
            if bad or not len(points):
                raise InvalidFile(
                    f"{bad:,} of {len(points):,} {name} points are not finite; need one at least, all finite"
                )


@dataclass(frozen=True, kw_only=True, eq=False)
class PointSet:
    """A finite training set (`dxbench.api.FiniteData`)."""

    points: Tensor

    def batch(self, n: int, *, rng: np.random.Generator) -> Tensor:
        """n points drawn with replacement."""
        return self.points[torch.from_numpy(rng.integers(len(self.points), size=n))]


@dataclass(frozen=True, kw_only=True, eq=False)
class Bytes:
    """Points kept as bytes, divided by 255 when asked for (`dxbench.api.FiniteData`): ten large sets fit in memory."""

    levels: Tensor

    @property
    def points(self) -> Tensor:
        return self.levels.float() / 255.0

    def batch(self, n: int, *, rng: np.random.Generator) -> Tensor:
        """n points drawn with replacement."""
        return self.levels[torch.from_numpy(rng.integers(len(self.levels), size=n))].float() / 255.0


@dataclass(frozen=True, kw_only=True, eq=False)
class PatchSet(PointSet):
    """Patches of images as a finite training set (`dxbench.api.PatchData`)."""

    grid: tuple[int, int]


def problem_of(task: str, data: PointSet | Bytes) -> Problem:
    """The problem of one model for a set of normal points."""
    points = data.points
    std = float(points.flatten(1).std(dim=0).square().mean().sqrt())
    return Problem(task=task, event_shape=tuple(points.shape[1:]), data=data, data_std=std)


class DetectionTask(Task):
    """Energies of test points, larger for anomalies, ranked within each group.

    Attributes:
        unified: one model serves all groups; else each group has a model of its own.
        groups: every group the task consists of; absent ones make a run `partial`.
        scored_by: its metrics.
        worst_case: how anomalies are changed for the robust metrics; None for a task without these.
    """

    family = "vectors"
    auto_device = "cpu"  # sets of a few thousand vectors
    unified: ClassVar[bool]
    groups: ClassVar[tuple[str, ...]]
    scored_by: ClassVar[Sequence[Metric]]
    worst_case: ClassVar[WorstCase | None] = None

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.scored_by

    @abstractmethod
    def load(self) -> dict[str, Group]:
        """The groups whose data are there. Raises MissingData where there are none."""

    @cached_property
    def loaded(self) -> dict[str, Group]:
        return self.load()

    def problem(self, *, oracle: bool) -> Problem | ProblemSet:
        if self.unified:
            return problem_of(self.name, self.training_set(list(self.loaded.values())))
        return ProblemSet(
            parts={name: problem_of(self.name, self.training_set([group])) for name, group in self.loaded.items()}
        )

    def training_set(self, groups: Sequence[Group]) -> PointSet | Bytes:
        """The normal points of groups, which a model of all of them cannot tell apart."""
        train = [group.train for group in groups]
        return PointSet(points=torch.from_numpy(train[0] if len(train) == 1 else np.concatenate(train)))

    def evaluate(self, model: Model, *, seed: int, device: str, progress: Callable[[str], None]) -> Evaluation:
        scored = {}
        for name, group in self.loaded.items():
            progress(f"scoring {name}")
            one = model if model.parts is None else model.parts[name]
            found = self.score_group(one, group, device=device)
            if found is None:
                return self._unscored("the model has no energy")
            scored[name] = found
        inputs = EvaluationInputs(
            samples=None, energy=None, temperature=None, nfe=None, reference=self.loaded, scores=scored
        )
        scores, notes, protocols = score(self.metrics, inputs, progress=progress)
        constant = [name for name, group in scored.items() if np.ptp(group.scores) == 0]
        if constant:
            notes["constant energy"] = f"{', '.join(constant)}: every test point has one energy, so AUROC is 50 %"
        missing = tuple(name for name in self.groups if name not in scored)
        if missing:
            notes["missing data"] = (
                f"the means are of {len(scored)} of {len(self.groups)} groups; absent: {', '.join(missing)}"
            )
        arrays = {
            f"{name}/{kind}": array for name, group in scored.items() for kind, array in self.kept(name, group).items()
        }
        return Evaluation(scores=scores, notes=notes, protocols=protocols, arrays=arrays, missing=missing)

    def score_group(self, model: Model, group: Group, *, device: str) -> GroupScores | None:
        """Scores of a group's test points by the model for them; None if it has no energy."""
        if model.energy is None:
            return None
        energy = energy_function(model.energy, device=device, batch_size=TEST_BATCH)
        scores = energy(group.test)
        views = self.robust_view(energy, group, scores, lambda rows: group.test[rows])
        return GroupScores(scores=scores, anomalous=group.anomalous, views=views)

    def robust_view(
        self, energy: Energy, group: Group, scores: Scores, points: Callable[[NDArray[np.intp]], Array]
    ) -> dict[str, GroupScores]:
        """The view with anomalies at their worst, the same search for every method; none without a `worst_case`.

        Args:
            energy: the score of points as `points` gives them, which the search lowers.
            scores: of the group's test points as they are.
            points: test points by row, as the threat models change them.
        """
        return {} if self.worst_case is None else {ROBUST: self._worst(self.worst_case, energy, group, scores, points)}

    def _worst(
        self,
        search: WorstCase,
        energy: Energy,
        group: Group,
        scores: Scores,
        points: Callable[[NDArray[np.intp]], Array],
    ) -> GroupScores:
        """Normal points as they are, anomalies at the worst that the search finds."""
        chosen = search.chosen(group.anomalous)
        normal = scores[~group.anomalous]
        if not len(chosen) or not len(normal):  # nothing to rank, which the metrics say
            return GroupScores(scores=scores, anomalous=group.anomalous)
        rng = np.random.default_rng(derive_seed(ROBUST, self.name, self.version))
        worst = search(
            energy, points(chosen), own=scores[chosen], normal=normal, train=self.normal_points(group), rng=rng
        )
        anomalous = np.arange(len(normal) + len(chosen)) >= len(normal)
        return GroupScores(scores=np.concatenate([normal, worst]), anomalous=anomalous)

    def normal_points(self, group: Group) -> Array:
        """Its training points in the units of its test points."""
        return group.train

    def kept(self, name: str, group: GroupScores) -> dict[str, NDArray[Any]]:
        """The part of a group's scores that is kept for pictures, by kind."""
        return {"scores": group.scores, "anomalous": group.anomalous}

    def _unscored(self, reason: str) -> Evaluation:
        return Evaluation(scores={}, notes={metric.name: reason for metric in self.metrics}, protocols={})

    def evaluate_samples(self, samples: NDArray[Any], *, progress: Callable[[str], None]) -> Evaluation:
        raise NothingMeasured(f"{self.name} scores the energies of a model on its test points, not samples")

    def pictures(self, arrays: Mapping[str, NDArray[Any]]) -> list[CaptionedFigure]:
        return detection_pictures(arrays)
