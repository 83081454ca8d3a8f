"""Metrics of samplers of a given energy: energies of samples, log weights, and how often the energy was called."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dxbench.api import Estimate, EvaluationInputs, MetricProtocol, NotApplicable
from dxbench.metrics.adjust import Adjustable, Choice, whole
from dxbench.metrics.scoring import require_samples, single

Array = NDArray[np.float64]


class HasEnergy(Protocol):
    """A reference that knows the energy and draws of its law."""

    test_draws: Sequence[Array]
    energy: Callable[[Array], Array]
    log_z: float | None
    """log of the integral of exp(-E), nats; None where nobody knows it."""


def total_variation(x: Array, y: Array, edges: Array) -> float:
    """Half the sum of |p - q| over the bins between `edges`, and over the two beyond them."""
    inner = [np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) / len(values) for values in (x, y)]
    return float(0.5 * np.abs(inner[0] - inner[1]).sum())


@dataclass(frozen=True, kw_only=True)
class EnergyTV(Adjustable):
    """Total variation of histograms of energies, of samples against test draws.

    Bins are equal between two quantiles of the energies of the test draws, with one bin beyond each.
    """

    choices: ClassVar = {
        "n_samples": Choice(attribute="num_samples", read=whole),
        "bins": Choice(attribute="bins", read=whole),
    }
    name: str = "energy_tv"
    title: str = "total variation of energies"
    num_samples: int = 10_000
    bins: int = 100
    tail: float = 1e-3
    reference: str

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(
            name=self.name,
            version=1,
            fields={
                "bins": self.bins,
                "edges": f"equal between quantiles {self.tail:g} and {1 - self.tail:g} of reference, one beyond each",
                "n_samples": self.num_samples,
                "reference": self.reference,
            },
        )

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        samples = require_samples(inputs, self.num_samples)
        reference: HasEnergy = inputs.reference
        true = reference.energy(np.concatenate(list(reference.test_draws)))
        low, high = np.quantile(true, [self.tail, 1 - self.tail])
        edges = np.linspace(low, high, self.bins + 1)
        return single(self.protocol, total_variation(reference.energy(samples), true, edges), better="lower")


def require_log_weights(inputs: EvaluationInputs) -> Array:
    """The log weights, [n].

    Raises:
        NotApplicable: if the model gives none.
    """
    if inputs.log_weights is None:
        raise NotApplicable("the model gives no log weights")
    return inputs.log_weights


def log_sum_exp(logs: Array) -> float:
    """The log of the sum of exponentials, of [n]."""
    from scipy.special import logsumexp  # slow to import: naming a metric takes none

    return float(np.asarray(logsumexp(logs)))


def effective_share(log_weights: Array) -> float:
    """(sum w)^2 / (n sum w^2): the share of n weighted samples that as good unweighted ones would be (Kish 1965)."""
    squared_sum, sum_of_squares = 2 * log_sum_exp(log_weights), log_sum_exp(2 * log_weights)
    return float(np.exp(squared_sum - sum_of_squares)) / len(log_weights)


def log_mean_exp(log_weights: Array) -> float:
    """The log of the mean weight, an estimate of log Z."""
    return log_sum_exp(log_weights) - math.log(len(log_weights))


@dataclass(frozen=True, kw_only=True)
class EffectiveShare:
    """Effective sample size of a model's weighted samples, as a share of their number."""

    name: str = "ess"
    title: str = "effective sample size, as a share"
    reference: str

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(
            name=self.name,
            version=1,
            fields={"formula": "(sum w)^2 / (n sum w^2), samples of the model", "reference": self.reference},
        )

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        return single(self.protocol, effective_share(require_log_weights(inputs)), better="higher")


@dataclass(frozen=True, kw_only=True)
class LogZError:
    """Absolute error of the log Z that a model's weighted samples, or the evidence bound, estimate.

    Attributes:
        bound: the mean of log weights, which is below log Z on average; else the log of the mean weight.
    """

    bound: bool = False
    reference: str

    @property
    def name(self) -> str:
        return "elbo_error" if self.bound else "log_z_error"

    @property
    def title(self) -> str:
        return "|ELBO − log Z|" if self.bound else "|error of log Z|"

    @property
    def protocol(self) -> MetricProtocol:
        estimate = "mean of log w" if self.bound else "log of the mean of w"
        return MetricProtocol(
            name=self.name,
            version=1,
            fields={"formula": f"|{estimate} - log Z|, samples of the model", "reference": self.reference},
        )

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        weights = require_log_weights(inputs)
        reference: HasEnergy = inputs.reference
        if reference.log_z is None:
            raise NotApplicable("nobody knows the log Z of this energy")
        if self.bound and not np.isfinite(weights).all():
            raise NotApplicable("a sample has weight 0, so that the bound is minus infinity")
        estimate = float(weights.mean()) if self.bound else log_mean_exp(weights)
        return single(self.protocol, abs(estimate - reference.log_z), better="lower", unit="nats")


@dataclass(frozen=True, kw_only=True)
class CallsOfEnergy:
    """Points that a method asked the given energy of, in training or per sample; a gradient is one call more."""

    when: Literal["training", "sampling"]
    reference: str

    @property
    def name(self) -> str:
        return f"{self.when}_calls"

    @property
    def title(self) -> str:
        return "energy calls in training" if self.when == "training" else "energy calls per sample"

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(
            name=self.name,
            version=1,
            fields={"counts": "points, and once more where a gradient is taken", "reference": self.reference},
        )

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        if inputs.calls is None:
            raise NotApplicable("nobody counted how often the energy was called")
        return single(self.protocol, getattr(inputs.calls, self.when), better="lower")
