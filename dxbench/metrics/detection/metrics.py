"""Detection and localisation scores of a task with several groups: each group's number and their plain mean.

One scorer for every method: a model gives energies, the task reduces them to image scores and maps as its protocol
says, and these metrics rank them within each group (a category, a data set, a held-out digit).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from dxbench.api import Estimate, EvaluationInputs, MetricProtocol, NotApplicable
from dxbench.metrics.detection import ranking
from dxbench.metrics.detection.ranking import Scores
from dxbench.metrics.detection.regions import FPR_LIMIT, PIMO_RATES, STRICT_FPR_LIMIT, RankedPixels
from dxbench.metrics.detection.robust import WorstCase

ROBUST = "robust"
"""The view with anomalies at their worst."""

Statistic = Callable[[Scores, Scores], float]
PixelStatistic = Callable[[RankedPixels], float]
Fields = tuple[tuple[str, JsonValue], ...]


@dataclass(frozen=True, kw_only=True)
class GroupScores:
    """A model's scores of one group's test points; larger is more anomalous.

    Attributes:
        scores: one per image, [n].
        anomalous: which are, [n].
        pixels: of their anomaly maps, ranked; None where a task has no masks, or no defect is in them.
        views: the same energies scored another way, by its name.
        energies: of the images' patches, [n, h, w], where scores come from those.
        defects: the type of each image's defect, [n], where types are told apart.

    Raises:
        ValueError: if `anomalous` is not as many booleans as there are scores.
    """

    scores: Scores
    anomalous: NDArray[np.bool_]
    pixels: RankedPixels | None = None
    views: "Mapping[str, GroupScores]" = field(default_factory=dict)
    energies: NDArray[np.float64] | None = None
    defects: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        ranking.require_booleans("anomalous", self.anomalous, self.scores.shape)


def require_group_scores(inputs: EvaluationInputs, view: str | None = None) -> Mapping[str, GroupScores]:
    """The scores by group, of the task's main way to score or of another.

    Raises:
        NotApplicable: if there are none.
    """
    if inputs.scores is None:
        raise NotApplicable("the model has no energy")
    if view is None:
        return inputs.scores
    return {name: group.views[view] for name, group in inputs.scores.items()}


def mean_of_groups(protocol: MetricProtocol, values: Mapping[str, float]) -> Estimate:
    """The unweighted mean in percent, each group's number, or each type's, beside it."""
    percent = {name: 100.0 * value for name, value in values.items()}
    return Estimate(
        value=float(np.mean(list(percent.values()))),
        better="higher",
        unit="%",
        fingerprint=protocol.fingerprint,
        parts=percent,
    )


@dataclass(frozen=True, kw_only=True)
class DetectionMetric:
    """A ranking of image scores within each group, averaged over groups, in percent.

    Attributes:
        statistic: of normal and anomalous scores.
        image_score: how energies become one score per image.
        reference: data, split and groups.
        view: of `GroupScores.views`, whose scores are ranked; None for the group's own.
    """

    name: str
    title: str
    statistic: Statistic
    image_score: str
    reference: str
    view: str | None = None

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(
            name=self.name,
            version=1,
            fields={
                "statistic": self.statistic.__name__,
                "image_score": self.image_score,
                "groups": "unweighted mean",
                "reference": self.reference,
            },
        )

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        values = {}
        for name, group in require_group_scores(inputs, self.view).items():
            if not group.anomalous.any() or group.anomalous.all():
                raise NotApplicable(f"{name} has only {'anomalous' if group.anomalous.any() else 'normal'} test points")
            values[name] = self.statistic(group.scores[~group.anomalous], group.scores[group.anomalous])
        return mean_of_groups(self.protocol, values)


@dataclass(frozen=True, kw_only=True)
class DefectMetric:
    """AUROC of the images of each type of defect against all normal ones of their group, averaged over types.

    Attributes:
        image_score: how energies become one score per image.
        reference: data, split and groups.
    """

    name: str
    title: str
    image_score: str
    reference: str

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(
            name=self.name,
            version=1,
            fields={
                "statistic": "auroc of a type of defect against all normal images of its group",
                "image_score": self.image_score,
                "types": "unweighted mean",
                "reference": self.reference,
            },
        )

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        values = {}
        for name, group in require_group_scores(inputs).items():
            if group.defects is None or group.anomalous.all():
                raise NotApplicable(f"{name} has no types of defects, or no normal image")
            for defect in np.unique(group.defects[group.anomalous]):
                found = group.scores[group.anomalous & (group.defects == defect)]
                values[f"{name}/{defect}"] = ranking.auroc(group.scores[~group.anomalous], found)
        return mean_of_groups(self.protocol, values)


@dataclass(frozen=True, kw_only=True)
class LocalisationMetric:
    """A ranking of all pixels within each group, averaged over groups, in percent.

    Attributes:
        statistic: of the ranked pixels.
        map_recipe: how energies become maps of the masks' resolution.
        reference: data, split and groups.
        view: of `GroupScores.views`, whose pixels are ranked; None for the group's own.
    """

    name: str
    title: str
    statistic: PixelStatistic
    fields: Fields
    map_recipe: str
    reference: str
    view: str | None = None

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(
            name=self.name,
            version=1,
            fields={
                **dict(self.fields),
                "maps": self.map_recipe,
                "pixels": "all of all test images of a group, images without defects included",
                "groups": "unweighted mean",
                "reference": self.reference,
            },
        )

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        values = {}
        for name, group in require_group_scores(inputs, self.view).items():
            if group.pixels is None:
                raise NotApplicable(f"{name} has no defect in any mask")
            values[name] = self.statistic(group.pixels)
        return mean_of_groups(self.protocol, values)


def detection_metrics(
    *, reference: str, image_score: str, prefix: str = "", view: str | None = None
) -> tuple[DetectionMetric, ...]:
    """AUROC, average precision, largest F1 and MinRank of image scores, by one protocol."""
    rows: tuple[tuple[str, str, Statistic], ...] = (
        ("auroc", "AUROC [%]", ranking.auroc),
        ("ap", "average precision [%]", ranking.average_precision),
        ("f1_max", "largest F1 [%]", ranking.f1_max),
        ("min_rank", "MinRank [% of normals]", ranking.min_rank),
    )
    return tuple(
        DetectionMetric(
            name=prefix + name + _suffix(view),
            title=title + _note(view),
            statistic=statistic,
            image_score=image_score,
            reference=reference,
            view=view,
        )
        for name, title, statistic in rows
    )


def robust_metrics(
    *, reference: str, worst_case: WorstCase, prefix: str = "", image_score: str | None = None
) -> tuple[DetectionMetric, ...]:
    """AUROC and MinRank with each anomaly at the worst that a search finds (EvG).

    `image_score`: how energies become the score that the search lowers; None where a point has one energy.
    """
    found = worst_case.description if image_score is None else f"{image_score}; {worst_case.description}"
    return tuple(
        replace(metric, name=f"{prefix}{ROBUST}_{metric.statistic.__name__}", title=f"robust {metric.title}")
        for metric in detection_metrics(reference=reference, image_score=found, view=ROBUST)
        if metric.statistic in (ranking.auroc, ranking.min_rank)
    )


def localisation_metrics(*, reference: str, map_recipe: str, view: str | None = None) -> tuple[LocalisationMetric, ...]:
    """Pixel AUROC, AUPRO, average precision, largest F1, AUPRO up to 5 % and AUPIMO, by one protocol."""

    def overlap(limit: float) -> Fields:
        return ("statistic", "per-region overlap"), ("fpr_limit", limit), ("connectivity", "8")

    pimo: Fields = (
        ("statistic", "mean over images with a defect of the mean over log rates of the share of its pixels found"),
        ("rates", list(PIMO_RATES)),
        ("rates_of", "pixels of images without a defect"),
    )
    rows: tuple[tuple[str, str, PixelStatistic, Fields], ...] = (
        ("pixel_auroc", "pixel AUROC [%]", lambda pixels: pixels.auroc, (("statistic", "auroc"),)),
        ("aupro", "AUPRO [%]", lambda pixels: pixels.aupro(FPR_LIMIT), overlap(FPR_LIMIT)),
        (
            "pixel_ap",
            "pixel average precision [%]",
            lambda pixels: pixels.detections.average_precision,
            (("statistic", "average_precision"),),
        ),
        ("pixel_f1_max", "largest pixel F1 [%]", lambda pixels: pixels.detections.f1_max, (("statistic", "f1_max"),)),
        (
            "aupro_5",
            "AUPRO up to 5 % [%]",
            lambda pixels: pixels.aupro(STRICT_FPR_LIMIT),
            overlap(STRICT_FPR_LIMIT),
        ),
        ("aupimo", "AUPIMO [%]", aupimo, pimo),
    )
    return tuple(
        LocalisationMetric(
            name=name + _suffix(view),
            title=title + _note(view),
            statistic=statistic,
            fields=fields,
            map_recipe=map_recipe,
            reference=reference,
            view=view,
        )
        for name, title, statistic, fields in rows
    )


def aupimo(pixels: RankedPixels) -> float:
    """Mean of `RankedPixels.image_aupimo`; raises NotApplicable where good images have too few pixels for its rates."""
    if pixels.good_pixels * PIMO_RATES[1] < 1:
        raise NotApplicable(
            f"images without a defect have {pixels.good_pixels:,} pixels: one false alarm among them is a rate above "
            f"{PIMO_RATES[1]:g}"
        )
    return float(pixels.image_aupimo().mean())


def _suffix(view: str | None) -> str:
    return "" if view is None else f"_{view}"


def _note(view: str | None) -> str:
    return "" if view is None else f", {view}"
