"""Metrics: protocols, estimates, and what a metric sees of a model."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pydantic import Field, JsonValue

if TYPE_CHECKING:
    import numpy as np

from dxbench.api.values import Direction, Frozen, Natural, NonNegative, Positive, Settings, short_hash


class MetricProtocol(Frozen):
    """Every choice that changes a metric's value. Numbers may be ranked together only if these are equal."""

    name: str
    version: Natural
    fields: Settings

    @property
    def fingerprint(self) -> str:
        return short_hash(self.model_dump(mode="json"), digits=16)


class Estimate(Frozen):
    """One measured number.

    Attributes:
        value: the mean over `n` measurements of one trained model.
        std: standard deviation (ddof 1) over them; None where n = 1.
        better: which way is good; "none" for a number that is no merit, such as a share with a target.
        fingerprint: of the protocol it was measured by.
        parts: the numbers that `value` is the unweighted mean of, by name of category or data set.
    """

    value: float
    std: NonNegative | None = None
    n: Positive = 1
    unit: str = ""
    better: Direction
    fingerprint: str
    parts: dict[str, float] = Field(default_factory=dict)

    @property
    def standard_error(self) -> float | None:
        return None if self.std is None else self.std / self.n**0.5


@dataclass(frozen=True, kw_only=True)
class EnergyCalls:
    """Points that a method called a given energy at; a gradient counts as one call more.

    Attributes:
        training: points, in the whole training.
        sampling: points per sample.
    """

    training: int
    sampling: float


@dataclass(frozen=True, kw_only=True)
class EvaluationInputs:
    """Everything that metrics see of one model: its draws, its energy, and the task's reference.

    Attributes:
        samples: [n, *event] draws, or None for a model that cannot sample.
        energy: E(x) of [b, *event] points as float64 [b], low = likely; None for a model without one.
        temperature: p is proportional to exp(-E / temperature); None where the energy has no scale.
        nfe: counted network evaluations per sample; None without samples.
        reference: the task's truth; a metric states which of its attributes it reads.
        start_samples: draws of the model that training began from, or None where there is no such model.
        scores: what the task itself made of the energy at its test points, once for all metrics; their form is
            the task's. None where the task makes nothing of it.
        log_weights: [n] nats, of draws from exp(-E) over the model's density (`Model.weighted_sampler`); None for a
            model without.
        calls: of a given energy; None for samples of a file, and where no energy is given.
    """

    samples: "np.ndarray | None"
    energy: "Callable[[np.ndarray], np.ndarray] | None"
    temperature: float | None
    nfe: float | None
    reference: Any
    start_samples: "np.ndarray | None" = None
    scores: Any = None
    log_weights: "np.ndarray | None" = None
    calls: EnergyCalls | None = None

    def of_start(self) -> "EvaluationInputs":
        """The same of the model that training began from; raises NotApplicable where there is none."""
        if self.start_samples is None:
            raise NotApplicable("the model was not fine-tuned from another")
        return replace(self, samples=self.start_samples, start_samples=None, energy=None, log_weights=None, calls=None)


class NotApplicable(Exception):
    """Raised by a metric that has nothing to measure here; the message becomes the record's note."""


class Metric(Protocol):
    """One number with its protocol. Metrics are plain objects; a task lists those it scores by."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def protocol(self) -> MetricProtocol: ...

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        """Raises NotApplicable where the inputs lacks what it needs."""
        ...


class MetricCard(Frozen):
    """Facts of a metric without which its number says nothing.

    Attributes:
        summary: what is measured, in a sentence.
        unit: "" for a number without one, such as a share or a distance between features.
        low: the least value possible; None where there is none.
        high: the largest value possible; None where there is none.
        better: as `Estimate.better`.
        source: who defined it, and where.
    """

    summary: str = Field(min_length=1)
    unit: str
    low: float | None
    high: float | None
    better: Direction
    source: str = Field(min_length=1)

    @property
    def range(self) -> str:
        """The interval as "low to high"."""
        left = "(−∞" if self.low is None else f"[{self.low:g}"
        right = "∞)" if self.high is None else f"{self.high:g}]"
        return f"{left}, {right}"


@runtime_checkable
class DescribedMetric(Metric, Protocol):
    """A metric that says what it measures; one that does not is listed by its title."""

    @property
    def card(self) -> MetricCard: ...


@runtime_checkable
class AdjustableMetric(Metric, Protocol):
    """A metric that samples can be scored by again with its protocol changed."""

    def with_field(self, field: str, value: JsonValue) -> "AdjustableMetric":
        """The metric with one field of its protocol changed; fields that hang on the same choice change with it.

        Raises NotApplicable if no choice of the metric gives the field this value.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Recheck:
    """A metric measured again on a uniformly random part of the samples.

    Attributes:
        value: what the part gives.
        low: least value that all samples may honestly have.
        high: largest such value; None where a few samples that the part misses may carry any weight.
    """

    value: float
    low: float
    high: float | None


@runtime_checkable
class Recheckable(Protocol):
    """A metric of samples that a part of them can confirm or refute."""

    @property
    def name(self) -> str: ...

    def recheck(self, inputs: EvaluationInputs) -> Recheck:
        """`inputs.samples` is the part. Raises NotApplicable where it is too small."""
        ...
