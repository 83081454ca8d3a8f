"""MVTec-AD, all 15 categories, images and pixels, on the features that UniAD, DxMI and VGS use.

The official split (Bergmann et al. 2019, doi:10.1109/CVPR.2019.00982): 3,629 good images train, 1,725 test. One model
for all categories that is told none (`mvtec_ad`, the unified setting of UniAD and DxMI) or one for each
(`mvtec_ad_separate`). Features and masks are computed once from the folders that `dxbench prepare` unpacks;
`mvtec_ad_features` reads the ones that DxMI's and VGS's authors distribute instead.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from dxbench import paths
from dxbench.assets.catalogue import EFFICIENTNET_B4, MVTEC_AD, MVTEC_FEATURES_TEST, MVTEC_FEATURES_TRAIN
from dxbench.errors import InvalidFile
from dxbench.features.efficientnet import EfficientNetB4
from dxbench.metrics.detection.maps import PatchScoring
from dxbench.metrics.detection.robust import Turn, WorstCase
from dxbench.readers.mvtec import Counts
from dxbench.readers.mvtec_features import Split, read_split
from dxbench.tasks.detection import Group
from dxbench.tasks.localisation import PatchGroup, PatchTask, metrics_of, recipe_of
from dxbench.tasks.mvtec_folder import FolderTask

VERSION = 1
COUNTS = {
    name: Counts(train=train, good=good, defective=defective)
    for name, train, good, defective in (
        ("bottle", 209, 20, 63),
        ("cable", 224, 58, 92),
        ("capsule", 219, 23, 109),
        ("carpet", 280, 28, 89),
        ("grid", 264, 21, 57),
        ("hazelnut", 391, 40, 70),
        ("leather", 245, 32, 92),
        ("metal_nut", 220, 22, 93),
        ("pill", 267, 26, 141),
        ("screw", 320, 41, 119),
        ("tile", 230, 33, 84),
        ("toothbrush", 60, 12, 30),
        ("transistor", 213, 60, 40),
        ("wood", 247, 19, 60),
        ("zipper", 240, 32, 119),
    )
}
EXTRACTOR = EfficientNetB4(weights=EFFICIENTNET_B4, sha256_head="818f208c")
SCORING = PatchScoring(resolution=EXTRACTOR.side, align_corners=False, pool=None)
VIEWS = {"uniad": PatchScoring(resolution=EXTRACTOR.side, align_corners=True, pool=16)}
WORST_CASE = WorstCase(threats=(Turn(),), steps=15, every=5)
HEADLINE = ("image_auroc", "pixel_auroc", "aupro", "image_f1_max", "pixel_ap", "image_robust_auroc")


class MVTecFolders(FolderTask):
    """MVTec-AD's folders through EfficientNet-b4."""

    version = VERSION
    auto_device = "cuda"
    groups = tuple(COUNTS)
    counts = COUNTS
    extractor = EXTRACTOR
    scoring, views = SCORING, VIEWS
    headline = HEADLINE
    scored_by = metrics_of(
        reference=f"MVTec-AD, official split, mvtec_ad@{VERSION}, {recipe_of(EXTRACTOR)}",
        scoring=SCORING,
        views=VIEWS,
        worst_case=WORST_CASE,
    )
    worst_case = WORST_CASE
    assets = (MVTEC_AD, EFFICIENTNET_B4)

    def home(self) -> Path:
        return paths.data() / "mvtec_ad"


class MVTecAD(MVTecFolders):
    """MVTec-AD, images and pixels, EfficientNet-b4 features: one model for 15 categories."""

    name, unified = "mvtec_ad", True
    family = "patches/mvtec_ad"


class MVTecADSeparate(MVTecFolders):
    """MVTec-AD, images and pixels, EfficientNet-b4 features: a model for each category."""

    name, unified = "mvtec_ad_separate", False


class MVTecADFeatures(PatchTask):
    """MVTec-AD on the feature files of DxMI's and VGS's authors: one model for 15 categories."""

    name, version = "mvtec_ad_features", VERSION
    family = "patches/mvtec_ad"
    auto_device = "cuda"
    unified = True
    groups = tuple(COUNTS)
    counts: ClassVar[Mapping[str, Counts]] = COUNTS
    scoring, views = SCORING, VIEWS
    headline = HEADLINE
    scored_by = metrics_of(
        reference=f"MVTec-AD, official split, authors' features 272 x 14 x 14, mvtec_ad_features@{VERSION}",
        scoring=SCORING,
        views=VIEWS,
        worst_case=WORST_CASE,
    )
    worst_case = WORST_CASE
    assets = (MVTEC_FEATURES_TRAIN, MVTEC_FEATURES_TEST)

    def load(self) -> dict[str, Group]:
        train, test = (read_split(asset.verify(), shape=EXTRACTOR.shape) for asset in type(self).assets)
        named = {*train.names, *test.names}
        found: dict[str, Group] = {name: self._group(name, train, test) for name in self.groups if name in named}
        if not found:
            raise InvalidFile(f"{train.path} and {test.path} name none of the categories {', '.join(self.groups)}")
        return found

    def _group(self, name: str, train: Split, test: Split) -> PatchGroup:
        rows, tested = train.names == name, test.names == name
        anomalous = test.anomalous[tested]
        counts = Counts(train=int(rows.sum()), good=int((~anomalous).sum()), defective=int(anomalous.sum()))
        if counts != self.counts.get(name, counts) or train.anomalous[rows].any():
            raise InvalidFile(
                f"{train.path}, {test.path}: {name} wants {self.counts.get(name)} and good training images alone, "
                f"found {counts}"
            )
        masks = test.masks[tested]
        wrong = int((masks.any(axis=(1, 2)) != anomalous).sum())
        if wrong:
            raise InvalidFile(f"{test.path}: {wrong} masks of {name} disagree with the labels of their images")
        return PatchGroup(
            train=train.features[rows],
            test=test.features[tested],
            anomalous=anomalous,
            masks=masks,
            defects=None,
            shown=None,
            digest=f"{train.digest} {test.digest}",
        )
