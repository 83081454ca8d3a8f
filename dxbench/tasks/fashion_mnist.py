"""Fashion-MNIST: clothes of 28 x 28 grey pixels, lossless and complete, without classes and with.

Samples are compared with the test images, which nobody trains or chooses anything on, so that copies of training images
come no nearer than other real images do. `fashion_mnist_validation` is the same with the validation images in their
place, for choosing settings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np

from dxbench.api import DataSource, Metric, Model
from dxbench.assets import Asset
from dxbench.assets.catalogue import FASHION_MNIST, FASHION_STARTS, INCEPTION_2015, MNIST
from dxbench.features.fashion_net import FASHION_NET, FEATURES, LOGITS, PIXELS
from dxbench.features.grey import GreyAsColour
from dxbench.features.inception import INCEPTION_TENSORFLOW
from dxbench.features.protocols import diversity, fidelity
from dxbench.metrics.energy import SetAUC
from dxbench.metrics.images.classes import ClassAccuracy, ClassShare
from dxbench.metrics.images.features import FeatureMetric, FeatureSet, FeatureSource
from dxbench.metrics.images.fidelity import Authenticity, FrechetDistance, KernelDistance, KernelKL, NearestTrain
from dxbench.metrics.later import Later
from dxbench.metrics.start import OfTheStart
from dxbench.tasks.fashion_data import (
    CLASSES,
    DATA_STD,
    NUM_ENERGIES,
    PATCH,
    SIZE,
    SPLIT_SIZES,
    blended_images,
    fashion_splits,
    mnist_digits,
    permuted_images,
    uniform_images,
)
from dxbench.tasks.image_data import ImageData, real_images, to_floats
from dxbench.tasks.images import ENERGIES_OF, Images, ImageTask, Labels, first_images

EVALUATOR = "fashion@1"
SETS = {
    "train": "fashion_mnist train, first 55,000",
    "validation": "fashion_mnist train, last 5,000",
    "test": "fashion_mnist test, 10,000",
}
POOL3 = FeatureSet(extractor=GreyAsColour(extractor=INCEPTION_TENSORFLOW), kind="pool3")
INCEPTION_COST = "the Inception takes half an hour of a CPU, or seconds of a GPU, for 10,000 images"
OTHERS: Mapping[str, tuple[Callable[[str], Images], str]] = {
    "uniform": (uniform_images, "images of uniformly random bytes"),
    "mnist": (mnist_digits, "digits of MNIST"),
    "blends": (blended_images, "means of two images of different classes"),
    "permuted": (permuted_images, f"images whose patches of {PATCH} x {PATCH} are permuted"),
}


def of_samples(split: str) -> tuple[FeatureMetric, ...]:
    """Metrics of as many samples as the split has images, in the features of the shipped net."""
    n, reference, train, num_train = SPLIT_SIZES[split], SETS[split], SETS["train"], SPLIT_SIZES["train"]
    fd, kd, precision, recall = fidelity(
        FASHION_NET,
        kind=FEATURES.kind,
        evaluator=EVALUATOR,
        reference=reference,
        num_reference=n,
        num_samples=n,
        suffix="fashion",
    )
    density, coverage, vendi = diversity(
        FEATURES, evaluator=EVALUATOR, reference=reference, num_reference=n, num_samples=n, suffix="fashion"
    )
    return (
        fd,
        FrechetDistance(evaluator=EVALUATOR, features=FEATURES, num_samples=n, reference=train, suffix="train"),
        kd,
        precision,
        recall,
        density,
        coverage,
        vendi,
        KernelKL(evaluator=EVALUATOR, features=FEATURES, num_samples=n, reference=reference, suffix="fashion"),
        ClassShare(evaluator=EVALUATOR, features=LOGITS, num_samples=n, extreme="min"),
        ClassShare(evaluator=EVALUATOR, features=LOGITS, num_samples=n, extreme="max"),
        NearestTrain(evaluator=EVALUATOR, features=PIXELS, num_samples=n, train=train, num_train=num_train),
        Authenticity(
            evaluator=EVALUATOR, features=FEATURES, num_samples=n, train=train, num_train=num_train, suffix="fashion"
        ),
    )


def of_inception(split: str) -> tuple[FeatureMetric, ...]:
    """FID and KID of grey images as colour ones; comparable with those of no other set."""
    n, reference = SPLIT_SIZES[split], SETS[split]
    return (
        FrechetDistance(evaluator=EVALUATOR, features=POOL3, num_samples=n, reference=reference),
        KernelDistance(evaluator=EVALUATOR, features=POOL3, num_samples=n, reference=reference),
    )


def of_energies(split: str) -> tuple[SetAUC, ...]:
    """AUROC of -E, the split's first images against what is none of them."""
    return tuple(
        SetAUC(
            against=name,
            positive=f"first {NUM_ENERGIES:,} of {SETS[split]}",
            negative=f"{NUM_ENERGIES:,} {words}",
            normal=lambda: to_floats(fashion_splits()[split].images[:NUM_ENERGIES]),
            others=lambda of=of: to_floats(of(split)),
        )
        for name, (of, words) in OTHERS.items()
    )


