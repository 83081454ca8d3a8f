"""Ranking metrics: numbers of two sets of scores, anomalous and normal, exact, ties counted as they fall.

A larger score is more anomalous, as an energy is. Nothing is rescaled before ranking: a sigmoid or a min-max in
float32 makes ties of what was different, and an AUROC below 1/2 stays what it is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating[Any]]
Array = NDArray[np.float64]


def require_finite(**scores: Scores) -> None:
    """Raises ValueError for a set that is empty or holds a NaN or an infinity."""
    for name, values in scores.items():
        if values.size == 0:
            raise ValueError(f"no {name} scores; ranking needs at least one")
        bad = values.size - int(np.isfinite(values).sum())
        if bad:
            raise ValueError(f"{bad:,} of {values.size:,} {name} scores are not finite")


def require_booleans(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raises ValueError unless values are booleans of a shape: 0 and 1 as integers would be taken for indices."""
    if values.dtype != np.bool_ or values.shape != shape:
        raise ValueError(
            f"{name} wants booleans {list(shape)}, got dtype {values.dtype} {list(values.shape)}; write {name} != 0"
        )


@dataclass(frozen=True, kw_only=True)
class FalseAlarms:
    """The rates of false alarms at the thresholds just above and at every anomalous score.

    Attributes:
        strict: share of normal scores above it, [n].
        loose: share of normal scores above or equal to it, [n].
    """

    strict: Array
    loose: Array

    @classmethod
    def at(cls, anomalous: Scores, normal: Scores) -> "FalseAlarms":
        """One sort of the normal scores serves all anomalous ones."""
        ordered = np.sort(normal, axis=None)
        above = len(ordered) - np.searchsorted(ordered, anomalous, side="right")
        from_it = len(ordered) - np.searchsorted(ordered, anomalous, side="left")
        return cls(strict=above / len(ordered), loose=from_it / len(ordered))

    @property
    def auroc(self) -> float:
        """1 - mean((strict + loose) / 2): the share of pairs ranked right, ties half."""
        return float(1.0 - 0.5 * (self.strict.mean() + self.loose.mean()))

    def detected_at(self, rate: float) -> Array:
        """Share of each anomalous score that is detected at a rate of false alarms, [n]: its own ROC curve there."""
        rise = np.maximum(self.loose - self.strict, np.finfo(np.float64).tiny)
        return np.clip((rate - self.strict) / rise, 0.0, 1.0)

    def area_up_to(self, limit: float) -> Array:
        """Area, over rates of false alarm 0 .. limit, under the curve of each anomalous score alone, [n].

        That curve is 0 below `strict`, 1 above `loose` and a straight line between, as the trapezoid rule joins
        the points of a ROC curve. Their weighted sum is exact for any curve made of detections.
        """
        rise = np.maximum(self.loose - self.strict, np.finfo(np.float64).tiny)
        cut = (limit - self.strict).clip(min=0.0) ** 2 / (2.0 * rise)
        return np.where(self.loose <= limit, limit - 0.5 * (self.strict + self.loose), cut)


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Detections with each anomalous score as threshold: anomalies found, and alarms raised, both [n]."""

    hits: Array
    alarms: Array

    @classmethod
    def at(cls, anomalous: Scores, false: FalseAlarms, *, num_normal: int) -> "Detections":
        """Build the curve from the anomalous scores and their false alarms among `num_normal` normal ones."""
        ordered = np.sort(anomalous, axis=None)
        hits = (len(ordered) - np.searchsorted(ordered, anomalous, side="left")).astype(np.float64)
        return cls(hits=hits, alarms=hits + false.loose * num_normal)

    @property
    def average_precision(self) -> float:
        """Mean precision over the anomalies."""
        return float(np.mean(self.hits / self.alarms))

    @property
    def f1_max(self) -> float:
        """The largest 2 hits / (alarms + anomalies)."""
        return float(np.max(2.0 * self.hits / (self.alarms + len(self.hits))))


def auroc(normal: Scores, anomalous: Scores) -> float:
    """Area under the ROC curve: probability that an anomalous score exceeds a normal one, ties half.

    Equal to `sklearn.metrics.roc_auc_score`; 0.5 for constant scores.
    """
    require_finite(normal=normal, anomalous=anomalous)
    return FalseAlarms.at(anomalous, normal).auroc


def auroc_standard_error(normal: Scores, anomalous: Scores) -> float:
    """The standard error of the AUROC as an estimate from these points (DeLong et al. 1988, doi:10.2307/2531595).

    NaN with fewer than two points of a kind.
    """
    require_finite(normal=normal, anomalous=anomalous)
    if min(len(normal), len(anomalous)) < 2:
        return float("nan")
    at_anomalous, at_normal = FalseAlarms.at(anomalous, normal), FalseAlarms.at(normal, anomalous)
    variances = (np.var(0.5 * (at.strict + at.loose), ddof=1) / len(at.strict) for at in (at_anomalous, at_normal))
    return float(sum(variances) ** 0.5)


def average_precision(normal: Scores, anomalous: Scores) -> float:
    """Sum over thresholds of (rise of recall) x precision; equal to `sklearn.metrics.average_precision_score`."""
    require_finite(normal=normal, anomalous=anomalous)
    return Detections.at(anomalous, FalseAlarms.at(anomalous, normal), num_normal=normal.size).average_precision


def f1_max(normal: Scores, anomalous: Scores) -> float:
    """The largest F1 of any threshold, over all thresholds that the scores make different."""
    require_finite(normal=normal, anomalous=anomalous)
    return Detections.at(anomalous, FalseAlarms.at(anomalous, normal), num_normal=normal.size).f1_max


def min_rank(normal: Scores, anomalous: Scores) -> float:
    """Share of normal scores below the lowest anomalous one: EvG's MinRank over the number of normal points.

    0 where some anomaly is held more normal than all normal points (arXiv:2208.10940, section 5).
    """
    require_finite(normal=normal, anomalous=anomalous)
    return float(np.mean(normal < anomalous.min()))
