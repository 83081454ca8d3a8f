"""Fashion-MNIST: clothes of 28 x 28 grey pixels, lossless and complete."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from dxbench.api import DataSource, Metric, Model
from dxbench.api.streams import derive_seed
from dxbench.assets.catalogue import FASHION_MNIST
from dxbench.metrics.images.features import FeatureSource
from dxbench.tasks.fashion_data import CLASSES, DATA_STD, SIZE, fashion_splits
from dxbench.tasks.image_data import ImageData, real_images
from dxbench.tasks.images import Images, ImageTask, Labels


class FashionMNIST(ImageTask):
    """Fashion-MNIST, unconditional, 10,000 samples."""

    name, version = "fashion_mnist", 1
    family = "images/fashion_mnist"
    event_shape = (1, SIZE, SIZE)
    data_std = DATA_STD
    num_samples = 10_000
    batch_size = 500
    headline = ()
    data_asset = FASHION_MNIST[0]
    scored_with = FASHION_MNIST
    scored_by: ClassVar[Sequence[Metric]] = ()

    def training_data(self) -> DataSource:
        return ImageData(read=lambda: fashion_splits()["train"])

    def real_images(self) -> Images:
        return fashion_splits()["test"].images

    def oracle(self) -> Model:
        return real_images(fashion_splits()["train"].images)

    def references(self) -> Mapping[str, FeatureSource]:
        return {}


class FashionMNISTClasses(FashionMNIST):
    """Fashion-MNIST, class-conditional, 1,000 samples of each class in random order."""

    name = "fashion_mnist_classes"
    num_classes = CLASSES

    def labels(self) -> Labels:
        rng = np.random.default_rng(derive_seed("fashion_mnist@1", "labels"))
        return rng.permutation(np.arange(self.num_samples) % CLASSES)
