"""Metrics of task `digits`: those of other images, in the features of its net, and what its energies know."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from dxbench.api import Metric
from dxbench.features.digits_net import DIGITS_NET, FEATURES, LOGITS, PIXELS
from dxbench.features.published import Published, PublishedClassShare, PublishedFrechet, PublishedNearestTrain
from dxbench.metrics.energy import SetAUC
from dxbench.metrics.images.classes import ClassShare
from dxbench.metrics.images.fidelity import (
    Authenticity,
    Blocks,
    Coverage,
    Density,
    FeatureLikelihood,
    FrechetDistance,
    KernelKL,
    NearestTrain,
    Precision,
    Recall,
    Vendi,
)
from dxbench.metrics.images.likelihood import FITTED
from dxbench.metrics.images.vwkde import KL_ESTIMATOR
from dxbench.metrics.start import OfTheStart
from dxbench.tasks.digits_data import (
    NUM_SAMPLES,
    REFERENCE,
    SPLIT_SIZES,
    blended_digits,
    digits_splits,
    uniform_images,
)

Array = NDArray[np.float64]

FLD_SAMPLES = 1000
BLOCK = SPLIT_SIZES["test"]
NUM_BLOCKS = NUM_SAMPLES // BLOCK
TEST, TRAIN = f"test split of {REFERENCE}", f"train split of {REFERENCE}"
EXTRACTOR = f"digits_net, 32 features before the last ReLU, weights sha256 {DIGITS_NET.sha256[:16]}"
QUANTISATION = "rounded to the 17 levels of the data, clipped to [-1, 1]"
EVALUATOR = "digits@1"

Fields = tuple[tuple[str, JsonValue], ...]
BLOCKS = {"n_samples": f"{NUM_BLOCKS} blocks of {BLOCK}, as many as test digits"}
EVERY = {"n_samples": NUM_SAMPLES}


def _fields(reference: str, **fields: JsonValue) -> Fields:
    return tuple({"extractor": EXTRACTOR, "quantisation": QUANTISATION, "reference": reference, **fields}.items())


def _frechet(name: str, reference: str) -> PublishedFrechet:
    return PublishedFrechet(
        metric=FrechetDistance(evaluator=EVALUATOR, features=FEATURES, num_samples=NUM_SAMPLES, reference=reference),
        name=name,
        title="Frechet distance in digit features",
        fields=_fields(
            reference,
            distance="||m1 - m2||^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), covariances with ddof 1, float64",
            **EVERY,
        ),
    )


def _of_blocks(stem: str, kind: type[Precision | Recall | Density | Coverage], manifold: str) -> Published:
    """A share of blocks of 400 samples, each against as many test digits."""
    return Published(
        metric=kind(
            evaluator=EVALUATOR, features=FEATURES, num_samples=BLOCK, reference=TEST, num_reference=SPLIT_SIZES["test"]
        ),
        name=f"{stem}_digits",
        title=f"{stem} in digit features",
        fields=_fields(TEST, manifold=manifold, **BLOCKS),
        num_blocks=NUM_BLOCKS,
    )


FD_DIGITS = _frechet("fd_digits", TEST)
FD_DIGITS_TRAIN = _frechet("fd_digits_train", TRAIN)
PRECISION = _of_blocks("precision", Precision, "balls to the 3. nearest neighbour")
RECALL = _of_blocks("recall", Recall, "balls to the 3. nearest neighbour")
DENSITY = _of_blocks("density", Density, "balls to the 5. nearest neighbour, distance < radius")
COVERAGE = _of_blocks("coverage", Coverage, "balls to the 5. nearest neighbour, distance < radius")
# It sees a lost class, blur and noise alike; 0 for unseen digits, and for copies of the training digits too.
VWKDE_KL = Published(
    metric=KernelKL(
        evaluator=EVALUATOR,
        features=FEATURES,
        num_samples=NUM_SAMPLES,
        reference=TEST,
        pairing=Blocks(count=NUM_BLOCKS, stream="digits"),
    ),
    name="vwkde_kl_digits",
    title="KL in digit features [nats]",
    fields=_fields(
        TEST,
        direction="KL(test || samples)",
        space="8 leading principal axes of the test features",
        estimator=KL_ESTIMATOR,
        seeds="centres of the radial functions: sha256 of (kernel kl, digits)",
        **BLOCKS,
    ),
)
# Memorised samples are nearer than unseen digits are (row `data`), poor ones further: neither way is good.
NEAREST_TRAIN = PublishedNearestTrain(
    metric=NearestTrain(
        evaluator=EVALUATOR, features=PIXELS, num_samples=NUM_SAMPLES, train=TRAIN, num_train=SPLIT_SIZES["train"]
    ),
    name="nearest_train",
    title="distance to the nearest training digit",
    fields=(
        ("distance", "root mean square over 64 pixels in [-1, 1]"),
        ("quantisation", QUANTISATION),
        ("n_samples", NUM_SAMPLES),
        ("reference", TRAIN),
    ),
)
AUTHENTICITY = Published(
    metric=Authenticity(
        evaluator=EVALUATOR, features=FEATURES, num_samples=NUM_SAMPLES, train=TRAIN, num_train=SPLIT_SIZES["train"]
    ),
    name="authenticity_digits",
    title="authenticity in digit features",
    fields=_fields(TRAIN, **EVERY),
)
FLD = Published(
    metric=FeatureLikelihood(
        evaluator=EVALUATOR,
        features=FEATURES,
        num_samples=FLD_SAMPLES,
        train=TRAIN,
        num_train=SPLIT_SIZES["train"],
        test=TEST,
    ),
    name="fld_digits",
    title="feature likelihood divergence in digit features",
    fields=_fields(TEST, train=TRAIN, density=FITTED, n_samples=FLD_SAMPLES),
)
VENDI = Published(
    metric=Vendi(evaluator=EVALUATOR, features=FEATURES, num_samples=NUM_SAMPLES),
    name="vendi_digits",
    title="Vendi score in digit features",
    fields=_fields("none", kernel="cosine", **EVERY),
)


def _class_share(extreme: Literal["min", "max"]) -> PublishedClassShare:
    """About 1/10 each is right."""
    metric = ClassShare(evaluator=EVALUATOR, features=LOGITS, num_samples=NUM_SAMPLES, extreme=extreme)
    return PublishedClassShare(
        metric=metric,
        name=metric.stem,
        title=metric.title,
        fields=_fields(REFERENCE, **metric.choices, **EVERY),
    )


def _energy_auc(against: str, others: Callable[[], Array]) -> SetAUC:
    return SetAUC(
        against=against,
        positive=TEST,
        negative=f"{NUM_SAMPLES:,} {against}",
        normal=lambda: digits_splits()["test"].images,
        others=others,
    )


CLASS_SHARE_MIN, CLASS_SHARE_MAX = _class_share("min"), _class_share("max")
# Pixels uniform over the 17 levels any energy should tell; blends have the strokes of digits and are harder.
ENERGY_AUC_UNIFORM, ENERGY_AUC_BLENDS = _energy_auc("uniform", uniform_images), _energy_auc("blends", blended_digits)
FD_DIGITS_START = OfTheStart(FD_DIGITS)
METRICS: tuple[Metric, ...] = (
    FD_DIGITS,
    FD_DIGITS_TRAIN,
    PRECISION,
    RECALL,
    NEAREST_TRAIN,
    CLASS_SHARE_MIN,
    CLASS_SHARE_MAX,
    ENERGY_AUC_UNIFORM,
    ENERGY_AUC_BLENDS,
    FD_DIGITS_START,
    VWKDE_KL,
    DENSITY,
    COVERAGE,
    AUTHENTICITY,
    FLD,
    VENDI,
)
