"""Metrics of images on features: distances, manifolds, diversity, likelihood, Inception score, memorisation."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from pydantic import JsonValue

from dxbench.api import Estimate, EvaluationInputs, NotApplicable
from dxbench.api.streams import derive_seed
from dxbench.metrics.images.authenticity import authenticity
from dxbench.metrics.images.features import FeatureMetric, Features, FeatureSource, exactly, tiling
from dxbench.metrics.images.frechet import frechet_distance
from dxbench.metrics.images.inception import inception_scores, sorted_by_class
from dxbench.metrics.images.kernel import kernel_distances
from dxbench.metrics.images.likelihood import FITTED, feature_likelihood_divergence
from dxbench.metrics.images.neighbours import nearest_distances
from dxbench.metrics.images.precision_recall import EXACT, Arithmetic, coverage, density
from dxbench.metrics.images.vendi import vendi_score
from dxbench.metrics.images.vwkde import KL_ESTIMATOR, kernel_kl_on_axes
from dxbench.metrics.points.energy_distance import energy_distance
from dxbench.metrics.scoring import repeated, single


@dataclass(frozen=True, kw_only=True)
class FrechetDistance(FeatureMetric):
    """Frechet distance of Gaussians fitted to features: FID on the 2015 Inception (arXiv:1706.08500).

    Attributes:
        reference: key of the reference in the inputs, images or statistics; it stands in the protocol.
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

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        generated = self.generated(inputs).moments(self.features)
        reference = inputs.reference[self.reference].moments(self.features)
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

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        generated = self.generated(inputs).features(self.features)
        reference = inputs.reference[self.reference].features(self.features)
        if min(len(generated), len(reference)) < self.subset_size:
            raise NotApplicable(f"subsets of {self.subset_size:,} want at least as many samples and references")
        rng = np.random.default_rng(derive_seed("kernel distance", "subsets"))
        values = kernel_distances(generated, reference, subsets=self.subsets, subset_size=self.subset_size, rng=rng)
        return repeated(self.protocol, values.tolist(), better="lower")


class Pairing(Protocol):
    """A way to bring draws of both sides together for an estimate that wants few of them."""

    @property
    def stream(self) -> str:
        """The name of the random stream, after "kernel kl"."""
        ...

    @property
    def fields(self) -> dict[str, JsonValue]: ...

    def pairs(
        self, reference: Features, generated: Features, *, rng: np.random.Generator
    ) -> Iterator[tuple[Features, Features]]:
        """Features of the reference and of samples; raises NotApplicable where there are too few."""
        ...


@dataclass(frozen=True, kw_only=True)
class RandomSubsets:
    """Random subsets of both, of one size."""

    count: int = 5
    size: int = 1000
    stream = "subsets"

    @property
    def fields(self) -> dict[str, JsonValue]:
        return {
            "subsets": f"{self.count} of {self.size:,}, drawn without replacement",
            "subset_seeds": f"sha256 of (kernel kl, {self.stream})",
        }

    def pairs(
        self, reference: Features, generated: Features, *, rng: np.random.Generator
    ) -> Iterator[tuple[Features, Features]]:
        if min(len(generated), len(reference)) < self.size:
            raise NotApplicable(f"subsets of {self.size:,} want at least as many samples and references")
        for _ in range(self.count):
            real, drawn = (side[rng.choice(len(side), self.size, replace=False)] for side in (reference, generated))
            yield real, drawn


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """All of the reference with each of `count` consecutive blocks of the samples."""

    count: int
    stream: str

    @property
    def fields(self) -> dict[str, JsonValue]:
        return {
            "subsets": f"the whole reference, {self.count} blocks of samples",
            "subset_seeds": f"sha256 of (kernel kl, {self.stream})",
        }

    def pairs(
        self, reference: Features, generated: Features, *, rng: np.random.Generator
    ) -> Iterator[tuple[Features, Features]]:
        return ((reference, block) for block in np.split(generated, self.count))


