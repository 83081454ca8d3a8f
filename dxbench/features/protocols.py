"""Named, versioned protocols: which features, references, numbers and choices give a published column.

References are named by keys of `FeatureInputs.reference`; the key stands in the protocol, so it says what the set
is, such as "cifar10 train, 50,000". Metrics that read one extractor share one pass over the images.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from dxbench.features.digits_net import DIGITS_NET, FEATURES
from dxbench.features.inception import INCEPTION_CLEAN, INCEPTION_TENSORFLOW, INCEPTION_TORCH
from dxbench.features.points import Coordinates
from dxbench.features.resnet56 import RESNET56
from dxbench.metrics.images.features import FeatureExtractor, FeatureMetric, FeatureSet
from dxbench.metrics.images.fidelity import (
    Authenticity,
    Coverage,
    Density,
    EnergyDistanceOfFeatures,
    FeatureLikelihood,
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    NearestTrain,
    Precision,
    Recall,
    Vendi,
)
from dxbench.metrics.images.precision_recall import HALF_PRECISION


def _sets(extractor: FeatureExtractor, *kinds: str) -> tuple[FeatureSet, ...]:
    return tuple(FeatureSet(extractor=extractor, kind=kind) for kind in kinds)


def adm(
    *, reference: str, manifold: str, num_manifold: int = 10_000, num_samples: int = 50_000
) -> tuple[FeatureMetric, ...]:
    """ADM's evaluator (arXiv:2105.05233): FID, sFID, Inception score, precision and recall.

    The papers' evaluator for ImageNet 64 and LSUN, and DxMI's for CIFAR-10. Its reference files hold statistics of
    the whole set (`reference`) and, for precision and recall, 10,000 of its images (`manifold`).
    """
    pool3, spatial, logits = _sets(INCEPTION_TENSORFLOW, "pool3", "spatial", "logits")
    return (
        FrechetDistance(evaluator="adm@1", features=pool3, num_samples=num_samples, reference=reference),
        FrechetDistance(evaluator="adm@1", features=spatial, num_samples=num_samples, reference=reference),
        InceptionScore(evaluator="adm@1", features=logits, num_samples=num_samples),
        Precision(
            evaluator="adm@1", features=pool3, num_samples=num_samples, reference=manifold, num_reference=num_manifold
        ),
        Recall(
            evaluator="adm@1", features=pool3, num_samples=num_samples, reference=manifold, num_reference=num_manifold
        ),
    )


PREVIEW_SIZES = (5_000, 10_000)


def previews(metric: FeatureMetric) -> tuple[FeatureMetric, ...]:
    """The metric of 5,000 and of 10,000 samples, under names and protocols of their own."""
    return tuple(replace(metric, num_samples=n) for n in PREVIEW_SIZES)


def edm(*, reference: str, num_samples: int = 50_000) -> tuple[FeatureMetric, ...]:
    """EDM's `fid.py` (arXiv:2206.00364): the same features as ADM's, against EDM's own statistics."""
    (pool3,) = _sets(INCEPTION_TENSORFLOW, "pool3")
    return (
        FrechetDistance(evaluator="edm@1", features=pool3, num_samples=num_samples, reference=reference, suffix="edm"),
    )


def pytorch_fid(*, reference: str, num_samples: int = 50_000) -> tuple[FeatureMetric, ...]:
    """The pytorch-fid package: torch's bilinear resize; what DxMI's training loop selects checkpoints by."""
    (pool3,) = _sets(INCEPTION_TORCH, "pool3")
    return (FrechetDistance(evaluator="pytorch-fid@1", features=pool3, num_samples=num_samples, reference=reference),)


def clean(*, reference: str, num_samples: int = 50_000) -> tuple[FeatureMetric, ...]:
    """clean-fid (arXiv:2104.11222): antialiased resize; FID and KID, whose reference has to be images."""
    (pool3,) = _sets(INCEPTION_CLEAN, "pool3")
    return (
        FrechetDistance(evaluator="clean@1", features=pool3, num_samples=num_samples, reference=reference),
        KernelDistance(evaluator="clean@1", features=pool3, num_samples=num_samples, reference=reference),
    )


