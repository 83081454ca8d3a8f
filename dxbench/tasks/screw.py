"""The real category `screw` of MVTec-AD at image level, with features that need no network: real data, small machine.

Features are log-Gabor energies of 16 x 16 cells (`dxbench.features.filters`): fixed filters, nothing trained here or on
other images. **No number here is comparable with a paper's**, whose features come from ImageNet.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dxbench import paths
from dxbench.assets.catalogue import MVTEC_AD
from dxbench.features.filters import LogGaborEnergies
from dxbench.features.patches import Grids
from dxbench.metrics.detection.maps import PatchScoring
from dxbench.metrics.detection.robust import Affine, Tone, WorstCase
from dxbench.metrics.images.features import Images
from dxbench.readers.mvtec import Counts
from dxbench.tasks.detection import Array, Group
from dxbench.tasks.localisation import PatchGroup, metrics_of, recipe_of
from dxbench.tasks.mvtec_folder import FolderTask

NAME, VERSION = "screw", 1
EXTRACTOR = LogGaborEnergies(side=256, cell=16)
SCORING = PatchScoring(resolution=256, align_corners=False, pool=None)
VIEWS = {"uniad": PatchScoring(resolution=256, align_corners=True, pool=16)}
WORST_CASE = WorstCase(
    threats=(Affine(shape=(3, EXTRACTOR.side, EXTRACTOR.side), outside="border"), Tone()),
    steps=12,
    step_size=0.3,
    every=10,
)


class Screw(FolderTask):
    """MVTec-AD's screws, image level, fixed filters instead of a network."""

    name, version = NAME, VERSION
    unified = True
    masked = False
    groups = (NAME,)
    counts: ClassVar[Mapping[str, Counts]] = {NAME: Counts(train=320, good=41, defective=119)}
    extractor = EXTRACTOR
    scoring, views = SCORING, VIEWS
    headline = ("image_auroc", "image_ap", "image_f1_max", "image_min_rank", "image_auroc_uniad", "image_robust_auroc")
    scored_by = metrics_of(
        reference=f"MVTec-AD screw, {NAME}@{VERSION}, {recipe_of(EXTRACTOR)}",
        scoring=SCORING,
        views=VIEWS,
        worst_case=WORST_CASE,
        masked=False,
    )
    worst_case = WORST_CASE

    # Its own category is enough of the archive.
    assets = (replace(MVTEC_AD, unpack=("screw/train", "screw/test"), task=NAME),)

    def home(self) -> Path:
        return paths.data() / "mvtec_ad"

    def threatened(self, group: Group, rows: NDArray[np.intp]) -> Array:
        """Pixels in [0, 1], channels first, as rows [n, 3 side^2]."""
        assert isinstance(group, PatchGroup)
        assert group.shown is not None
        images = group.shown(rows.tolist()).transpose(0, 3, 1, 2)
        return images.reshape(len(rows), -1).astype(np.float32) / 255

    def grids_of(self, points: Array, *, device: str) -> Array:
        side = self.extractor.side
        images = (255 * points.clip(0, 1)).round().astype(np.uint8).reshape(-1, 3, side, side)
        found = _extract(device)(np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
        return found.astype(np.float16).astype(np.float32)  # as the cache keeps them


@cache
def _extract(device: str) -> Callable[[Images], Grids]:
    return EXTRACTOR.load(device)
