"""The real category `screw` of MVTec-AD, images and pixels, on features of a small ImageNet network.

The official split of the category (Bergmann et al. 2019, doi:10.1109/CVPR.2019.00982), images and masks at 512 x 512:
320 good ones train, 41 good and 119 defective ones of five types test. Features are EfficientNet-lite's by UniAD's
recipe (`dxbench.features.efficientnet_lite`), which a CPU has in half a minute. **They are not the papers'
EfficientNet-b4: no number here compares with a paper's.**
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dxbench import paths
from dxbench.api import Metric
from dxbench.assets.catalogue import EFFICIENTNET_LITE0, EFFICIENTNET_LITE2, SCREW512
from dxbench.features.efficientnet_lite import EfficientNetLite
from dxbench.features.patches import Grids, PatchExtractor
from dxbench.metrics.detection import Affine, DefectMetric, PatchScoring, Tone, WorstCase
from dxbench.metrics.images.features import Images
from dxbench.readers.mvtec import Counts
from dxbench.tasks.detection import Array, Group
from dxbench.tasks.localisation import PatchGroup, metrics_of, recipe_of
from dxbench.tasks.mvtec_folder import FolderTask

NAME, VERSION = "screw", 2
DEFECTS = {"manipulated_front": 24, "scratch_head": 24, "scratch_neck": 25, "thread_side": 23, "thread_top": 23}
EXTRACTOR = EfficientNetLite(version=0, weights=EFFICIENTNET_LITE0, side=224, cells=14)
FINE = EfficientNetLite(version=2, weights=EFFICIENTNET_LITE2, side=448, cells=28)


def scoring_of(side: int) -> PatchScoring:
    """An image's score is its largest energy."""
    return PatchScoring(resolution=side, align_corners=False, pool=None)


def views_of(side: int) -> dict[str, PatchScoring]:
    """UniAD's way, its window as large a part of the image as there, and the mean of the ten largest energies."""
    return {
        "uniad": PatchScoring(resolution=side, align_corners=True, pool=16 * side // EXTRACTOR.side),
        "top10": replace(scoring_of(side), top=10),
    }


def worst_case_of(side: int) -> WorstCase:
    """The image itself moved and toned: its features are taken anew at each step."""
    return WorstCase(
        threats=(Affine(shape=(3, side, side), outside="border"), Tone()), steps=12, step_size=0.3, every=20
    )


def scored_by(task: str, extractor: EfficientNetLite) -> tuple[Metric, ...]:
    """Metrics of images, of pixels and of types of defect, on the features of one network."""
    side, reference = extractor.side, f"MVTec-AD screw at 512 x 512, {task}@{VERSION}, {recipe_of(extractor)}"
    scoring = scoring_of(side)
    defects = DefectMetric(
        name="image_auroc_defects",
        title="AUROC, mean of types of defect [%]",
        image_score=scoring.image_score,
        reference=reference,
    )
    rest = metrics_of(reference=reference, scoring=scoring, views=views_of(side), worst_case=worst_case_of(side))
    return (*rest, defects)


class Screw(FolderTask):
    """MVTec-AD's screws, images and pixels, features of EfficientNet-lite0 on a CPU."""

    name, version = NAME, VERSION
    family = "patches/screw"
    unified = True
    groups = (NAME,)
    counts: ClassVar[Mapping[str, Counts]] = {NAME: Counts(train=320, good=41, defective=sum(DEFECTS.values()))}
    defects: ClassVar[Mapping[str, Mapping[str, int]]] = {NAME: DEFECTS}
    extractor = EXTRACTOR
    scoring, views = scoring_of(EXTRACTOR.side), views_of(EXTRACTOR.side)
    headline = (
        "image_auroc",
        "pixel_auroc",
        "aupro",
        "aupro_5",
        "aupimo",
        "pixel_ap",
        "image_auroc_top10",
        "image_auroc_defects",
        "image_robust_auroc",
    )
    scored_by = scored_by(NAME, EXTRACTOR)
    worst_case = worst_case_of(EXTRACTOR.side)
    assets = (SCREW512, EFFICIENTNET_LITE0)

    def home(self) -> Path:
        return paths.data() / "mvtec_ad_screw512"

    def threatened(self, group: Group, rows: NDArray[np.intp]) -> Array:
        """Pixels in [0, 1], channels first, as rows [n, 3 side^2]."""
        assert isinstance(group, PatchGroup)
        assert group.shown is not None
        images = group.shown(rows.tolist()).transpose(0, 3, 1, 2)
        return images.reshape(len(rows), -1).astype(np.float32) / 255

    def grids_of(self, points: Array, *, device: str) -> Array:
        side = self.extractor.side
        images = (255 * points.clip(0, 1)).round().astype(np.uint8).reshape(-1, 3, side, side)
        found = _extract(self.extractor, device)(np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
        return found.astype(np.float16).astype(np.float32)  # as the cache keeps them


class ScrewLite2(Screw):
    """MVTec-AD's screws, images and pixels, features of EfficientNet-lite2 at 448 x 448: four times the patches."""

    name = "screw_lite2"
    extractor = FINE
    scoring, views = scoring_of(FINE.side), views_of(FINE.side)
    scored_by = scored_by("screw_lite2", FINE)
    worst_case = worst_case_of(FINE.side)
    assets = (SCREW512, EFFICIENTNET_LITE2)


@cache
def _extract(extractor: PatchExtractor, device: str) -> Callable[[Images], Grids]:
    return extractor.load(device)
