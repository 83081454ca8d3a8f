"""Lost, swollen and invented modes of a mixture with known centres."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from dxbench.api import Estimate, EvaluationInputs, MetricProtocol, Recheck
from dxbench.metrics.adjust import Adjustable, Choice, positive, whole
from dxbench.metrics.points.sliced import HasMixture
from dxbench.metrics.scoring import require_part, require_samples, single


def _distances(inputs: EvaluationInputs, num_samples: int) -> np.ndarray:
    """[n, modes] distances of the first n samples to the centres."""
    samples = require_samples(inputs, num_samples)
    reference: HasMixture = inputs.reference
    return np.linalg.norm(samples[:, None, :] - reference.mixture.centres, axis=-1)


def share_tolerance(share: float, n: int, *, z: float = 5.0) -> float:
    """Half width of Wilson's score interval (1927, doi:10.2307/2276774) around its centre, reckoned from `share`.

    Of n samples with share p, z = 5 leaves out one honest claim in about a million, at p near 0 and 1 too.
    """
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float(half + abs(centre - share))


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

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        shares = self._shares(_distances(inputs, self.num_samples))
        if self.extreme == "min":
            return single(self.protocol, shares.min(), better="higher")
        return single(self.protocol, shares.max(), better="lower")

    def recheck(self, inputs: EvaluationInputs) -> Recheck:
        """The extreme of shares moves by no more than the share that moves most."""
        part = len(require_part(inputs))
        shares = self._shares(_distances(inputs, part))
        value = float(shares.min() if self.extreme == "min" else shares.max())
        tolerance = max(share_tolerance(share, part) for share in shares.tolist())
        return Recheck(value=value, low=value - tolerance, high=value + tolerance)

    @staticmethod
    def _shares(distances: np.ndarray) -> np.ndarray:
        return np.bincount(distances.argmin(axis=1), minlength=distances.shape[1]) / len(distances)


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

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        return single(self.protocol, self._share(inputs, self.num_samples), better="lower")

    def recheck(self, inputs: EvaluationInputs) -> Recheck:
        """The binomial error of a share."""
        part = len(require_part(inputs))
        share = self._share(inputs, part)
        tolerance = share_tolerance(share, part)
        return Recheck(value=share, low=share - tolerance, high=share + tolerance)

    def _share(self, inputs: EvaluationInputs, num_samples: int) -> float:
        reference: HasMixture = inputs.reference
        distances = _distances(inputs, num_samples)
        return float((distances.min(axis=1) > self.num_stds * reference.mixture.std).mean())
