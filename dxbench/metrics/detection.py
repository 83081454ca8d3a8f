"""Detection and localisation scores of a task with several groups: each group's number and their plain mean.

One scorer for every method: a model gives energies, the task reduces them to image scores and maps as its protocol
says, and these metrics rank them within each group (a category, a data set, a held-out digit).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dxbench.api import Estimate, Evidence, MetricProtocol, NotApplicable
from dxbench.metrics import ranking
from dxbench.metrics.ranking import Scores
from dxbench.metrics.regions import FPR_LIMIT, Maps, Masks, RankedPixels

Statistic = Callable[[Scores, Scores], float]


@dataclass(frozen=True, kw_only=True)
class GroupScores:
    """A model's scores of one group's test points; larger is more anomalous.

    Attributes:
        scores: one per image, [n].
        anomalous: which are, [n].
        maps, masks: pixel scores and true defects, [n, h, w]; None for a task without masks.
    """

    scores: Scores
    anomalous: NDArray[np.bool_]
    maps: Maps | None = None
    masks: Masks | None = None

    @cached_property
    def pixels(self) -> RankedPixels:
        """The ranked pixels, which pixel AUROC and AUPRO share."""
        if self.maps is None or self.masks is None:
            raise NotApplicable("the model gives no maps, or the task has no masks")
        return RankedPixels.of(self.maps, self.masks)


def require_group_scores(evidence: Evidence) -> Mapping[str, GroupScores]:
    """The scores by group.

    Raises:
        NotApplicable: if there are none.
    """
    if evidence.scores is None:
        raise NotApplicable("the model has no energy")
    return evidence.scores


def mean_of_groups(protocol: MetricProtocol, values: Mapping[str, float]) -> Estimate:
    """The unweighted mean over groups in percent, each group's number beside it."""
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
    """

    name: str
    title: str
    statistic: Statistic
    image_score: str
    reference: str

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

    def measure(self, evidence: Evidence) -> Estimate:
        values = {}
        for name, group in require_group_scores(evidence).items():
            if not group.anomalous.any() or group.anomalous.all():
                raise NotApplicable(f"{name} has only {'anomalous' if group.anomalous.any() else 'normal'} test points")
            values[name] = self.statistic(group.scores[~group.anomalous], group.scores[group.anomalous])
        return mean_of_groups(self.protocol, values)


@dataclass(frozen=True, kw_only=True)
class LocalisationMetric:
    """A ranking of all pixels within each group, averaged over groups, in percent.

    Attributes:
        statistic: of the ranked pixels.
        map_recipe: how energies become maps of the masks' resolution.
        reference: data, split and groups.
    """

    name: str
    title: str
    statistic: Callable[[RankedPixels], float]
    fields: tuple[tuple[str, float | str], ...]
    map_recipe: str
    reference: str

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

    def measure(self, evidence: Evidence) -> Estimate:
        groups = require_group_scores(evidence)
        for name, group in groups.items():
            if group.masks is not None and not group.masks.any():
                raise NotApplicable(f"{name} has no defect in any mask")
        values = {name: self.statistic(group.pixels) for name, group in groups.items()}
        return mean_of_groups(self.protocol, values)


def detection_metrics(*, reference: str, image_score: str, prefix: str = "") -> tuple[DetectionMetric, ...]:
    """AUROC, average precision, largest F1 and MinRank of image scores, by one protocol."""
    rows: tuple[tuple[str, str, Statistic], ...] = (
        ("auroc", "AUROC [%]", ranking.auroc),
        ("ap", "average precision [%]", ranking.average_precision),
        ("f1_max", "largest F1 [%]", ranking.f1_max),
        ("min_rank", "MinRank [% of normals]", ranking.min_rank),
    )
    return tuple(
        DetectionMetric(
            name=prefix + name, title=title, statistic=statistic, image_score=image_score, reference=reference
        )
        for name, title, statistic in rows
    )


def localisation_metrics(*, reference: str, map_recipe: str) -> tuple[LocalisationMetric, ...]:
    """Pixel AUROC and AUPRO, by one protocol and from one sort."""
    return (
        LocalisationMetric(
            name="pixel_auroc",
            title="pixel AUROC [%]",
            statistic=lambda pixels: pixels.auroc,
            fields=(("statistic", "auroc"),),
            map_recipe=map_recipe,
            reference=reference,
        ),
        LocalisationMetric(
            name="aupro",
            title="AUPRO [%]",
            statistic=lambda pixels: pixels.aupro(FPR_LIMIT),
            fields=(("statistic", "per-region overlap"), ("fpr_limit", FPR_LIMIT), ("connectivity", "8")),
            map_recipe=map_recipe,
            reference=reference,
        ),
    )
