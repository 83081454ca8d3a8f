"""All 60,000 images of CIFAR-10 as JPEG of quality 75: training of real size where the official archive is not at hand.

The images have lost detail (median PSNR 30.5 dB), so nothing measured here is CIFAR-10's or comparable with a published
number; the distance is that of ResNet-56 features, never FID.
"""

from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from dxbench.api import DataSource, Metric, Model
from dxbench.assets.catalogue import CIFAR10_JPEG75_TEST, CIFAR10_JPEG75_TRAIN, RESNET56_CIFAR10
from dxbench.errors import InvalidFile
from dxbench.features.protocols import fd_resnet56, memorisation
from dxbench.features.resnet56 import RESNET56
from dxbench.files.archives import opened_zip, read_member
from dxbench.files.images import opened
from dxbench.metrics.images.features import FeatureSet, FeatureSource
from dxbench.metrics.images.fidelity import KernelKL
from dxbench.metrics.start import OfTheStart
from dxbench.tasks.cifar10 import SIZE
from dxbench.tasks.image_data import CIFAR10_CLASSES, ImageData, LabelledImages, real_images
from dxbench.tasks.images import Images, ImageTask, first_images

NUM_TRAIN, NUM_TEST, NUM_SAMPLES = 50_000, 10_000, 10_000
TRAIN = "cifar10-jpeg75 train, 50,000"
TEST = "cifar10-jpeg75 test, 10,000"
METRICS = fd_resnet56(reference=TRAIN, num_reference=NUM_TRAIN, num_samples=NUM_SAMPLES)
FD, KD, PRECISION, RECALL = METRICS
FD_START = OfTheStart(FD)
POOLED = FeatureSet(extractor=RESNET56, kind="pooled")
_, FD_TEST, NEAREST_TRAIN = memorisation(
    POOLED,
    evaluator="fd-resnet56@1",
    train=TRAIN,
    num_train=NUM_TRAIN,
    test=TEST,
    num_samples=NUM_SAMPLES,
)
VWKDE_KL = KernelKL(
    evaluator="fd-resnet56@1", features=POOLED, num_samples=NUM_SAMPLES, reference=TEST, suffix="resnet56"
)


class Cifar10Jpeg75(ImageTask):
    """CIFAR-10 as lossy JPEGs, 10,000 samples: a distance in ResNet-56 features to the training images, never FID."""

    name, version = "cifar10_jpeg75", 1
    event_shape = (3, SIZE, SIZE)
    num_samples = NUM_SAMPLES
    batch_size = 500
    headline = (
        "fd_resnet56@10k",
        "fd_resnet56@10k_start",
        "precision_resnet56@10k",
        "recall_resnet56@10k",
        "fd_resnet56_test@10k",
    )
    data_asset = CIFAR10_JPEG75_TRAIN[0]
    scored_with = (*CIFAR10_JPEG75_TRAIN, CIFAR10_JPEG75_TEST, RESNET56_CIFAR10)
    extractor = RESNET56
    scored_by: ClassVar[Sequence[Metric]] = (*METRICS, FD_TEST, NEAREST_TRAIN, FD_START, VWKDE_KL)

    @cached_property
    def _train(self) -> LabelledImages:
        return training_images()

    @cached_property
    def _test(self) -> LabelledImages:
        return read_jpegs((CIFAR10_JPEG75_TEST.verify(),), split="test", n=NUM_TEST)

    def training_data(self) -> DataSource:
        return ImageData(read=training_images)

    def real_images(self) -> Images:
        return self._test.images

    def oracle(self) -> Model:
        """The test images, each once: what is left where there is no difference but the draw."""
        return real_images(self._test.images)

    def references(self) -> Mapping[str, FeatureSource]:
        return {
            TRAIN: first_images(self._train.images, NUM_TRAIN),
            TEST: first_images(self._test.images, NUM_TEST),
        }


def training_images() -> LabelledImages:
    """The training images of both archives; raises MissingData and InvalidFile as `Asset.verify` and `read_jpegs`."""
    return read_jpegs(tuple(asset.verify() for asset in CIFAR10_JPEG75_TRAIN), split="train", n=NUM_TRAIN)


@cache
def read_jpegs(paths: tuple[Path, ...], *, split: str, n: int) -> LabelledImages:
    """The images `<split>/<class>/<number>.jpg` of zip archives, by class and number.

    Raises:
        InvalidFile: if an archive is damaged or unsafe, an image is not 32 x 32 RGB, or not n of ten classes are there.
    """
    found: dict[str, Images] = {}
    for path in paths:
        with opened_zip(path) as (archive, members):
            for member in members:
                if member.filename.startswith(f"{split}/") and member.filename.endswith(".jpg"):
                    found[member.filename] = _decode(f"{path}: {member.filename}", read_member(archive, member))
    names = sorted(found)
    classes = sorted({name.split("/")[1] for name in names})
    if len(names) != n or len(classes) != CIFAR10_CLASSES:
        raise InvalidFile(
            f"{', '.join(map(str, paths))}: {len(names):,} images of {len(classes)} classes under {split}/, "
            f"wants {n:,} of {CIFAR10_CLASSES}"
        )
    number = {name: i for i, name in enumerate(classes)}
    return LabelledImages(
        images=np.stack([found[name] for name in names]),
        labels=np.array([number[name.split("/")[1]] for name in names], dtype=np.int64),
    )


def _decode(what: str, content: bytes) -> Images:
    with opened(what, content, (".jpg",)) as image:
        if image.size != (SIZE, SIZE) or image.mode != "RGB":
            raise InvalidFile(f"{what} is {image.size[0]} x {image.size[1]}, {image.mode}; wants {SIZE} x {SIZE}, RGB")
        return np.asarray(image)
