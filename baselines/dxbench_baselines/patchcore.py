"""PatchCore: distance to the nearest of a few training features that cover all of them.

Roth et al. 2022, arXiv:2106.08265. The memory bank is a greedy k-centre coreset (Sener & Savarese 2018,
arXiv:1708.00489): from a random first point, always the point furthest from those chosen, `share` of all points;
distances of the selection are of random projections to `projected` dimensions (Johnson-Lindenstrauss). One choice is
one step of training.

Deviations: features are what the task gives, for every method the same, so without the 3 x 3 average over
WideResNet-50's second and third block; the image score is the task's, without the paper's weight by the neighbours of
the nearest feature. Distances are computed in tiles, so that no matrix of all pairs is ever held.
"""

import math
from functools import partial
from typing import Any

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from dxbench.api import Compute, Config, FiniteData, Method, Model, Need, Problem, RandomStreams, Training
from dxmi.arrays import PerSample, Points

ROWS = 2048  # of a tile of distances


class PatchCoreConfig(Config):
    """Settings of the memory bank."""

    share: float = Field(default=0.1, gt=0, le=1, description="of the training points that are kept")
    projected: PositiveInt = Field(default=128, description="dimensions in which points are chosen")


class PatchCore(Method):
    """Distance to a greedy k-centre coreset of the training features."""

    name = "patchcore"
    version = 1
    family = "detector"
    citation = "Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler 2022, arXiv:2106.08265"
    Config = PatchCoreConfig
    recipes = ".recipes.patchcore"
    needs = frozenset({Need.TRAINING_DATA, Need.FINITE_DATA})

    def start(self, problem: Problem, config: PatchCoreConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return PatchCoreTraining(problem, config, compute, rng)


class KCentre:
    """Greedy k-centre selection, one point at a time (a 2-approximation of the optimal covering radius).

    Attributes:
        chosen: rows chosen so far.
        distances: of every point to the nearest chosen one, squared, [n].
    """

    def __init__(self, points: Points, first: int) -> None:
        self._points = points
        self.chosen = [first]
        self.distances = (points - points[first]).square().sum(dim=1)

    def step(self) -> Tensor:
        """Choose the point furthest from the chosen; its distance, the radius that they covered all within."""
        furthest = int(self.distances.argmax())
        radius = self.distances[furthest].sqrt()
        self.chosen.append(furthest)
        reached = (self._points - self._points[furthest]).square().sum(dim=1)
        self.distances = torch.minimum(self.distances, reached)
        return radius


class PatchCoreTraining(Training):
    """One chosen point per step."""

    def __init__(self, problem: Problem, config: PatchCoreConfig, compute: Compute, rng: RandomStreams) -> None:
        assert isinstance(problem.data, FiniteData)
        self.device = compute.device
        self.points = problem.data.points.flatten(1)
        self.size = max(1, round(config.share * len(self.points)))
        self.coreset = KCentre(
            self._projected(config.projected, rng).to(self.device),
            int(rng.numpy("first").integers(len(self.points))),
        )

    def _projected(self, dims: int, rng: RandomStreams) -> Points:
        width = self.points.shape[1]
        if dims >= width:
            return self.points
        return self.points @ (torch.randn((width, dims), generator=rng.torch("projection")) / math.sqrt(dims))

    @property
    def total_steps(self) -> int:
        return self.size - 1

    def step(self) -> dict[str, float | Tensor]:
        return {"covering_radius": self.coreset.step()}

    def state_dict(self) -> dict[str, Any]:
        return {"chosen": torch.tensor(self.coreset.chosen), "distances": self.coreset.distances}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.coreset.chosen = state["chosen"].tolist()
        self.coreset.distances = state["distances"].to(self.device)

    def model(self) -> Model:
        return Model(energy=partial(distance_to_bank, bank=self.points[self.coreset.chosen].to(self.device)))


def distance_to_bank(x: Points, *, bank: Points) -> PerSample:
    """Distance of points [b, *event] to the nearest of the memory bank [n, D]."""
    return torch.cat([nearest_distance(rows, bank) for rows in x.flatten(1).to(bank).split(ROWS)])


def nearest_distance(x: Points, bank: Points, *, columns: int = 8192) -> PerSample:
    """Distance to the nearest of the bank: found by products in tiles, then measured without their rounding."""
    least, nearest = torch.full((len(x),), math.inf, device=x.device), torch.zeros_like(x[:, 0], dtype=torch.int64)
    for start in range(0, len(bank), columns):
        distances, index = torch.cdist(x, bank[start : start + columns]).min(dim=1)
        closer = distances < least
        least = torch.where(closer, distances, least)
        nearest = torch.where(closer, index + start, nearest)
    return (x - bank[nearest]).norm(dim=1)
