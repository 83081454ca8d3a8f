"""Lost, swollen and invented modes of a mixture with known centres."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from dxbench.api import Estimate, Evidence, MetricProtocol
from dxbench.metrics.adjust import Adjustable, Choice, positive, whole
from dxbench.metrics.scoring import require_samples, single
from dxbench.metrics.sliced import HasMixture


def _distances(evidence: Evidence, num_samples: int) -> np.ndarray:
    """[n, modes] distances of the first n samples to the centres."""
    samples = require_samples(evidence, num_samples)
    reference: HasMixture = evidence.reference
    return np.linalg.norm(samples[:, None, :] - reference.mixture.centres, axis=-1)


@dataclass(frozen=True, kw_only=True)
class ModeShare(Adjustable):
    """Smallest or largest share of samples whose nearest centre is one mode; 1/8 each is right."""

    choices: ClassVar = {"n_samples": Choice(attribute="num_samples", read=whole)}

    extreme: Literal["min", "max"]
    num_samples: int = 100_000
    reference: str

    @property
    def name(self) -> str:
        return f"mode_share_{self.extreme}"

    @property
    def title(self) -> str:
        return f"{self.extreme} mode share"

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(
            name=self.name,
            version=1,
            fields={
                "assignment": "nearest centre",
                "n_samples": self.num_samples,
                "extreme": self.extreme,
                "reference": self.reference,
            },
        )

    def measure(self, evidence: Evidence) -> Estimate:
        distances = _distances(evidence, self.num_samples)
        counts = np.bincount(distances.argmin(axis=1), minlength=distances.shape[1])
        shares = counts / len(distances)
        if self.extreme == "min":
            return single(self.protocol, shares.min(), better="higher")
        return single(self.protocol, shares.max(), better="lower")


@dataclass(frozen=True, kw_only=True)
class OutlierShare(Adjustable):
    """Share of samples further than `num_stds` std from every centre."""

    choices: ClassVar = {
        "radius_in_std": Choice(attribute="num_stds", read=positive),
        "n_samples": Choice(attribute="num_samples", read=whole),
    }

    name: str = "outlier_share"
    title: str = "outlier share"
    num_stds: float = 4.0
    num_samples: int = 100_000
    reference: str

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(
            name=self.name,
            version=1,
            fields={"radius_in_std": self.num_stds, "n_samples": self.num_samples, "reference": self.reference},
        )

    def measure(self, evidence: Evidence) -> Estimate:
        reference: HasMixture = evidence.reference
        distances = _distances(evidence, self.num_samples)
        far = distances.min(axis=1) > self.num_stds * reference.mixture.std
        return single(self.protocol, far.mean(), better="lower")
