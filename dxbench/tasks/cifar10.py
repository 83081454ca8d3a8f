"""CIFAR-10, unconditional: FID of 50,000 samples, and on a small machine the lossless subset with another distance.

Protocol of the papers: against all 50,000 training images, as they are. Precision and recall take the first 10,000 of
them as the manifold, as ADM's evaluator does for its own references; DxMI's own had all 50,000.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dxbench.api import DataSource, Estimate, EvaluationInputs, Metric, MetricProtocol, Model
from dxbench.api.streams import derive_seed
from dxbench.assets import Asset
from dxbench.assets.catalogue import (
    CIFAR10,
    CIFAR10_SUBSET,
    CIFAR10_WEIGHTS,
    INCEPTION_2015,
    RESNET56_CIFAR10,
)
from dxbench.errors import InvalidFile
from dxbench.features.inception import INCEPTION_TENSORFLOW
from dxbench.features.protocols import adm, diversity, fd_resnet56, memorisation, novelty, previews
from dxbench.features.resnet56 import RESNET56
from dxbench.features.sources import PartOf
from dxbench.metrics.images.features import FeatureMetric, FeatureSet, FeatureSource
from dxbench.metrics.images.fidelity import FrechetDistance
from dxbench.metrics.images.frechet import frechet_distance
from dxbench.metrics.scoring import NoSamples, single
from dxbench.metrics.start import OfTheStart
from dxbench.readers import array_names, load_arrays
from dxbench.tasks.image_data import (
    CIFAR10_CLASSES,
    ImageData,
    LabelledImages,
    check_labels,
    read_cifar10,
    real_images,
)
from dxbench.tasks.images import Images, ImageTask, first_images

SIZE = 32
TRAIN, MANIFOLD, TEST = "cifar10 train, 50,000", "cifar10 train, first 10,000", "cifar10 test, 10,000"
FID, SFID, INCEPTION_SCORE, PRECISION, RECALL = adm(reference=TRAIN, manifold=MANIFOLD)
FID_START = OfTheStart(FID)
_, FID_TEST, NEAREST_TRAIN = memorisation(
    FeatureSet(extractor=INCEPTION_TENSORFLOW, kind="pool3"),
    evaluator="adm@1",
    train=TRAIN,
    num_train=50_000,
    test=TEST,
    num_samples=50_000,
)  # the first of them is FID again


class Cifar10(ImageTask):
    """CIFAR-10, unconditional, 50,000 samples: FID against the training set, precision, recall, memorisation."""

    name, version = "cifar10", 1
    family = "images/cifar10"
    event_shape = (3, SIZE, SIZE)
    batch_size = 500
    headline = ("fid@50k", "fid@50k_start", "precision@50k", "recall@50k", "fid_test@50k", "nearest_train@50k")
    data_asset = CIFAR10
    scored_with = (CIFAR10, INCEPTION_2015)
    pretrained_assets: ClassVar[Mapping[str, Asset]] = CIFAR10_WEIGHTS
    extractor = INCEPTION_TENSORFLOW
    scored_by: ClassVar[Sequence[Metric]] = (
        FID,
        SFID,
        INCEPTION_SCORE,
        PRECISION,
        RECALL,
        FID_TEST,
        NEAREST_TRAIN,
        FID_START,
    )
    previews: ClassVar[Sequence[FeatureMetric]] = previews(FID)

    @cached_property
    def _splits(self) -> dict[str, LabelledImages]:
        return read_cifar10(CIFAR10.verify())

    def training_data(self) -> DataSource:
        # Not bound to this task, which knows the test images.
        return ImageData(read=lambda: read_cifar10(CIFAR10.verify())["train"])

    def real_images(self) -> Images:
        return self._splits["test"].images

    def oracle(self) -> Model:
        """Test images in turn: 10,000, so that each is drawn five times."""
        return real_images(self._splits["test"].images)

    def references(self) -> Mapping[str, FeatureSource]:
        train = first_images(self._splits["train"].images, 50_000)
        test = first_images(self._splits["test"].images, 10_000)
        return {TRAIN: train, MANIFOLD: PartOf(train, np.arange(10_000)), TEST: test}


# --- the lossless subset -------------------------------------------------------------------------------------

SUBSET_SIZES = {"train": 8068, "test": 1017}
HALF = SUBSET_SIZES["train"] // 2
HALF_A = f"half A of the training images of cifar10_subset, {HALF:,}"
HALF_B = f"half B of the training images of cifar10_subset, {HALF:,}"
SUBSET_TRAIN = "training images of cifar10_subset, 8,068"
SUBSET_TEST = "test images of cifar10_subset, 1,017"
RESNET56_POOLED = FeatureSet(extractor=RESNET56, kind="pooled")
RESNET56_METRICS = fd_resnet56(reference=HALF_A, num_reference=HALF, num_samples=HALF)
FD_RESNET56, KD_RESNET56, PRECISION_RESNET56, RECALL_RESNET56 = RESNET56_METRICS
FD_RESNET56_START = OfTheStart(FD_RESNET56)
_, FD_RESNET56_TEST, NEAREST_SUBSET = memorisation(
    RESNET56_POOLED,
    evaluator="fd-resnet56@1",
    train=SUBSET_TRAIN,
    num_train=SUBSET_SIZES["train"],
    test=SUBSET_TEST,
    num_samples=HALF,
)


DENSITY_RESNET56, COVERAGE_RESNET56, VENDI_RESNET56 = diversity(
    RESNET56_POOLED,
    evaluator="fd-resnet56@1",
    reference=HALF_A,
    num_reference=HALF,
    num_samples=HALF,
    suffix="resnet56",
)
AUTHENTICITY_RESNET56, FLD_RESNET56 = novelty(
    RESNET56_POOLED,
    evaluator="fd-resnet56@1",
    train=SUBSET_TRAIN,
    num_train=SUBSET_SIZES["train"],
    test=SUBSET_TEST,
    num_samples=HALF,
    suffix="resnet56",
)


@dataclass(frozen=True, kw_only=True)
class Floor:
    """A Frechet distance of real images in place of samples: what is left of it where there is no difference."""

    metric: FrechetDistance
    real: str

    @property
    def name(self) -> str:
        return f"{self.metric.stem}_floor@{self.metric.num_samples}"

    @property
    def title(self) -> str:
        return f"{self.metric.title} of real images"

    @property
    def protocol(self) -> MetricProtocol:
        own = self.metric.protocol
        return MetricProtocol(name=self.name, version=1, fields={**own.fields, "samples": self.real})

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        if inputs.samples is None:
            raise NoSamples
        of = self.metric.features
        real, reference = (inputs.reference[key].moments(of) for key in (self.real, self.metric.reference))
        return single(self.protocol, frechet_distance(real, reference), better="none")


assert isinstance(FD_RESNET56, FrechetDistance)
FD_RESNET56_FLOOR = Floor(metric=FD_RESNET56, real=HALF_B)


class Cifar10Subset(ImageTask):
    """9,085 lossless images of CIFAR-10, for wiring runs on a CPU: a distance in ResNet-56 features, never FID."""

    name, version = "cifar10_subset", 1
    family = "images/cifar10"
    auto_device = "cpu"
    event_shape = (3, SIZE, SIZE)
    num_samples = HALF
    batch_size = 250
    headline = (
        "fd_resnet56@4034",
        "fd_resnet56_floor@4034",
        "fd_resnet56@4034_start",
        "precision_resnet56@4034",
        "recall_resnet56@4034",
        "nearest_train@4034",
    )
    data_asset = CIFAR10_SUBSET
    scored_with = (CIFAR10_SUBSET, RESNET56_CIFAR10)
    pretrained_assets: ClassVar[Mapping[str, Asset]] = CIFAR10_WEIGHTS
    extractor = RESNET56
    scored_by: ClassVar[Sequence[Metric]] = (
        *RESNET56_METRICS,
        FD_RESNET56_FLOOR,
        FD_RESNET56_TEST,
        NEAREST_SUBSET,
        FD_RESNET56_START,
        DENSITY_RESNET56,
        COVERAGE_RESNET56,
        VENDI_RESNET56,
        AUTHENTICITY_RESNET56,
        FLD_RESNET56,
    )

    @cached_property
    def _splits(self) -> dict[str, LabelledImages]:
        return read_subset(CIFAR10_SUBSET.verify())

    def training_data(self) -> DataSource:
        return ImageData(read=lambda: read_subset(CIFAR10_SUBSET.verify())["train"])

    def real_images(self) -> Images:
        return self._splits["test"].images

    def oracle(self) -> Model:
        """Half B, so that the row `data` is the floor."""
        return real_images(self._splits["train"].images[halves()[1]])

    def references(self) -> Mapping[str, FeatureSource]:
        train = first_images(self._splits["train"].images, SUBSET_SIZES["train"])
        test = first_images(self._splits["test"].images, SUBSET_SIZES["test"])
        a, b = (PartOf(train, rows) for rows in halves())
        return {HALF_A: a, HALF_B: b, SUBSET_TRAIN: train, SUBSET_TEST: test}


def halves() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the training images of halves A and B, by one permutation."""
    order = np.random.default_rng(derive_seed("cifar10_subset@1", "halves")).permutation(SUBSET_SIZES["train"])
    return np.sort(order[:HALF]), np.sort(order[HALF:])


@cache
def read_subset(path: Path) -> dict[str, LabelledImages]:
    """Training and test images of the subset's npz; raises InvalidFile if it is damaged or another."""
    wanted = [f"{split}_{kind}" for split in SUBSET_SIZES for kind in ("images", "labels")]
    stored = load_arrays(path, wanted)
    if set(stored) != set(wanted):
        raise InvalidFile(f"{path} is not the subset: wants arrays named {', '.join(wanted)}, has {array_names(path)}")
    splits = {split: (stored[f"{split}_images"], stored[f"{split}_labels"]) for split in SUBSET_SIZES}
    for split, (images, _) in splits.items():
        if images.dtype != np.uint8 or images.shape != (SUBSET_SIZES[split], SIZE, SIZE, 3):
            raise InvalidFile(
                f"{path}: wants {split}_images uint8 [{SUBSET_SIZES[split]}, {SIZE}, {SIZE}, 3], "
                f"got {images.dtype} {list(images.shape)}"
            )
    return {
        split: LabelledImages(
            images=images, labels=check_labels(labels, n=len(images), num_classes=CIFAR10_CLASSES, where=path)
        )
        for split, (images, labels) in splits.items()
    }
