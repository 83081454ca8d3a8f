"""Metrics of task `digits`, all from one pass through its feature net."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dxbench.api import Direction, Estimate, Evidence, MetricProtocol, Recheck
from dxbench.api.streams import derive_seed
from dxbench.metrics.detection.ranking import auroc
from dxbench.metrics.digits_net import SHA256, features_and_logits
from dxbench.metrics.images.authenticity import authenticity
from dxbench.metrics.images.frechet import array_moments, frechet_distance
from dxbench.metrics.images.likelihood import FITTED, feature_likelihood_divergence
from dxbench.metrics.images.neighbours import nearest_distances
from dxbench.metrics.images.precision_recall import coverage, density, precision, recall
from dxbench.metrics.images.vendi import vendi_score
from dxbench.metrics.images.vwkde import KL_ESTIMATOR, kernel_kl_on_axes
from dxbench.metrics.points.modes import share_tolerance
from dxbench.metrics.scoring import repeated, require_energy, require_part, require_samples, single

Array = NDArray[np.float64]

NUM_SAMPLES = 4000
BLOCK = 400
FLD_SAMPLES = 1000
EXTRACTOR = f"digits_net, 32 features before the last ReLU, weights sha256 {SHA256[:16]}"
QUANTISATION = "rounded to the 17 levels of the data, clipped to [-1, 1]"


class HasDigits(Protocol):
    """A reference with real digits and images that are none, [n, 1, 8, 8] in [-1, 1], and features of the former."""

    train: Array
    test: Array
    uniform: Array
    blends: Array
    train_features: Array
    test_features: Array

    def feature_pass(self, images: Array) -> "FeaturePass":
        """Features and logits of images; the last answer is kept, so that metrics share one pass."""
        ...


@dataclass(frozen=True)
class FeaturePass:
    """Features [n, 32] and logits [n, 10]."""

    features: Array
    logits: Array

    @classmethod
    def of(cls, images: Array) -> "FeaturePass":
        return cls(*features_and_logits(images))


def _fields(reference: str, **fields: str | int) -> dict[str, str | int]:
    return {"extractor": EXTRACTOR, "quantisation": QUANTISATION, "reference": reference, **fields}


@dataclass(frozen=True, kw_only=True)
class DigitsFrechet:
    """Frechet distance of Gaussians fitted to features of samples and of a split; never called FID."""

    name: str = "fd_digits"
    title: str = "Frechet distance in digit features"
    split: Literal["test", "train"] = "test"
    reference: str

    @property
    def protocol(self) -> MetricProtocol:
        fields = _fields(
            f"{self.split} split of {self.reference}",
            distance="||m1 - m2||^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), covariances with ddof 1, float64",
            n_samples=NUM_SAMPLES,
        )
        return MetricProtocol(name=self.name, version=1, fields=dict(fields))

    def measure(self, evidence: Evidence) -> Estimate:
        samples = require_samples(evidence, NUM_SAMPLES)
        reference: HasDigits = evidence.reference
        real = reference.test_features if self.split == "test" else reference.train_features
        generated = reference.feature_pass(samples).features
        value = frechet_distance(array_moments(generated), array_moments(real))
        return single(self.protocol, value, better="lower")

    def recheck(self, evidence: Evidence) -> Recheck:
        """The root is a distance of Gaussians and obeys the triangle inequality (Dowson & Landau 1982).

        So all samples lie from the reference as far as the part does, but for the distance of the part from all
        samples; two halves of the part are further apart than that.
        """
        samples = require_part(evidence)
        reference: HasDigits = evidence.reference
        real = array_moments(reference.test_features if self.split == "test" else reference.train_features)
        features = reference.feature_pass(samples).features
        value = frechet_distance(array_moments(features), real)
        halves = frechet_distance(array_moments(features[::2]), array_moments(features[1::2]))
        low, high = (max(0.0, value**0.5 + sign * halves**0.5) ** 2 for sign in (-1, 1))
        return Recheck(value=value, low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class DigitsPrecisionRecall:
    """Precision: share of samples on the manifold of test digits; recall: the reverse; mean over blocks of 400."""

    which: Literal["precision", "recall"]
    k: int = 3
    reference: str

    @property
    def name(self) -> str:
        return f"{self.which}_digits"

    @property
    def title(self) -> str:
        return f"{self.which} in digit features"

    @property
    def protocol(self) -> MetricProtocol:
        fields = _fields(
            f"test split of {self.reference}",
            manifold=f"balls to the {self.k}. nearest neighbour",
            n_samples=f"{NUM_SAMPLES // BLOCK} blocks of {BLOCK}, as many as test digits",
        )
        return MetricProtocol(name=self.name, version=1, fields=dict(fields))

    def measure(self, evidence: Evidence) -> Estimate:
        samples = require_samples(evidence, NUM_SAMPLES)
        reference: HasDigits = evidence.reference
        blocks = np.split(reference.feature_pass(samples).features, NUM_SAMPLES // BLOCK)
        share = {"precision": precision, "recall": recall}[self.which]
        values = [share(block, reference.test_features, k=self.k) for block in blocks]
        return repeated(self.protocol, values, better="higher")


@dataclass(frozen=True, kw_only=True)
class DigitsKL:
    """KL(test digits || samples) in nats on the leading principal axes of the features, mean over blocks of 400.

    It sees a lost class, blur and noise alike; 0 for unseen digits, and for copies of the training digits too.
    """

    name: str = "vwkde_kl_digits"
    title: str = "KL in digit features [nats]"
    components: int = 8
    reference: str

    @property
    def protocol(self) -> MetricProtocol:
        fields = _fields(
            f"test split of {self.reference}",
            direction="KL(test || samples)",
            space=f"{self.components} leading principal axes of the test features",
            estimator=KL_ESTIMATOR,
            n_samples=f"{NUM_SAMPLES // BLOCK} blocks of {BLOCK}, as many as test digits",
            seeds="centres of the radial functions: sha256 of (kernel kl, digits)",
        )
        return MetricProtocol(name=self.name, version=1, fields=dict(fields))

    def measure(self, evidence: Evidence) -> Estimate:
        samples = require_samples(evidence, NUM_SAMPLES)
        reference: HasDigits = evidence.reference
        rng = np.random.default_rng(derive_seed("kernel kl", "digits"))
        values = [
            kernel_kl_on_axes(reference.test_features, block, components=self.components, rng=rng)
            for block in np.split(reference.feature_pass(samples).features, NUM_SAMPLES // BLOCK)
        ]
        return repeated(self.protocol, values, better="lower", unit="nats")


Measure = Callable[[Array, HasDigits], list[float]]


@dataclass(frozen=True, kw_only=True)
class DigitsFeatureMetric:
    """A number of the features of the samples and of the reference's digits.

    Attributes:
        fields: of the protocol, beyond features and quantisation.
        values: from features [4000, 32] and the reference to the number, or to several that are averaged.
    """

    name: str
    title: str
    better: Direction
    fields: tuple[tuple[str, str | int], ...]
    values: Measure
    reference: str

    @property
    def protocol(self) -> MetricProtocol:
        return MetricProtocol(name=self.name, version=1, fields=dict(_fields(self.reference, **dict(self.fields))))

    def measure(self, evidence: Evidence) -> Estimate:
        samples = require_samples(evidence, NUM_SAMPLES)
        reference: HasDigits = evidence.reference
        features = reference.feature_pass(samples).features
        return repeated(self.protocol, self.values(features, reference), better=self.better)


def of_blocks(measure: Callable[[Array, Array], float]) -> Measure:
    """A number of blocks of 400 samples, each against as many test digits."""
    return lambda features, reference: [
        measure(block, reference.test_features) for block in np.split(features, NUM_SAMPLES // BLOCK)
    ]


def feature_metrics(name: str) -> tuple[DigitsFeatureMetric, ...]:
    """Density, coverage, authenticity, feature likelihood divergence and Vendi score of a task's digits."""
    test, train = f"test split of {name}", f"train split of {name}"
    blocks = ("n_samples", f"{NUM_SAMPLES // BLOCK} blocks of {BLOCK}, as many as test digits")
    balls = ("manifold", "balls to the 5. nearest neighbour, distance < radius"), blocks
    every = ("n_samples", NUM_SAMPLES)

    def likelihood(features: Array, reference: HasDigits) -> list[float]:
        rng = np.random.default_rng(derive_seed("feature likelihood", "half"))
        train, test = reference.train_features, reference.test_features
        return [feature_likelihood_divergence(features[:FLD_SAMPLES], train, test, rng=rng)]

    return (
        DigitsFeatureMetric(
            name="density_digits",
            title="density in digit features",
            better="higher",
            fields=balls,
            values=of_blocks(density),
            reference=test,
        ),
        DigitsFeatureMetric(
            name="coverage_digits",
            title="coverage in digit features",
            better="higher",
            fields=balls,
            values=of_blocks(coverage),
            reference=test,
        ),
        DigitsFeatureMetric(
            name="authenticity_digits",
            title="authenticity in digit features",
            better="higher",
            fields=(every,),
            values=lambda features, reference: [authenticity(features, reference.train_features)],
            reference=train,
        ),
        DigitsFeatureMetric(
            name="fld_digits",
            title="feature likelihood divergence in digit features",
            better="lower",
            fields=(("train", train), ("density", FITTED), ("n_samples", FLD_SAMPLES)),
            values=likelihood,
            reference=test,
        ),
        DigitsFeatureMetric(
            name="vendi_digits",
            title="Vendi score in digit features",
            better="higher",
            fields=(("kernel", "cosine"), every),
            values=lambda features, reference: [vendi_score(features)],
            reference="none",
        ),
    )


