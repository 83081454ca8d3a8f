"""The real category `screw` of MVTec-AD at image level, with features that need no network: real data, small machine.

Features are log-Gabor energies of 16 x 16 cells (`dxbench.features.filters`): fixed filters, nothing trained here or on
other images. **No number here is comparable with a paper's**, whose features come from ImageNet.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from dxbench import paths
from dxbench.assets.catalogue import MVTEC_AD
from dxbench.features.filters import LogGaborEnergies
from dxbench.metrics.maps import PatchScoring
from dxbench.readers.mvtec import Counts
from dxbench.tasks.localisation import metrics_of, recipe_of
from dxbench.tasks.mvtec_folder import FolderTask

NAME, VERSION = "screw", 1
EXTRACTOR = LogGaborEnergies(side=256, cell=16)
SCORING = PatchScoring(resolution=256, align_corners=False, pool=None)
VIEWS = {"uniad": PatchScoring(resolution=256, align_corners=True, pool=16)}


class Screw(FolderTask):
    """MVTec-AD's screws, image level, fixed filters instead of a network."""

    name, version = NAME, VERSION
    unified = True
    masked = False
    groups = (NAME,)
    counts: ClassVar[Mapping[str, Counts]] = {NAME: Counts(train=320, good=41, defective=119)}
    extractor = EXTRACTOR
    scoring, views = SCORING, VIEWS
    headline = ("image_auroc", "image_ap", "image_f1_max", "image_min_rank", "image_auroc_uniad")
    scored_by = metrics_of(
        reference=f"MVTec-AD screw, {NAME}@{VERSION}, {recipe_of(EXTRACTOR)}",
        scoring=SCORING,
        views=VIEWS,
        masked=False,
    )

    assets = (MVTEC_AD,)

    def home(self) -> Path:
        return paths.data() / "mvtec_ad"
