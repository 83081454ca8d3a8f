"""Metrics of images on features: Frechet and kernel distance, precision, recall, Inception score, memorisation."""

from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from dxbench.api import Estimate, Evidence, NotApplicable
from dxbench.metrics.features import FeatureMetric, Features, exactly, tiling
from dxbench.metrics.frechet import frechet_distance
from dxbench.metrics.inception import inception_scores, sorted_by_class
from dxbench.metrics.kernel import kernel_distances
from dxbench.metrics.neighbours import nearest_distances
from dxbench.metrics.precision_recall import precision, recall
from dxbench.metrics.scoring import repeated, single
from dxbench.metrics.vwkde import KL_ESTIMATOR, kernel_kl_on_axes
from dxbench.streams import derive_seed


@dataclass(frozen=True, kw_only=True)
class FrechetDistance(FeatureMetric):
    """Frechet distance of Gaussians fitted to features: FID on the 2015 Inception (arXiv:1706.08500).

    Attributes:
        reference: key of the reference in the evidence, images or statistics; it stands in the protocol.
    """

    reference: str

    @property
    def stem(self) -> str:
        return self.features.extractor.kinds[self.features.kind].frechet

    @property
    def choices(self) -> dict[str, JsonValue]:
        return {
            "reference": self.reference,
            "moments": "float64, ddof 1",
            "trace": "symmetric eigenvalues, or singular values below full rank",
        }

    def measure(self, evidence: Evidence) -> Estimate:
        generated = self.generated(evidence).moments(self.features)
        reference = evidence.reference[self.reference].moments(self.features)
        return single(self.protocol, frechet_distance(generated, reference), better="lower")


@dataclass(frozen=True, kw_only=True)
class KernelDistance(FeatureMetric):
    """Unbiased MMD^2 with a cubic kernel, KID on the 2015 Inception (arXiv:1801.01401); mean and std over subsets."""

    reference: str
    subsets: int = 100
    subset_size: int = 1000

    @property
    def stem(self) -> str:
        return self.features.extractor.kinds[self.features.kind].kernel

    @property
    def choices(self) -> dict[str, JsonValue]:
        return {
            "reference": self.reference,
            "kernel": "(a.b / d + 1)^3",
            "estimator": "unbiased MMD^2",
            "subsets": f"{self.subsets} of {self.subset_size:,}, drawn without replacement",
            "subset_seeds": "sha256 of (kernel distance, subsets)",
        }

    def measure(self, evidence: Evidence) -> Estimate:
        generated = self.generated(evidence).features(self.features)
        reference = evidence.reference[self.reference].features(self.features)
        if min(len(generated), len(reference)) < self.subset_size:
            raise NotApplicable(f"subsets of {self.subset_size:,} want at least as many samples and references")
        rng = np.random.default_rng(derive_seed("kernel distance", "subsets"))
        values = kernel_distances(generated, reference, subsets=self.subsets, subset_size=self.subset_size, rng=rng)
        return repeated(self.protocol, values.tolist(), better="lower")


@dataclass(frozen=True, kw_only=True)
class KernelKL(FeatureMetric):
    """KL(reference || samples) in nats of features on the reference's leading principal axes.

    By `vwkde.kernel_kl_on_axes`, mean and std over random subsets.
    """

    reference: str
    components: int = 8
    subsets: int = 5
    subset_size: int = 1000

    @property
    def stem(self) -> str:
        return "vwkde_kl"

    @property
    def choices(self) -> dict[str, JsonValue]:
        return {
            "reference": self.reference,
            "direction": "KL(reference || samples), nats",
            "space": f"{self.components} leading principal axes of the reference's subset",
            "estimator": KL_ESTIMATOR,
            "subsets": f"{self.subsets} of {self.subset_size:,}, drawn without replacement",
            "subset_seeds": "sha256 of (kernel kl, subsets)",
        }

    def measure(self, evidence: Evidence) -> Estimate:
        generated = self.generated(evidence).features(self.features)
        reference = evidence.reference[self.reference].features(self.features)
        if min(len(generated), len(reference)) < self.subset_size:
            raise NotApplicable(f"subsets of {self.subset_size:,} want at least as many samples and references")
        rng = np.random.default_rng(derive_seed("kernel kl", "subsets"))
        values = []
        for _ in range(self.subsets):
            real, drawn = (
                side[rng.choice(len(side), self.subset_size, replace=False)] for side in (reference, generated)
            )
            values.append(kernel_kl_on_axes(real, drawn, components=self.components, rng=rng))
        return repeated(self.protocol, values, better="lower")


