"""Named, versioned protocols: which features, references, numbers and choices give a published column.

References are named by keys of `FeatureEvidence.reference`; the key stands in the protocol, so it says what the set
is, such as "cifar10 train, 50,000". Metrics that read one extractor share one pass over the images.
"""

from dxbench.features.inception import INCEPTION_CLEAN, INCEPTION_TENSORFLOW, INCEPTION_TORCH
from dxbench.features.resnet56 import RESNET56
from dxbench.metrics.features import FeatureExtractor, FeatureMetric, FeatureSet
from dxbench.metrics.fidelity import (
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    NearestTrain,
    Precision,
    Recall,
)


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


def _sets(extractor: FeatureExtractor, *kinds: str) -> tuple[FeatureSet, ...]:
    return tuple(FeatureSet(extractor=extractor, kind=kind) for kind in kinds)
