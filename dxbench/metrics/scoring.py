"""Parts that metrics share: taking inputs, giving estimates, and being run one after the other."""

from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from dxbench.api import (
    Direction,
    Estimate,
    EvaluationInputs,
    Metric,
    MetricProtocol,
    NotApplicable,
    Recheck,
    Recheckable,
    Task,
)
from dxbench.errors import NothingMeasured
from dxbench.threads import fix_threads

Array = NDArray[np.float64]


class NoSamples(NotApplicable):
    """A metric of samples met a model without any."""

    def __init__(self) -> None:
        super().__init__("the model does not sample")


def needs_samples(metric: Metric) -> bool:
    """True where a metric has no number for a model that does not sample; so it is where it does not say."""
    nothing = EvaluationInputs(samples=None, energy=None, temperature=None, nfe=None, reference=None)
    try:
        metric.measure(nothing)
    except NoSamples:
        return True
    except NotApplicable:
        return False
    except Exception:  # a metric from elsewhere, of which nobody knows what it takes
        return True
    return False


def require_samples(inputs: EvaluationInputs, n: int) -> Array:
    """The first n samples, [n, *event].

    Raises:
        NotApplicable: if the model does not sample, or there are fewer.
    """
    if inputs.samples is None:
        raise NoSamples
    if len(inputs.samples) < n:
        raise NotApplicable(f"needs {n:,} samples, got {len(inputs.samples):,}")
    return inputs.samples[:n]


def require_part(inputs: EvaluationInputs, *, at_least: int = 1000) -> Array:
    """All samples of a part, [n, *event].

    Raises:
        NotApplicable: if the model does not sample, or they are too few to say anything.
    """
    require_samples(inputs, at_least)
    assert inputs.samples is not None
    return inputs.samples


def require_energy(inputs: EvaluationInputs) -> Callable[[Array], Array]:
    """The energy function.

    Raises:
        NotApplicable: if the model has none.
    """
    if inputs.energy is None:
        raise NotApplicable("the model has no energy")
    return inputs.energy


def single(protocol: MetricProtocol, value: float, *, better: Direction, unit: str = "") -> Estimate:
    """A number measured once."""
    return Estimate(value=float(value), better=better, unit=unit, fingerprint=protocol.fingerprint)


def repeated(protocol: MetricProtocol, values: Sequence[float], *, better: Direction, unit: str = "") -> Estimate:
    """Mean and std (ddof 1) of a number measured several times on one model."""
    return Estimate(
        value=float(np.mean(values)),
        std=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        n=len(values),
        unit=unit,
        better=better,
        fingerprint=protocol.fingerprint,
    )


def score(
    metrics: Sequence[Metric], inputs: EvaluationInputs, *, progress: Callable[[str], None]
) -> tuple[dict[str, Estimate], dict[str, str], dict[str, MetricProtocol]]:
    """Scores by metric name, notes for metrics that do not apply, protocols by fingerprint.

    Raises:
        NothingMeasured: if a metric is not finite.
    """
    scores: dict[str, Estimate] = {}
    notes: dict[str, str] = {}
    protocols: dict[str, MetricProtocol] = {}
    for metric in metrics:
        progress(f"measuring {metric.name}")
        try:
            scores[metric.name] = metric.measure(inputs)
        except NotApplicable as reason:
            notes[metric.name] = str(reason)
            continue
        except ValidationError as refusal:  # an `Estimate` takes finite numbers alone
            if any(error["type"] != "finite_number" for error in refusal.errors()):
                raise
            value = refusal.errors()[0]["input"]
            raise NothingMeasured(f"{metric.name} comes out as {value}, no finite number") from None
        protocols[metric.protocol.fingerprint] = metric.protocol
    return scores, notes, protocols


def recompute(task: Task, samples: Array, *, progress: Callable[[str], None]) -> dict[str, Estimate]:
    """Scores that all of a model's samples, [n, *event], give by themselves.

    Raises:
        NothingMeasured: if a metric is not finite.
    """
    fix_threads(task.threads)
    try:
        inputs = task.inputs_of(samples)
    except NotApplicable:
        return {}
    return score(task.metrics, inputs, progress=progress)[0]


def spot_check(task: Task, samples: Array) -> dict[str, Recheck]:
    """Measure, by metric, what a uniformly random part of a model's samples, [n, *event], says.

    A metric that is not named cannot be rechecked from a part.
    """
    found: dict[str, Recheck] = {}
    fix_threads(task.threads)
    try:
        inputs = task.inputs_of(samples)
    except NotApplicable:
        return found
    for metric in task.metrics:
        if isinstance(metric, Recheckable):
            with suppress(NotApplicable):
                found[metric.name] = metric.recheck(inputs)
    return found
