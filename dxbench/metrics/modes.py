"""Lost, swollen and invented modes of a mixture with known centres."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dxbench.api import Estimate, Evidence, MetricProtocol, NotApplicable
from dxbench.metrics.sliced import HasMixture


def _distances(evidence: Evidence, num_samples: int) -> np.ndarray:
    """[n, modes] distances of the first n samples to the centres."""
    if evidence.samples is None:
        raise NotApplicable("the model does not sample")
    if len(evidence.samples) < num_samples:
        raise NotApplicable(f"needs {num_samples:,} samples, got {len(evidence.samples):,}")
    reference: HasMixture = evidence.reference
    return np.linalg.norm(evidence.samples[:num_samples, None, :] - reference.mixture.centres, axis=-1)


@dataclass(frozen=True, kw_only=True)
class ModeShare:
    """Smallest or largest share of samples whose nearest centre is one mode; 1/8 each is right."""

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
        value = float(shares.min() if self.extreme == "min" else shares.max())
        better = "higher" if self.extreme == "min" else "lower"
        return Estimate(value=value, better=better, fingerprint=self.protocol.fingerprint)


@dataclass(frozen=True, kw_only=True)
class OutlierShare:
    """Share of samples further than `num_stds` std from every centre."""

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
        value = float((distances.min(axis=1) > self.num_stds * reference.mixture.std).mean())
        return Estimate(value=value, better="lower", fingerprint=self.protocol.fingerprint)
