"""Parts that metrics on features share: which features they read, of how many samples, against which reference."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from dxbench.api import Estimate, EvaluationInputs, MetricProtocol, NotApplicable
from dxbench.metrics.images.frechet import Moments
from dxbench.metrics.images.neighbours import DEFAULT_TILING, Tiling
from dxbench.metrics.scoring import NoSamples

Features = NDArray[np.floating]
Images = NDArray[np.uint8]
Extract = Callable[[Images], dict[str, Features]]


@dataclass(frozen=True, kw_only=True)
class FeatureKind:
    """One kind of features an extractor gives.

    Attributes:
        dim: how many numbers per image.
        frechet: what a Frechet distance of these features is called: "fid" is that of the 2015 Inception alone.
        kernel: what a kernel distance of them is called.
        quantisation: what is done to samples before they are extracted, for the protocol.
        fields: what changes this kind alone, for the protocol, beside the fields of the extractor.
        lacking: why weights may be without it, where they may: it ends a sentence that begins with the metric.
    """

    dim: int
    frechet: str = "fd"
    kernel: str = "kd"
    quantisation: str = "round to uint8"
    fields: Mapping[str, JsonValue] = field(default_factory=dict)
    lacking: str = ""


class FeatureExtractor(Protocol):
    """A fixed network from images to features, all kinds in one forward pass."""

    @property
    def name(self) -> str: ...

    @property
    def kinds(self) -> Mapping[str, FeatureKind]: ...

    @property
    def fields(self) -> dict[str, JsonValue]:
        """All that changes its features: weights by sha256, resize, normalisation, dtype."""
        ...

    def load(self, device: str) -> Extract:
        """A function from uint8 images [b, H, W, C] to float32 features [b, dim] by kind.

        Kinds that say what may be `lacking` are left out where it is.

        Raises:
            MissingData: without the weights, naming the `dxbench prepare` command.
            InvalidFile: if the weights are damaged or others.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class FeatureSet:
    """The features of one kind of one extractor."""

    extractor: FeatureExtractor
    kind: str

    @property
    def dim(self) -> int:
        return self.extractor.kinds[self.kind].dim

    @property
    def fields(self) -> dict[str, JsonValue]:
        kind = self.extractor.kinds[self.kind]
        return {**self.extractor.fields, **kind.fields, "features": self.kind, "dim": self.dim}


class FeatureSource(Protocol):
    """Images, or what is left of them: one side of a comparison."""

    @property
    def n(self) -> int | None:
        """The number of images; None for statistics that do not say."""
        ...

    def features(self, which: FeatureSet) -> Features:
        """[n, dim]; raises NotApplicable where only moments are at hand."""
        ...

    def moments(self, which: FeatureSet) -> Moments: ...


@dataclass(frozen=True, kw_only=True)
class FeatureInputs(EvaluationInputs):
    """EvaluationInputs with features of the samples; `reference` maps names of references to feature sources.

    Every extractor runs once over the images, whatever number of metrics read it.

    Attributes:
        start_features: of `start_samples`, where there are any.
        device: where distances are computed; rounding never decides, so it changes no number.
    """

    features: FeatureSource
    start_features: FeatureSource | None = None
    device: str = "cpu"

    def of_start(self) -> EvaluationInputs:
        start = super().of_start()
        assert self.start_features is not None
        return replace(start, features=self.start_features, start_features=None)  # type: ignore[call-arg]


@dataclass(frozen=True, kw_only=True)
class FeatureMetric(ABC):
    """Base of metrics on features: a name that carries N, and a protocol with what all of them fix.

    Attributes:
        evaluator: the named protocol it belongs to, with its version, such as "adm@1".
        features: what it reads.
        num_samples: exactly how many samples it is of.
        suffix: tells apart what would have one name, such as two references.
        labels: of which classes the samples are, for tasks with classes.
    """

    evaluator: str
    features: FeatureSet
    num_samples: int
    suffix: str = ""
    labels: str | None = None

    @property
    @abstractmethod
    def stem(self) -> str:
        """The name without suffix and N."""

    @property
    @abstractmethod
    def choices(self) -> dict[str, JsonValue]:
        """Fields of the protocol beyond features, number and quantisation."""

    @property
    def name(self) -> str:
        return f"{self.stem}{'_' if self.suffix else ''}{self.suffix}@{short_count(self.num_samples)}"

    @property
    def title(self) -> str:
        return self.name

    @property
    def protocol(self) -> MetricProtocol:
        common: dict[str, JsonValue] = {
            "evaluator": self.evaluator,
            **self.features.fields,
            "n_samples": self.num_samples,
            "quantisation": self.features.extractor.kinds[self.features.kind].quantisation,
        }
        if self.labels is not None:
            common["labels"] = self.labels
        return MetricProtocol(name=self.name, version=1, fields={**common, **self.choices})

    @abstractmethod
    def measure(self, inputs: EvaluationInputs) -> Estimate:
        """Measure, as `dxbench.api.Metric` asks."""

    def generated(self, inputs: EvaluationInputs) -> FeatureSource:
        """The samples, exactly `num_samples` of them; raises NotApplicable otherwise."""
        if not isinstance(inputs, FeatureInputs):
            raise NoSamples
        return exactly(inputs.features, self.num_samples, "samples")


def exactly(source: FeatureSource, n: int, what: str) -> FeatureSource:
    """The source, if it is of exactly n images.

    Raises:
        NotApplicable: otherwise: a Frechet distance of fewer images is larger, one of more is smaller.
    """
    if source.n is None:
        raise NotApplicable(f"needs exactly {n:,} {what}; the statistics do not say how many they are of")
    if source.n != n:
        raise NotApplicable(f"needs exactly {n:,} {what}, got {source.n:,}")
    return source


def tiling(inputs: EvaluationInputs) -> Tiling:
    """The way that distances are computed for this inputs."""
    return Tiling(device=inputs.device) if isinstance(inputs, FeatureInputs) else DEFAULT_TILING


def short_count(n: int) -> str:
    """50,000 as "50k", 1,797 as "1797"."""
    return f"{n // 1000}k" if n >= 1000 and n % 1000 == 0 else str(n)