def fidelity(
    extractor: FeatureExtractor,
    *,
    evaluator: str,
    kind: str = "pooled",
    reference: str,
    num_reference: int,
    num_samples: int,
    subsets: int = 100,
    subset_size: int = 1000,
    suffix: str = "",
) -> tuple[FeatureMetric, ...]:
    """Frechet and kernel distance, precision and recall on any extractor: `fd_resnet56`, `fd_digits` and the like."""
    (features,) = _sets(extractor, kind)
    return (
        FrechetDistance(evaluator=evaluator, features=features, num_samples=num_samples, reference=reference),
        KernelDistance(
            evaluator=evaluator,
            features=features,
            num_samples=num_samples,
            reference=reference,
            subsets=subsets,
            subset_size=subset_size,
        ),
        Precision(
            evaluator=evaluator,
            features=features,
            num_samples=num_samples,
            reference=reference,
            num_reference=num_reference,
            suffix=suffix,
        ),
        Recall(
            evaluator=evaluator,
            features=features,
            num_samples=num_samples,
            reference=reference,
            num_reference=num_reference,
            suffix=suffix,
        ),
    )


def fd_resnet56(*, reference: str, num_reference: int, num_samples: int) -> tuple[FeatureMetric, ...]:
    """`fidelity` in the features of a CIFAR-10 ResNet-56; comparable with no FID."""
    return fidelity(
        RESNET56,
        evaluator="fd-resnet56@1",
        reference=reference,
        num_reference=num_reference,
        num_samples=num_samples,
        suffix="resnet56",
    )


def memorisation(
    features: FeatureSet, *, evaluator: str, train: str, num_train: int, test: str, num_samples: int
) -> tuple[FeatureMetric, ...]:
    """Frechet distance to train and to test images, and the distance to the nearest training image.

    A sampler that copies is near the training set, in the first and the last, and no nearer to the test set.
    """
    return (
        FrechetDistance(
            evaluator=evaluator, features=features, num_samples=num_samples, reference=train, suffix="train"
        ),
        FrechetDistance(evaluator=evaluator, features=features, num_samples=num_samples, reference=test, suffix="test"),
        NearestTrain(evaluator=evaluator, features=features, num_samples=num_samples, train=train, num_train=num_train),
    )


def diversity(
    features: FeatureSet,
    *,
    evaluator: str,
    reference: str,
    num_reference: int,
    num_samples: int,
    suffix: str = "",
) -> tuple[FeatureMetric, ...]:
    """Density, coverage and the Vendi score."""
    return (
        Density(
            evaluator=evaluator,
            features=features,
            num_samples=num_samples,
            reference=reference,
            num_reference=num_reference,
            suffix=suffix,
        ),
        Coverage(
            evaluator=evaluator,
            features=features,
            num_samples=num_samples,
            reference=reference,
            num_reference=num_reference,
            suffix=suffix,
        ),
        Vendi(evaluator=evaluator, features=features, num_samples=num_samples, suffix=suffix),
    )