@dataclass(frozen=True, kw_only=True)
class NearestTrain:
    """Mean distance of a sample to the nearest training digit, root mean square over pixels.

    Memorised samples are nearer than unseen digits are (row `data`), poor ones further: neither way is good.
    """

    name: str = "nearest_train"
    title: str = "distance to the nearest training digit"
    reference: str

    @property
    def protocol(self) -> MetricProtocol:
        fields = {
            "distance": "root mean square over 64 pixels in [-1, 1]",
            "quantisation": QUANTISATION,
            "n_samples": NUM_SAMPLES,
            "reference": f"train split of {self.reference}",
        }
        return MetricProtocol(name=self.name, version=1, fields=dict(fields))

    def measure(self, evidence: Evidence) -> Estimate:
        samples = require_samples(evidence, NUM_SAMPLES)
        reference: HasDigits = evidence.reference
        pixels = samples[0].size
        distances = nearest_distances(samples.reshape(-1, pixels), reference.train.reshape(-1, pixels))
        return single(self.protocol, distances.mean() / pixels**0.5, better="none")

    def recheck(self, evidence: Evidence) -> Recheck:
        """The error of a mean, five standard errors wide."""
        samples = require_part(evidence)
        pixels, train = samples[0].size, evidence.reference.train
        distances = nearest_distances(samples.reshape(-1, pixels), train.reshape(-1, pixels)) / pixels**0.5
        value, tolerance = float(distances.mean()), 5 * float(distances.std(ddof=1)) / len(samples) ** 0.5
        return Recheck(value=value, low=value - tolerance, high=value + tolerance)