@dataclass(frozen=True, kw_only=True)
class ManifoldMetric(FeatureMetric):
    """Base of precision and recall (arXiv:1904.06991).

    Attributes:
        num_reference: exactly how many references there are; ADM's evaluator takes 10,000.
        k: balls reach to the k-th nearest neighbour.
    """

    reference: str
    num_reference: int
    k: int = 3

    @property
    def choices(self) -> dict[str, JsonValue]:
        return {
            "reference": self.reference,
            "n_reference": self.num_reference,
            "k": self.k,
            "comparison": "distance <= radius, decided in float64",
        }

    def both(self, evidence: Evidence) -> tuple[Features, Features]:
        """Features of the samples and of the reference."""
        generated = self.generated(evidence).features(self.features)
        reference = exactly(evidence.reference[self.reference], self.num_reference, "references")
        return generated, reference.features(self.features)


@dataclass(frozen=True, kw_only=True)
class Precision(ManifoldMetric):
    """Share of samples on the manifold of the references; made-up samples lower it."""

    @property
    def stem(self) -> str:
        return "precision"

    def measure(self, evidence: Evidence) -> Estimate:
        generated, reference = self.both(evidence)
        value = precision(generated, reference, k=self.k, tiling=tiling(evidence))
        return single(self.protocol, value, better="higher")


@dataclass(frozen=True, kw_only=True)
class Recall(ManifoldMetric):
    """Share of references on the manifold of the samples; lost modes lower it."""

    @property
    def stem(self) -> str:
        return "recall"

    def measure(self, evidence: Evidence) -> Estimate:
        generated, reference = self.both(evidence)
        value = recall(generated, reference, k=self.k, tiling=tiling(evidence))
        return single(self.protocol, value, better="higher")


@dataclass(frozen=True, kw_only=True)
class InceptionScore(FeatureMetric):
    """exp(KL(p(y|x) || p(y))) over sequential blocks, mean and std of them (arXiv:1606.03498)."""

    splits: int = 10

    @property
    def stem(self) -> str:
        return "inception_score"

    @property
    def choices(self) -> dict[str, JsonValue]:
        return {"blocks": f"{self.splits} sequential, not shuffled"}

    def measure(self, evidence: Evidence) -> Estimate:
        logits = self.generated(evidence).features(self.features)
        if sorted_by_class(logits):
            raise NotApplicable("the samples are sorted by class, sequential blocks would score too low; shuffle them")
        return repeated(self.protocol, inception_scores(logits, splits=self.splits).tolist(), better="higher")


@dataclass(frozen=True, kw_only=True)
class NearestTrain(FeatureMetric):
    """Mean distance from a sample to the nearest training image in feature space.

    No merit by itself: set beside that of held-out images, a smaller one tells of memorisation.

    Attributes:
        train: key of the training images in the evidence.
        num_train: exactly how many they are; the nearest of more is nearer.
    """

    train: str
    num_train: int

    @property
    def stem(self) -> str:
        return "nearest_train"

    @property
    def choices(self) -> dict[str, JsonValue]:
        return {
            "train": self.train,
            "n_train": self.num_train,
            "statistic": "mean Euclidean distance to the nearest",
        }

    def measure(self, evidence: Evidence) -> Estimate:
        generated = self.generated(evidence).features(self.features)
        train = exactly(evidence.reference[self.train], self.num_train, "training images").features(self.features)
        distances = nearest_distances(generated, train, tiling=tiling(evidence))
        return single(self.protocol, distances.mean(), better="none")