def every(features: Sequence[FeatureMetric], inception: Sequence[FeatureMetric], split: str) -> tuple[Metric, ...]:
    """All columns of a task, the start's distance among them."""
    return (
        *features,
        OfTheStart(features[0]),
        *(Later(metric, INCEPTION_COST) for metric in inception),
        *of_energies(split),
    )


class FashionMNIST(ImageTask):
    """Fashion-MNIST, 10,000 samples: distances in features of a shipped net, copies, and what the energy knows."""

    name, version = "fashion_mnist", 1
    family = "images/fashion_mnist"
    event_shape = (1, SIZE, SIZE)
    data_std = DATA_STD
    split: ClassVar[str] = "test"
    num_samples = SPLIT_SIZES["test"]
    batch_size = 500
    headline = (
        "fd_fashion@10k",
        "fd_fashion@10k_start",
        "fid@10k",
        "precision_fashion@10k",
        "recall_fashion@10k",
        "nearest_train@10k",
        "energy_auc_blends",
    )
    data_asset = FASHION_MNIST[0]
    scored_with = (*FASHION_MNIST, MNIST)
    scored_later = (INCEPTION_2015,)
    pretrained_assets: ClassVar[Mapping[str, Asset]] = FASHION_STARTS
    extractor = FASHION_NET
    scored_by: ClassVar[Sequence[Metric]] = every(of_samples("test"), of_inception("test"), "test")

    def training_data(self) -> DataSource:
        return ImageData(read=lambda: fashion_splits()["train"])

    def real_images(self) -> Images:
        return fashion_splits()[self.split].images

    def other_images(self) -> Mapping[str, Images]:
        return {name: read(self.split)[:ENERGIES_OF] for name, (read, _) in OTHERS.items()}

    def oracle(self) -> Model:
        """Training images, each once: what a sampler of the true law has left at as many samples."""
        return real_images(fashion_splits()["train"].images)

    def references(self) -> Mapping[str, FeatureSource]:
        return {SETS[split]: first_images(fashion_splits()[split].images, SPLIT_SIZES[split]) for split in SETS}


class FashionMNISTValidation(FashionMNIST):
    """Fashion-MNIST, 5,000 samples against the validation images: for choosing settings, never a result."""

    name = "fashion_mnist_validation"
    split = "validation"
    num_samples = SPLIT_SIZES["validation"]
    headline = tuple(name.replace("@10k", "@5k") for name in FashionMNIST.headline)
    scored_by: ClassVar[Sequence[Metric]] = every(of_samples("validation"), of_inception("validation"), "validation")


def balanced_labels(n: int) -> Labels:
    """Classes of n samples, [n]: 0 to 9 in turn."""
    return np.arange(n) % CLASSES


def of_classes(metrics: Sequence[FeatureMetric]) -> tuple[FeatureMetric, ...]:
    """The same of samples whose classes are in turn."""
    return tuple(replace(metric, labels=f"0 to {CLASSES - 1} in turn") for metric in metrics)


CLASS_ACCURACY = ClassAccuracy(
    evaluator=EVALUATOR,
    features=LOGITS,
    num_samples=SPLIT_SIZES["test"],
    wanted=partial(balanced_labels, SPLIT_SIZES["test"]),
)


class FashionMNISTClasses(FashionMNIST):
    """Fashion-MNIST, class-conditional, 10,000 samples of classes in turn."""

    name = "fashion_mnist_classes"
    family = "images/fashion_mnist_classes"
    num_classes = CLASSES
    headline = (*FashionMNIST.headline[:5], "class_accuracy@10k", *FashionMNIST.headline[5:])
    scored_by: ClassVar[Sequence[Metric]] = every(
        of_classes((*of_samples("test"), CLASS_ACCURACY)), of_classes(of_inception("test")), "test"
    )

    def labels(self) -> Labels:
        return balanced_labels(self.num_samples)
