"""MVTec-AD at image level on pooled features: all 15 categories on a small machine.

Features of ADBench (ResNet-18, 512, or ViT, 1000 per image), which pools the official train and test images, so that
the official split is lost: half of the normal images of each category train, drawn by a published seed. Of the other
half and of the defective ones a third is for validation, which settings are chosen on, and the rest tests. Numbers are
comparable with no paper's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dxbench.api.streams import derive_seed
from dxbench.assets.catalogue import ADBENCH_RESNET18, ADBENCH_VIT
from dxbench.errors import MissingData
from dxbench.metrics.detection.metrics import DetectionMetric, detection_metrics, robust_metrics
from dxbench.metrics.detection.robust import Turn, WorstCase
from dxbench.tasks import adbench
from dxbench.tasks.detection import DetectionTask, Group

VERSION = 2
CATEGORIES = (
    "bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut", "pill", "screw", "tile",
    "toothbrush", "transistor", "wood", "zipper",
)  # fmt: skip


WORST_CASE = WorstCase(threats=(Turn(),), steps=25)


def metrics_of(features: str) -> tuple[DetectionMetric, ...]:
    """Metrics of one kind of features; unified and separate models are scored alike."""
    reference = f"MVTec-AD, {features} of ADBench, split of mvtec_pooled@{VERSION}"
    return (
        *detection_metrics(prefix="image_", image_score="energy of the pooled feature", reference=reference),
        *robust_metrics(prefix="image_", worst_case=WORST_CASE, reference=reference),
    )


RESNET18_METRICS = metrics_of("resnet18")
VIT_METRICS = metrics_of("vit")
IMAGE_AUROC, IMAGE_AP, IMAGE_F1_MAX, IMAGE_MIN_RANK, IMAGE_ROBUST_AUROC, IMAGE_ROBUST_MIN_RANK = RESNET18_METRICS


@dataclass(frozen=True, kw_only=True)
class Split:
    """Rows of a category, in order."""

    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    test: NDArray[np.intp]


def split(category: str, anomalous: NDArray[np.bool_]) -> Split:
    """Drawn by a seed that has the category's name."""
    rng = np.random.default_rng(derive_seed("mvtec_pooled", VERSION, category))
    normal, defective = (rng.permutation(np.flatnonzero(rows)) for rows in (~anomalous, anomalous))
    half = round(len(normal) / 2)
    train, rest = normal[:half], normal[half:]
    thirds = [round(len(rows) / 3) for rows in (rest, defective)]
    validation = np.concatenate([rest[: thirds[0]], defective[: thirds[1]]])
    test = np.concatenate([rest[thirds[0] :], defective[thirds[1] :]])
    return Split(train=np.sort(train), validation=np.sort(validation), test=np.sort(test))


class MVTecPooled(DetectionTask):
    """Pooled features of MVTec-AD."""

    version = VERSION
    headline = ("image_auroc", "image_ap", "image_f1_max", "image_min_rank", "image_robust_auroc")
    groups = CATEGORIES
    worst_case = WORST_CASE

    def load(self) -> dict[str, Group]:
        return self._groups(lambda rows: rows.test)

    def validation(self) -> dict[str, Group]:
        """The same groups with the points that settings are chosen on in place of those that test."""
        return self._groups(lambda rows: rows.validation)

    def _groups(self, scored: Callable[[Split], NDArray[np.intp]]) -> dict[str, Group]:
        folder = self.assets[0].require()
        groups = {}
        for category in CATEGORIES:
            path = folder / f"MVTec-AD_{category}.npz"
            if path.is_file():
                x, anomalous = adbench.read_set(path)
                rows = split(category, anomalous)
                test = scored(rows)
                groups[category] = Group(
                    train=x[rows.train].astype(np.float32), test=x[test].astype(np.float32), anomalous=anomalous[test]
                )
        if not groups:
            raise MissingData(f"no file MVTec-AD_<category>.npz in {folder}; {adbench.HOME} has them")
        return groups


class MVTecPooledResNet18(MVTecPooled):
    """MVTec-AD, ResNet-18 features, image level: one model for 15 categories."""

    name = "mvtec_pooled_resnet18"
    assets, unified, scored_by = (ADBENCH_RESNET18,), True, RESNET18_METRICS
    family = "vectors/mvtec_pooled"


class MVTecPooledViT(MVTecPooled):
    """MVTec-AD, ViT features, image level: one model for 15 categories."""

    name = "mvtec_pooled_vit"
    assets, unified, scored_by = (ADBENCH_VIT,), True, VIT_METRICS
    family = "vectors/mvtec_pooled"


class MVTecSeparateResNet18(MVTecPooled):
    """MVTec-AD, ResNet-18 features, image level: a model for each category."""

    name = "mvtec_separate_resnet18"
    assets, unified, scored_by = (ADBENCH_RESNET18,), False, RESNET18_METRICS
    family = "vectors/mvtec_separate"


class MVTecSeparateViT(MVTecPooled):
    """MVTec-AD, ViT features, image level: a model for each category."""

    name = "mvtec_separate_vit"
    assets, unified, scored_by = (ADBENCH_VIT,), False, VIT_METRICS
    family = "vectors/mvtec_separate"