@dataclass(frozen=True, kw_only=True)
class KernelKL(FeatureMetric):
    """KL(reference || samples) in nats of features on the reference's leading principal axes.

    By `vwkde.kernel_kl_on_axes`, mean and std over pairs of subsets.
    """

    reference: str
    components: int = 8
    pairing: Pairing = RandomSubsets()

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
            **self.pairing.fields,
        }

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        generated = self.generated(inputs).features(self.features)
        reference = inputs.reference[self.reference].features(self.features)
        rng = np.random.default_rng(derive_seed("kernel kl", self.pairing.stream))
        values = [
            kernel_kl_on_axes(real, drawn, components=self.components, rng=rng)
            for real, drawn in self.pairing.pairs(reference, generated, rng=rng)
        ]
        return repeated(self.protocol, values, better="lower", unit="nats")


@dataclass(frozen=True, kw_only=True)
class ManifoldMetric(FeatureMetric):
    """Base of what compares samples with the manifold of references.

    Attributes:
        num_reference: exactly how many references there are; ADM's evaluator takes 10,000.
        k: balls reach to the k-th nearest neighbour.
    """

    reference: str
    num_reference: int
    k: int

    @property
    @abstractmethod
    def comparison(self) -> str:
        """The rule by which a point counts as inside a ball, for the protocol."""

    @property
    def choices(self) -> dict[str, JsonValue]:
        return {
            "reference": self.reference,
            "n_reference": self.num_reference,
            "k": self.k,
            "comparison": self.comparison,
        }

    def both(self, inputs: EvaluationInputs) -> tuple[Features, Features]:
        """Features of the samples and of the reference.

        Raises:
            NotApplicable: unless both are as many as the protocol says, and more than k.
        """
        generated = self.generated(inputs).features(self.features)
        source: FeatureSource = inputs.reference[self.reference]
        reference = source.features(self.features)  # of statistics there are none
        exactly(source, self.num_reference, "references")
        if min(len(generated), self.num_reference) <= self.k:
            raise NotApplicable(f"the {self.k}-th nearest neighbour wants more than {self.k} samples and references")
        return generated, reference


@dataclass(frozen=True, kw_only=True)
class PrecisionMetric(ManifoldMetric):
    """Base of precision and recall (arXiv:1904.06991).

    Attributes:
        arithmetic: how distances are computed and compared; ADM's own is `HALF_PRECISION`.
    """

    k: int = 3
    arithmetic: Arithmetic = EXACT

    @property
    def comparison(self) -> str:
        return self.arithmetic.comparison


@dataclass(frozen=True, kw_only=True)
class Precision(PrecisionMetric):
    """Share of samples on the manifold of the references; made-up samples lower it."""

    @property
    def stem(self) -> str:
        return "precision"

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        generated, reference = self.both(inputs)
        value = self.arithmetic.share_inside(generated, reference, k=self.k, tiling=tiling(inputs))
        return single(self.protocol, value, better="higher")


@dataclass(frozen=True, kw_only=True)
class Recall(PrecisionMetric):
    """Share of references on the manifold of the samples; lost modes lower it."""

    @property
    def stem(self) -> str:
        return "recall"

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        generated, reference = self.both(inputs)
        value = self.arithmetic.share_inside(reference, generated, k=self.k, tiling=tiling(inputs))
        return single(self.protocol, value, better="higher")


@dataclass(frozen=True, kw_only=True)
class BallMetric(ManifoldMetric):
    """Base of density and coverage (arXiv:2002.09797)."""

    k: int = 5

    @property
    def comparison(self) -> str:
        return "distance < radius, decided in float64"


@dataclass(frozen=True, kw_only=True)
class Density(BallMetric):
    """The number of balls of the references that a sample lies in, over k; 1 for one law."""

    @property
    def stem(self) -> str:
        return "density"

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        generated, reference = self.both(inputs)
        value = density(generated, reference, k=self.k, tiling=tiling(inputs))
        return single(self.protocol, value, better="higher")


