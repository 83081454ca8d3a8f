"""Metrics on features under the names and protocols that a task has published them by."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from pydantic import JsonValue

from dxbench.api import Estimate, EvaluationInputs, MetricProtocol, NotApplicable, Recheck
from dxbench.features.sources import PartOf
from dxbench.metrics.images.classes import ClassShare
from dxbench.metrics.images.features import FeatureInputs, FeatureMetric
from dxbench.metrics.images.fidelity import FrechetDistance, NearestTrain
from dxbench.metrics.images.frechet import array_moments, frechet_distance
from dxbench.metrics.images.neighbours import nearest_distances
from dxbench.metrics.points.modes import share_tolerance
from dxbench.metrics.scoring import NoSamples, repeated, require_part

M = TypeVar("M", bound=FeatureMetric)


@dataclass(frozen=True, kw_only=True)
class Published(Generic[M]):
    """A metric on features of the first samples, or the mean and std over consecutive blocks of them.

    Attributes:
        metric: what is measured, of `metric.num_samples` samples.
        fields: of the protocol, which say it in the task's own words.
        num_blocks: of as many samples each.
    """

    metric: M
    name: str
    title: str
    fields: tuple[tuple[str, JsonValue], ...]
    num_blocks: int = 1

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(name=self.name, version=1, fields=dict(self.fields))

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        if not isinstance(inputs, FeatureInputs):
            raise NoSamples
        protocol = self.protocol
        estimates = [self.metric.measure(block) for block in self._blocks(inputs)]
        if self.num_blocks == 1:
            return estimates[0].model_copy(update={"fingerprint": protocol.fingerprint})
        first, values = estimates[0], [estimate.value for estimate in estimates]
        return repeated(protocol, values, better=first.better, unit=first.unit)

    def _blocks(self, inputs: FeatureInputs) -> Iterator[FeatureInputs]:
        n, size = inputs.features.n, self.metric.num_samples
        if n is None or n < self.num_blocks * size:
            raise NotApplicable(f"needs {self.num_blocks * size:,} samples, got {n or 0:,}")
        if n == size:
            yield inputs
            return
        for rows in np.split(np.arange(self.num_blocks * size), self.num_blocks):
            yield replace(inputs, features=PartOf(inputs.features, rows))


class PublishedFrechet(Published[FrechetDistance]):
    """A Frechet distance that a part of the samples confirms or refutes."""

    def recheck(self, inputs: EvaluationInputs) -> Recheck:
        """The root is a distance of Gaussians and obeys the triangle inequality (Dowson & Landau 1982).

        So all samples lie from the reference as far as the part does, but for the distance of the part from all
        samples; two halves of the part are further apart than that.
        """
        require_part(inputs)
        assert isinstance(inputs, FeatureInputs)
        of = self.metric.features
        features = inputs.features.features(of)
        value = frechet_distance(inputs.features.moments(of), inputs.reference[self.metric.reference].moments(of))
        halves = frechet_distance(array_moments(features[::2]), array_moments(features[1::2]))
        low, high = (max(0.0, value**0.5 + sign * halves**0.5) ** 2 for sign in (-1, 1))
        return Recheck(value=value, low=low, high=high)


class PublishedNearestTrain(Published[NearestTrain]):
    """A mean distance to the nearest training image that a part of the samples confirms or refutes."""

    def recheck(self, inputs: EvaluationInputs) -> Recheck:
        """The error of a mean, five standard errors wide."""
        require_part(inputs)
        assert isinstance(inputs, FeatureInputs)
        distances = nearest_distances(
            inputs.features.features(self.metric.features), self.metric.train_features(inputs)
        )
        value, tolerance = float(distances.mean()), 5 * float(distances.std(ddof=1)) / len(distances) ** 0.5
        return Recheck(value=value, low=value - tolerance, high=value + tolerance)


class PublishedClassShare(Published[ClassShare]):
    """An extreme share of a class that a part of the samples confirms or refutes."""

    def recheck(self, inputs: EvaluationInputs) -> Recheck:
        """The extreme of shares moves by no more than the share that moves most."""
        part = len(require_part(inputs))
        assert isinstance(inputs, FeatureInputs)
        shares = self.metric.shares(inputs.features)
        value = self.metric.of(shares)
        tolerance = max(share_tolerance(share, part) for share in shares.tolist())
        return Recheck(value=value, low=value - tolerance, high=value + tolerance)
