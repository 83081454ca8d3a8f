"""Metrics of energies against the truth: discrimination, divergence, ranking."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dxbench.api import Estimate, EvaluationInputs, MetricProtocol, NotApplicable
from dxbench.metrics.detection.ranking import auroc
from dxbench.metrics.points.densities import GaussianMixture
from dxbench.metrics.scoring import repeated, require_energy, single

Array = NDArray[np.float64]
Points = NDArray[Any]


class HasEnergyReference(Protocol):
    """A reference with a truth, and sets of test draws and of uniform draws over a square, [n, 2] each."""

    mixture: GaussianMixture
    test_draws: Sequence[Array]
    uniform_draws: Sequence[Array]


def _square(box: tuple[float, float]) -> str:
    return f"[{box[0]:g}, {box[1]:g}]^2"


@dataclass(frozen=True, kw_only=True)
class EnergyAUC:
    """AUROC of -E on test draws (positive) against uniform draws over the domain (arXiv:2407.00626, App. C.1).

    10,000 against 10,000, as the paper; mean and std over disjoint pairs of draws, because one pair moves the
    ideal itself by 0.002.
    """

    name: str = "energy_auc"
    title: str = "energy AUC"
    num_draws: int = 10_000
    repeats: int = 5
    box: tuple[float, float] = (-4.0, 4.0)
    reference: str

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(
            name=self.name,
            version=1,
            fields={
                "score": "-E",
                "positive": f"{self.num_draws:,} test draws",
                "negative": f"{self.num_draws:,} uniform draws on {_square(self.box)}",
                "repeats": f"{self.repeats} disjoint pairs",
                "reference": self.reference,
                "ties": "half",
            },
        )

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        energy = require_energy(inputs)
        reference: HasEnergyReference = inputs.reference
        pairs = zip(reference.test_draws, reference.uniform_draws, strict=True)
        values = [auroc(normal=energy(test), anomalous=energy(uniform)) for test, uniform in pairs]
        return repeated(self.protocol, values, better="higher")


@dataclass(frozen=True, kw_only=True)
class SetAUC:
    """AUROC of -E, one set of points (positive) against another (negative).

    Attributes:
        against: what the others are in a word, for the name.
        positive: the first set, for the protocol.
        negative: the other, for the protocol.
        normal: reads the first set, [n, *event].
        others: reads the other, [m, *event].
    """

    against: str
    positive: str
    negative: str
    normal: Callable[[], Points]
    others: Callable[[], Points]

    @property
    def name(self) -> str:
        return f"energy_auc_{self.against}"

    @property
    def title(self) -> str:
        return f"energy AUC against {self.against}"

    @property
    def protocol(self) -> MetricProtocol:
        fields = {"score": "-E", "positive": self.positive, "negative": self.negative, "ties": "half"}
        return MetricProtocol(name=self.name, version=1, fields=dict(fields))

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        energy = require_energy(inputs)
        value = auroc(normal=energy(self.normal()), anomalous=energy(self.others()))
        return single(self.protocol, value, better="higher")


@dataclass(frozen=True, kw_only=True)
class EnergyKL:
    """KL(p || q), q proportional to exp(-E / temperature), both normalised on a grid over the domain; nats."""

    name: str = "energy_kl"
    title: str = "energy KL [nats]"
    grid: int = 400
    box: tuple[float, float] = (-4.0, 4.0)
    reference: str

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(
            name=self.name,
            version=1,
            fields={
                "divergence": "KL(p || q), q = exp(-E / temperature) / Z",
                "domain": _square(self.box),
                "grid": f"{self.grid} x {self.grid} cell centres",
                "reference": self.reference,
            },
        )

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        from scipy.special import log_softmax

        energy = require_energy(inputs)
        if inputs.temperature is None or inputs.temperature <= 0:
            raise NotApplicable("no temperature: exp(-E / tau) is not defined at tau = 0")
        reference: HasEnergyReference = inputs.reference
        x = grid_points(self.box, self.grid)
        log_p: Array = log_softmax(reference.mixture.log_prob(x))
        log_q: Array = log_softmax(-energy(x) / inputs.temperature)
        return single(self.protocol, float(np.exp(log_p) @ (log_p - log_q)), better="lower", unit="nats")


@dataclass(frozen=True, kw_only=True)
class EnergyRank:
    """Spearman correlation of -E with the true log density, over test and uniform draws together."""

    name: str = "energy_rank"
    title: str = "energy rank correlation"
    num_draws: int = 10_000
    box: tuple[float, float] = (-4.0, 4.0)
    reference: str

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(
            name=self.name,
            version=1,
            fields={
                "correlation": "Spearman of -E and log p",
                "points": f"{self.num_draws:,} test draws and {self.num_draws:,} uniform draws on {_square(self.box)}",
                "reference": self.reference,
            },
        )

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        from scipy.stats import rankdata

        energy = require_energy(inputs)
        reference: HasEnergyReference = inputs.reference
        x = np.concatenate([reference.test_draws[0], reference.uniform_draws[0]])
        energies = energy(x)
        if np.ptp(energies) == 0:
            raise NotApplicable("the energy is constant, its ranks are undefined")
        ranks = rankdata([-energies, reference.mixture.log_prob(x)], axis=1)
        return single(self.protocol, np.corrcoef(ranks)[0, 1], better="higher")


def grid_points(box: tuple[float, float], cells: int) -> Array:
    """Centres of cells x cells squares over the box, [cells^2, 2], second coordinate running fastest."""
    low, high = box
    centres = low + (high - low) * (np.arange(cells) + 0.5) / cells
    return np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1).reshape(-1, 2)
