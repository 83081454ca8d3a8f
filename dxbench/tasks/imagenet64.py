"""ImageNet 64x64, class-conditional: FID of 50,000 samples against both published references.

The two references differ (ADM's crop and shrinking, EDM's), and so do FIDs against them: `fid@50k` is against ADM's, as
DxMI and the consistency models report it, `fid_edm@50k` against EDM's. The classes of the samples are random, as in
those papers, or balanced; that stands in every protocol. They are the same for all methods.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from dxbench.api import DataSource, Metric
from dxbench.api.streams import derive_seed
from dxbench.assets import Asset
from dxbench.assets.catalogue import (
    IMAGENET64,
    IMAGENET64_ADM,
    IMAGENET64_EDM,
    IMAGENET64_WEIGHTS,
    INCEPTION_2015,
)
from dxbench.features.inception import INCEPTION_TENSORFLOW
from dxbench.features.protocols import adm, edm, previews
from dxbench.features.sources import StatisticsSource
from dxbench.metrics.images.features import FeatureMetric, FeatureSource
from dxbench.metrics.images.frechet import Moments
from dxbench.metrics.start import OfTheStart
from dxbench.readers import Statistics, read_reference, read_statistics
from dxbench.tasks.image_data import ImageData, read_packed
from dxbench.tasks.images import Images, ImageTask, Labels, first_images

SIZE, CLASSES = 64, 1000
ADM_STATISTICS = "imagenet64 train, ADM's statistics"
ADM_IMAGES = "imagenet64 train, 10,000 images of ADM's reference"
EDM_STATISTICS = "imagenet64 train, EDM's statistics"


def statistics_source(statistics: Statistics) -> FeatureSource:
    """Published statistics as a reference; they do not say of how many images they are."""
    moments = {kind: Moments(n=None, mean=mean, cov=cov) for kind, (mean, cov) in statistics.moments.items()}
    return StatisticsSource(INCEPTION_TENSORFLOW, moments, n=None)


def of_features(labels: str) -> list[FeatureMetric]:
    """Metrics of samples whose classes were chosen so; the first is FID."""
    by_adm = adm(reference=ADM_STATISTICS, manifold=ADM_IMAGES)
    return [replace(metric, labels=labels) for metric in (*by_adm, *edm(reference=EDM_STATISTICS))]


RANDOM, BALANCED = of_features("uniformly random"), of_features("balanced")
FID_EDM = RANDOM[5]


class ImageNet64(ImageTask):
    """ImageNet 64x64, class-conditional, 50,000 samples of random classes: FID against both published references."""

    name, version = "imagenet64", 1
    family = "imagenet64"
    event_shape = (3, SIZE, SIZE)
    batch_size = 250
    num_classes = CLASSES
    headline = ("fid@50k", "fid_edm@50k", "fid@50k_start", "precision@50k", "recall@50k", "inception_score@50k")
    data_asset = IMAGENET64
    scored_with = (INCEPTION_2015, IMAGENET64_ADM, IMAGENET64_EDM)
    pretrained_assets: ClassVar[Mapping[str, Asset]] = IMAGENET64_WEIGHTS
    extractor = INCEPTION_TENSORFLOW
    scored_by: ClassVar[Sequence[Metric]] = (*RANDOM, OfTheStart(RANDOM[0]))
    previews: ClassVar[Sequence[FeatureMetric]] = previews(RANDOM[0])

    @cached_property
    def _adm(self) -> tuple[Statistics, Images]:
        return read_reference(IMAGENET64_ADM.verify(), self.event_shape)

    def training_data(self) -> DataSource:
        return ImageData(read=lambda: read_packed(IMAGENET64.require(), size=SIZE, num_classes=CLASSES))

    def real_images(self) -> Images:
        return self._adm[1]

    def references(self) -> Mapping[str, FeatureSource]:
        statistics, images = self._adm
        return {
            ADM_STATISTICS: statistics_source(statistics),
            ADM_IMAGES: first_images(images, 10_000),
            EDM_STATISTICS: statistics_source(read_statistics(IMAGENET64_EDM.verify())),
        }

    def labels(self) -> Labels:
        return np.random.default_rng(derive_seed("imagenet64@1", "labels")).integers(CLASSES, size=self.num_samples)


class ImageNet64Balanced(ImageNet64):
    """ImageNet 64x64, class-conditional, 50 samples of each class in random order."""

    name = "imagenet64_balanced"
    scored_by: ClassVar[Sequence[Metric]] = (*BALANCED, OfTheStart(BALANCED[0]))
    previews: ClassVar[Sequence[FeatureMetric]] = previews(BALANCED[0])

    def labels(self) -> Labels:
        rng = np.random.default_rng(derive_seed("imagenet64@1", "balanced labels"))
        return rng.permutation(np.arange(self.num_samples) % CLASSES)