@dataclass(frozen=True, kw_only=True)
class ClassShare:
    """Smallest or largest share of samples that the feature net calls one digit; about 1/10 each is right."""

    extreme: Literal["min", "max"]
    reference: str

    @property
    def name(self) -> str:
        return f"class_share_{self.extreme}"

    @property
    def title(self) -> str:
        return f"{self.extreme} class share"

    @property
    def protocol(self) -> MetricProtocol:
        fields = _fields(self.reference, assignment="largest logit", n_samples=NUM_SAMPLES, extreme=self.extreme)
        return MetricProtocol(name=self.name, version=1, fields=dict(fields))

    def measure(self, evidence: Evidence) -> Estimate:
        samples = require_samples(evidence, NUM_SAMPLES)
        shares = self._shares(evidence.reference, samples)
        if self.extreme == "min":
            return single(self.protocol, shares.min(), better="higher")
        return single(self.protocol, shares.max(), better="lower")

    def recheck(self, evidence: Evidence) -> Recheck:
        """The extreme of shares moves by no more than the share that moves most."""
        samples = require_part(evidence)
        shares = self._shares(evidence.reference, samples)
        value = float(shares.min() if self.extreme == "min" else shares.max())
        tolerance = max(share_tolerance(share, len(samples)) for share in shares.tolist())
        return Recheck(value=value, low=value - tolerance, high=value + tolerance)

    @staticmethod
    def _shares(reference: HasDigits, samples: Array) -> Array:
        logits = reference.feature_pass(samples).logits
        return np.bincount(logits.argmax(axis=1), minlength=logits.shape[1]) / len(logits)


@dataclass(frozen=True, kw_only=True)
class DigitsEnergyAUC:
    """AUROC of -E, test digits against images that are none.

    `uniform`: pixels uniform over the 17 levels, which any energy should tell. `blends`: means of two test digits of
    different classes, quantised; they have the strokes of digits and are harder.
    """

    negatives: Literal["uniform", "blends"]
    reference: str

    @property
    def name(self) -> str:
        return f"energy_auc_{self.negatives}"

    @property
    def title(self) -> str:
        return f"energy AUC against {self.negatives}"

    @property
    def protocol(self) -> MetricProtocol:
        fields = {
            "score": "-E",
            "positive": f"test split of {self.reference}",
            "negative": f"{NUM_SAMPLES:,} {self.negatives}",
            "ties": "half",
        }
        return MetricProtocol(name=self.name, version=1, fields=dict(fields))

    def measure(self, evidence: Evidence) -> Estimate:
        energy = require_energy(evidence)
        reference: HasDigits = evidence.reference
        negatives = reference.uniform if self.negatives == "uniform" else reference.blends
        return single(self.protocol, auroc(normal=energy(reference.test), anomalous=energy(negatives)), better="higher")