def novelty(
    features: FeatureSet,
    *,
    evaluator: str,
    train: str,
    num_train: int,
    test: str,
    num_samples: int,
    suffix: str = "",
) -> tuple[FeatureMetric, ...]:
    """Authenticity and the feature likelihood divergence, which copies of training images do not flatter."""
    return (
        Authenticity(
            evaluator=evaluator,
            features=features,
            num_samples=num_samples,
            train=train,
            num_train=num_train,
            suffix=suffix,
        ),
        FeatureLikelihood(
            evaluator=evaluator,
            features=features,
            num_samples=num_samples,
            train=train,
            num_train=num_train,
            test=test,
            suffix=suffix,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Sides:
    """The two sets of a score: the samples, and what they are scored against.

    Attributes:
        dim: coordinates of points; 0 for images.
        num_samples: of the set.
        reference: its name in protocols.
        num_reference: how many samples it holds; 0 where only statistics of it are at hand.
        train: name of the training set of the model, where it is given.
        num_train: how many samples that holds.
    """

    dim: int
    num_samples: int
    reference: str
    num_reference: int
    train: str | None
    num_train: int

    @property
    def subset_size(self) -> int:
        """The size of the subsets of kernel distances: 1,000, or all of the smaller set, as clean-fid takes it."""
        return min(1000, self.num_samples, self.num_reference or 1000)

    @property
    def subsets(self) -> int:
        """The number of subsets: one where a subset is all of both sets."""
        return 1 if self.num_samples == self.num_reference == self.subset_size else 100


@dataclass(frozen=True, kw_only=True)
class SetProtocol:
    """A protocol by which any set is scored against any other: what `dxbench eval --against` takes by name.

    Attributes:
        extractor: whose features are read; None for points, which are their own.
        metrics: for two sets.
    """

    name: str
    summary: str
    extractor: FeatureExtractor | None
    metrics: Callable[[Sides], tuple[FeatureMetric, ...]]


def _adm(sides: Sides) -> tuple[FeatureMetric, ...]:
    return adm(
        reference=sides.reference,
        manifold=sides.reference,
        num_manifold=sides.num_reference,
        num_samples=sides.num_samples,
    )


def _adm_half(sides: Sides) -> tuple[FeatureMetric, ...]:
    return tuple(
        replace(metric, arithmetic=HALF_PRECISION, suffix="fp16")
        for metric in _adm(sides)
        if isinstance(metric, Precision | Recall)
    )


def _clean(sides: Sides) -> tuple[FeatureMetric, ...]:
    fid, kid = clean(reference=sides.reference, num_samples=sides.num_samples)
    assert isinstance(kid, KernelDistance)
    return fid, replace(kid, subsets=sides.subsets, subset_size=sides.subset_size)


def _everything(features: FeatureSet, evaluator: str, suffix: str) -> Callable[[Sides], tuple[FeatureMetric, ...]]:
    """`fidelity`, `diversity` and, against a training set, `novelty`."""

    def metrics(sides: Sides) -> tuple[FeatureMetric, ...]:
        of_reference = fidelity(
            features.extractor,
            kind=features.kind,
            evaluator=evaluator,
            reference=sides.reference,
            num_reference=sides.num_reference,
            num_samples=sides.num_samples,
            subsets=sides.subsets,
            subset_size=sides.subset_size,
            suffix=suffix,
        )
        return (*of_reference, *_beyond(features, evaluator, suffix, sides))

    return metrics


def _beyond(features: FeatureSet, evaluator: str, suffix: str, sides: Sides) -> tuple[FeatureMetric, ...]:
    """`diversity` and, against a training set, `novelty`."""
    found = diversity(
        features,
        evaluator=evaluator,
        reference=sides.reference,
        num_reference=sides.num_reference,
        num_samples=sides.num_samples,
        suffix=suffix,
    )
    if sides.train is None:
        return found
    new = novelty(
        features,
        evaluator=evaluator,
        train=sides.train,
        num_train=sides.num_train,
        test=sides.reference,
        num_samples=sides.num_samples,
        suffix=suffix,
    )
    return (*found, *new)


def _points(sides: Sides) -> tuple[FeatureMetric, ...]:
    features = FeatureSet(extractor=Coordinates(sides.dim), kind="points")
    return (
        EnergyDistanceOfFeatures(
            evaluator="points@1", features=features, num_samples=sides.num_samples, reference=sides.reference
        ),
        # The directions of points from the origin, which the Vendi score compares, mean nothing.
        *(m for m in _everything(features, "points@1", "points")(sides) if not isinstance(m, Vendi)),
    )


POOL3 = FeatureSet(extractor=INCEPTION_TENSORFLOW, kind="pool3")
SET_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        SetProtocol(
            name="adm",
            summary="ADM's evaluator: FID, sFID, Inception score, precision and recall",
            extractor=INCEPTION_TENSORFLOW,
            metrics=_adm,
        ),
        SetProtocol(
            name="adm-fp16",
            summary="precision and recall in float16, as ADM's own code computes them; a little higher",
            extractor=INCEPTION_TENSORFLOW,
            metrics=_adm_half,
        ),
        SetProtocol(
            name="edm",
            summary="EDM's fid.py: FID",
            extractor=INCEPTION_TENSORFLOW,
            metrics=lambda sides: edm(reference=sides.reference, num_samples=sides.num_samples),
        ),
        SetProtocol(
            name="pytorch-fid",
            summary="the pytorch-fid package: FID",
            extractor=INCEPTION_TORCH,
            metrics=lambda sides: pytorch_fid(reference=sides.reference, num_samples=sides.num_samples),
        ),
        SetProtocol(
            name="clean",
            summary="clean-fid: FID and KID",
            extractor=INCEPTION_CLEAN,
            metrics=_clean,
        ),
        SetProtocol(
            name="diversity",
            summary="density, coverage, Vendi score; with --train authenticity and FLD; on ADM's Inception features",
            extractor=INCEPTION_TENSORFLOW,
            metrics=lambda sides: _beyond(POOL3, "diversity@1", "", sides),
        ),
        SetProtocol(
            name="fd-resnet56",
            summary="all of 32 x 32 colour images in the features of a CIFAR-10 ResNet-56; never an FID",
            extractor=RESNET56,
            metrics=_everything(FeatureSet(extractor=RESNET56, kind="pooled"), "fd-resnet56@1", "resnet56"),
        ),
        SetProtocol(
            name="fd-digits",
            summary="all of 8 x 8 grey images in the features of the digit net, which is shipped; never an FID",
            extractor=DIGITS_NET,
            metrics=_everything(FEATURES, "fd-digits@1", "digits"),
        ),
        SetProtocol(
            name="points",
            summary="energy distance and all of points in their own coordinates",
            extractor=None,
            metrics=_points,
        ),
    )
}
"""Protocols for two sets, by name."""
