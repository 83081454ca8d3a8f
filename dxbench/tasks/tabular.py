"""Classical tabular anomaly sets of ADBench, semi-supervised: half of the normal rows train, the rest tests.

Two protocols, because the published one has two artefacts:

* `tabular_dte` is that of DTE's table (Livernoche et al. 2024, arXiv:2305.18593): sets below 1,000 rows are first
  drawn with replacement up to 1,000, *before* the split, so that copies of training rows are tested; and the first
  half of the normal rows in file order trains, without a shuffle, though some files are sorted (`letter`: kNN 35 in
  file order, 87 shuffled).
* `tabular_clean` shuffles by a published seed and duplicates nothing.

Both standardise by the training rows.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dxbench.api.streams import derive_seed
from dxbench.assets.catalogue import ADBENCH_CLASSICAL
from dxbench.errors import MissingData
from dxbench.metrics.detection.metrics import DetectionMetric, detection_metrics
from dxbench.tasks import adbench
from dxbench.tasks.detection import DetectionTask, Group

VERSION = 1
MIN_ROWS = 1000
SETS = {
    "fault": "12_fault", "glass": "14_glass", "hepatitis": "15_Hepatitis", "ionosphere": "18_Ionosphere",
    "landsat": "19_landsat", "letter": "20_letter", "lymphography": "21_Lymphography", "mammography": "23_mammography",
    "optdigits": "26_optdigits", "pageblocks": "27_PageBlocks", "pendigits": "28_pendigits", "pima": "29_Pima",
    "annthyroid": "2_annthyroid", "satellite": "30_satellite", "satimage-2": "31_satimage-2", "shuttle": "32_shuttle",
    "spambase": "35_SpamBase", "stamps": "37_Stamps", "thyroid": "38_thyroid", "vertebral": "39_vertebral",
    "vowels": "40_vowels", "waveform": "41_Waveform", "wbc": "42_WBC", "wdbc": "43_WDBC", "wilt": "44_Wilt",
    "wine": "45_wine", "wpbc": "46_WPBC", "yeast": "47_yeast", "breastw": "4_breastw", "cardio": "6_cardio",
    "cardiotocography": "7_Cardiotocography",
}  # fmt: skip

Array = NDArray[np.float64]
Labels = NDArray[np.bool_]
Split = Callable[[str, Array, Labels], tuple[Array, Array, Labels]]


def split_clean(name: str, x: Array, anomalous: Labels) -> tuple[Array, Array, Labels]:
    """Training rows, test rows and which of these are anomalous: normals shuffled, no row twice."""
    rng = np.random.default_rng(derive_seed("tabular_clean", VERSION, name))
    order = rng.permutation(len(x))
    return _first_half(x[order], anomalous[order])


def split_dte(name: str, x: Array, anomalous: Labels) -> tuple[Array, Array, Labels]:
    """Split as DTE's code does: small sets drawn with replacement to 1,000 rows, then file order."""
    if len(x) < MIN_ROWS:
        rng = np.random.default_rng(derive_seed("tabular_dte", VERSION, name))
        drawn = rng.integers(len(x), size=MIN_ROWS)
        x, anomalous = x[drawn], anomalous[drawn]
    return _first_half(x, anomalous)


def _first_half(x: Array, anomalous: Labels) -> tuple[Array, Array, Labels]:
    normal = np.flatnonzero(~anomalous)
    half = round(0.5 * len(normal))
    test = np.concatenate([normal[half:], np.flatnonzero(anomalous)])
    return x[normal[:half]], x[test], anomalous[test]


def standardised(train: Array, test: Array, anomalous: Labels) -> Group:
    """Zero mean and unit std of the training rows; columns that are constant to rounding are only centred."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train)
    return Group(
        train=np.asarray(scaler.transform(train), np.float32),
        test=np.asarray(scaler.transform(test), np.float32),
        anomalous=anomalous,
    )


class Tabular(DetectionTask):
    """Tabular sets, a model for each."""

    version = VERSION
    unified = False
    groups = tuple(SETS)
    headline = ("auroc", "ap", "f1_max", "min_rank")
    assets = (ADBENCH_CLASSICAL,)
    split: Split

    def load(self) -> dict[str, Group]:
        folder = ADBENCH_CLASSICAL.require()
        groups = {}
        for name, file in SETS.items():
            path = folder / f"{file}.npz"
            if path.is_file():
                x, anomalous = adbench.read_set(path)
                groups[name] = standardised(*type(self).split(name, x.astype(np.float64), anomalous))
        if not groups:
            raise MissingData(f"none of the {len(SETS)} sets is in {folder}; {adbench.HOME} has them")
        return groups


def metrics_of(protocol: str) -> tuple[DetectionMetric, ...]:
    """Metrics under one protocol."""
    reference = f"{len(SETS)} classical sets of ADBench, {protocol}@{VERSION}"
    return detection_metrics(image_score="energy of the row", reference=reference)


class TabularClean(Tabular):
    """31 tabular sets of ADBench: half of the normals train, shuffled, no row twice."""

    name = "tabular_clean"
    split = staticmethod(split_clean)
    scored_by = metrics_of("tabular_clean")


class TabularDTE(Tabular):
    """31 tabular sets of ADBench, split as DTE's published table: for comparison with it only."""

    name = "tabular_dte"
    split = staticmethod(split_dte)
    scored_by = metrics_of("tabular_dte")


AUROC, AP, F1_MAX, MIN_RANK = TabularClean.scored_by
