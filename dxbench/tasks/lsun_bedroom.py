"""LSUN Bedroom 256x256, unconditional: FID of 50,000 samples against ADM's reference.

The samples are kept as bytes, 9.8 GB, and as many of the model before fine-tuning.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from dxbench.api import DataSource, Metric
from dxbench.assets import Asset
from dxbench.assets.catalogue import INCEPTION_2015, LSUN_BEDROOM, LSUN_BEDROOM_ADM, LSUN_BEDROOM_WEIGHTS
from dxbench.assets.imagefolder import ImageFolder
from dxbench.features.inception import INCEPTION_TENSORFLOW
from dxbench.features.protocols import adm, previews
from dxbench.metrics.images.features import FeatureMetric, FeatureSource
from dxbench.metrics.start import OfTheStart
from dxbench.readers import Statistics, read_reference
from dxbench.tasks.image_data import FolderData
from dxbench.tasks.imagenet64 import statistics_source
from dxbench.tasks.images import Images, ImageTask, first_images

SIZE = 256
STATISTICS = "lsun bedroom train, ADM's statistics"
IMAGES = "lsun bedroom train, 10,000 images of ADM's reference"
ADM = adm(reference=STATISTICS, manifold=IMAGES)


class LSUNBedroom(ImageTask):
    """LSUN Bedroom 256x256, unconditional, 50,000 samples: FID, precision and recall by ADM's evaluator."""

    name, version = "lsun_bedroom", 1
    event_shape = (3, SIZE, SIZE)
    batch_size = 32
    challenge_blocks = 5  # a hundred megabytes of ten gigabytes
    headline = ("fid@50k", "fid@50k_start", "precision@50k", "recall@50k")
    data_asset = LSUN_BEDROOM
    scored_with = (INCEPTION_2015, LSUN_BEDROOM_ADM)
    pretrained_assets: ClassVar[Mapping[str, Asset]] = LSUN_BEDROOM_WEIGHTS
    extractor = INCEPTION_TENSORFLOW
    scored_by: ClassVar[Sequence[Metric]] = (*ADM, OfTheStart(ADM[0]))
    previews: ClassVar[Sequence[FeatureMetric]] = previews(ADM[0])

    @cached_property
    def _adm(self) -> tuple[Statistics, Images]:
        return read_reference(LSUN_BEDROOM_ADM.verify(), self.event_shape)

    def training_data(self) -> DataSource:
        return FolderData(folder=lambda: ImageFolder(folder=LSUN_BEDROOM.require(), size=SIZE))

    def real_images(self) -> Images:
        return self._adm[1]

    def references(self) -> Mapping[str, FeatureSource]:
        statistics, images = self._adm
        return {STATISTICS: statistics_source(statistics), IMAGES: first_images(images, 10_000)}
