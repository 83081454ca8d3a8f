"""Metrics of the classes that a net sees in samples: whether one is lost, and whether samples are of theirs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from dxbench.api import Estimate, EvaluationInputs
from dxbench.metrics.images.features import FeatureMetric, FeatureSource
from dxbench.metrics.scoring import single

Classes = NDArray[np.int64]
ASSIGNMENT = "largest logit"


@dataclass(frozen=True, kw_only=True)
class ClassMetric(FeatureMetric):
    """Base of what reads `logits` of a classifier as `features`."""

    def assigned(self, source: FeatureSource) -> NDArray[np.intp]:
        """The class of each image, [n]."""
        return source.features(self.features).argmax(axis=1)


@dataclass(frozen=True, kw_only=True)
class ClassShare(ClassMetric):
    """Smallest or largest share of samples that the net calls one class; all of them alike is right."""

    extreme: Literal["min", "max"]

    @property
    def stem(self) -> str:
        return f"class_share_{self.extreme}"

    @property
    def title(self) -> str:
        return f"{self.extreme} class share"

    @property
    def choices(self) -> dict[str, JsonValue]:
        return {"assignment": ASSIGNMENT, "extreme": self.extreme}

    def shares(self, source: FeatureSource) -> NDArray[np.float64]:
        """The shares of every class, [classes]."""
        classes = self.assigned(source)
        return np.bincount(classes, minlength=self.features.dim) / len(classes)

    def of(self, shares: NDArray[np.float64]) -> float:
        """The extreme of shares."""
        return float(shares.min() if self.extreme == "min" else shares.max())

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        value = self.of(self.shares(self.generated(inputs)))
        return single(self.protocol, value, better="higher" if self.extreme == "min" else "lower")


@dataclass(frozen=True, kw_only=True)
class ClassAccuracy(ClassMetric):
    """Share of samples that the net calls the class they were drawn of, by `labels`.

    Attributes:
        wanted: the class of each sample, [num_samples].
    """

    wanted: Callable[[], Classes]

    @property
    def stem(self) -> str:
        return "class_accuracy"

    @property
    def choices(self) -> dict[str, JsonValue]:
        return {"assignment": ASSIGNMENT}

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        right = self.assigned(self.generated(inputs)) == self.wanted()
        return single(self.protocol, float(right.mean()), better="higher")