@dataclass(frozen=True, kw_only=True)
class Coverage(BallMetric):
    """Share of references with a sample in their ball; lost modes lower it."""

    @property
    def stem(self) -> str:
        return "coverage"

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        generated, reference = self.both(inputs)
        value = coverage(generated, reference, k=self.k, tiling=tiling(inputs))
        return single(self.protocol, value, better="higher")


@dataclass(frozen=True, kw_only=True)
class Vendi(FeatureMetric):
    """The number of different samples that the samples are worth; it looks at no reference."""

    @property
    def stem(self) -> str:
        return "vendi"

    @property
    def choices(self) -> dict[str, JsonValue]:
        return {"kernel": "cosine", "order": 1}

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        value = vendi_score(self.generated(inputs).features(self.features))
        return single(self.protocol, value, better="higher")


@dataclass(frozen=True, kw_only=True)
class EnergyDistanceOfFeatures(FeatureMetric):
    """Unbiased energy distance of features."""

    reference: str

    @property
    def stem(self) -> str:
        return "energy_distance"

    @property
    def choices(self) -> dict[str, JsonValue]:
        return {"reference": self.reference, "estimator": "unbiased (U-statistics), float64"}

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        generated = self.generated(inputs).features(self.features)
        reference = inputs.reference[self.reference].features(self.features)
        return single(self.protocol, energy_distance(generated, reference), better="lower")


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

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        logits = self.generated(inputs).features(self.features)
        if sorted_by_class(logits):
            raise NotApplicable("the samples are sorted by class, sequential blocks would score too low; shuffle them")
        return repeated(self.protocol, inception_scores(logits, splits=self.splits).tolist(), better="higher")


@dataclass(frozen=True, kw_only=True)
class TrainMetric(FeatureMetric):
    """Base of what compares samples with training images.

    Attributes:
        train: key of the training images in the inputs.
        num_train: exactly how many they are; the nearest of more is nearer.
    """

    train: str
    num_train: int

    def train_features(self, inputs: EvaluationInputs) -> Features:
        """[num_train, dim]; raises NotApplicable if they are not as many as the protocol says."""
        return exactly(inputs.reference[self.train], self.num_train, "training images").features(self.features)


@dataclass(frozen=True, kw_only=True)
class Authenticity(TrainMetric):
    """Share of samples that are no copies of a training image."""

    @property
    def stem(self) -> str:
        return "authenticity"

    @property
    def choices(self) -> dict[str, JsonValue]:
        return {
            "train": self.train,
            "n_train": self.num_train,
            "authentic": "further from the nearest training image than that from its own nearest, float64",
        }

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        generated, train = self.generated(inputs).features(self.features), self.train_features(inputs)
        return single(self.protocol, authenticity(generated, train, tiling=tiling(inputs)), better="higher")


@dataclass(frozen=True, kw_only=True)
class FeatureLikelihood(TrainMetric):
    """Feature likelihood divergence: what samples say of unseen images, copies of training images counting nothing.

    Attributes:
        test: key of the unseen images in the inputs.
    """

    test: str

    @property
    def stem(self) -> str:
        return "fld"

    @property
    def choices(self) -> dict[str, JsonValue]:
        return {
            "train": self.train,
            "n_train": self.num_train,
            "test": self.test,
            "density": FITTED,
            "baseline": "a random half of the training features, sha256 of (feature likelihood, half)",
        }

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        generated, train = self.generated(inputs).features(self.features), self.train_features(inputs)
        test = inputs.reference[self.test].features(self.features)
        rng = np.random.default_rng(derive_seed("feature likelihood", "half"))
        return single(self.protocol, feature_likelihood_divergence(generated, train, test, rng=rng), better="lower")


@dataclass(frozen=True, kw_only=True)
class NearestTrain(TrainMetric):
    """Mean distance from a sample to the nearest training image in feature space.

    No merit by itself: set beside that of held-out images, a smaller one tells of memorisation.
    """

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

    def measure(self, inputs: EvaluationInputs) -> Estimate:
        generated = self.generated(inputs).features(self.features)
        distances = nearest_distances(generated, self.train_features(inputs), tiling=tiling(inputs))
        return single(self.protocol, distances.mean(), better="none")
