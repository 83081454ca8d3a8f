"""Digits: the 8 x 8 images that scikit-learn ships; real data with no download, and the default on a small machine."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dxbench.api import Evaluation, Evidence, Model, Problem, Task
from dxbench.api.streams import derive_seed
from dxbench.drawing.draw import energy_function
from dxbench.errors import InvalidFile
from dxbench.metrics.digits import (
    NUM_SAMPLES,
    ClassShare,
    DigitsEnergyAUC,
    DigitsFrechet,
    DigitsKL,
    DigitsPrecisionRecall,
    FeaturePass,
    NearestTrain,
    feature_metrics,
)
from dxbench.metrics.digits_net import LEVELS, quantise
from dxbench.metrics.scoring import score
from dxbench.metrics.start import OfTheStart
from dxbench.pictures.images import GRID_SIDE, ImagePicture, image_pictures
from dxbench.tasks.digits_data import EVENT_SHAPE, ImageSource, digits_splits
from dxbench.tasks.images import draw_images

Array = NDArray[np.float64]

NAME, VERSION = "digits", 1
REFERENCE = f"{NAME}@{VERSION}"

FD_DIGITS = DigitsFrechet(reference=REFERENCE)
FD_DIGITS_START = OfTheStart(FD_DIGITS)
FD_DIGITS_TRAIN = DigitsFrechet(name="fd_digits_train", split="train", reference=REFERENCE)
PRECISION = DigitsPrecisionRecall(which="precision", reference=REFERENCE)
RECALL = DigitsPrecisionRecall(which="recall", reference=REFERENCE)
VWKDE_KL = DigitsKL(reference=REFERENCE)
NEAREST_TRAIN = NearestTrain(reference=REFERENCE)
CLASS_SHARE_MIN = ClassShare(extreme="min", reference=REFERENCE)
CLASS_SHARE_MAX = ClassShare(extreme="max", reference=REFERENCE)
ENERGY_AUC_UNIFORM = DigitsEnergyAUC(negatives="uniform", reference=REFERENCE)
ENERGY_AUC_BLENDS = DigitsEnergyAUC(negatives="blends", reference=REFERENCE)

FEATURE_METRICS = feature_metrics(REFERENCE)
DENSITY, COVERAGE, AUTHENTICITY, FLD, VENDI = FEATURE_METRICS


def validation_digits(seeds: Tensor) -> Tensor:
    """Digits of the validation split in turn, which nobody trains on: draws of the truth."""
    images = torch.from_numpy(digits_splits()["validation"].images).float()
    return images[(seeds % len(images)).cpu()]


class Reference:
    """What only the metrics see."""

    def __init__(self) -> None:
        self._last: tuple[Array, FeaturePass] | None = None

    @property
    def train(self) -> Array:
        return digits_splits()["train"].images

    @property
    def test(self) -> Array:
        return digits_splits()["test"].images

    @cached_property
    def train_features(self) -> Array:
        return FeaturePass.of(self.train).features

    @cached_property
    def test_features(self) -> Array:
        return FeaturePass.of(self.test).features

    @cached_property
    def uniform(self) -> Array:
        rng = np.random.default_rng(derive_seed(REFERENCE, "uniform"))
        return rng.integers(LEVELS, size=(NUM_SAMPLES, *EVENT_SHAPE)) / 8.0 - 1.0

    @cached_property
    def blends(self) -> Array:
        """Means of two test digits of different classes."""
        split, rng = digits_splits()["test"], np.random.default_rng(derive_seed(REFERENCE, "blends"))
        pairs = rng.integers(len(split), size=(2, 2 * NUM_SAMPLES))
        first, second = pairs[:, split.labels[pairs[0]] != split.labels[pairs[1]]][:, :NUM_SAMPLES]
        return quantise((split.images[first] + split.images[second]) / 2)

    def feature_pass(self, images: Array) -> FeaturePass:
        if self._last is None or self._last[0] is not images:
            self._last = (images, FeaturePass.of(images))
        return self._last[1]


class Digits(Task):
    """8 x 8 digits, 997 to train on: Frechet distance, precision and recall of samples, and what the energy knows."""

    name = NAME
    family = "small_images"
    version = VERSION
    threads = 1
    auto_device = "cpu"
    image_bytes = False  # 17 levels, not 256
    num_samples = NUM_SAMPLES
    headline = ("fd_digits", "fd_digits_start", "precision_digits", "recall_digits", "class_share_min", "nearest_train")

    def __init__(self) -> None:
        self._reference = Reference()

    @property
    def metrics(self) -> Sequence[Any]:
        return (
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
            *FEATURE_METRICS,
        )

    def problem(self, *, oracle: bool) -> Problem:
        train = digits_splits()["train"].images
        return Problem(
            task=self.name,
            event_shape=EVENT_SHAPE,
            data=ImageSource(images=torch.from_numpy(train).float()),
            data_std=float(train.std()),
            oracle=Model(sampler=validation_digits) if oracle else None,
        )

    def evaluate(self, model: Model, *, seed: int, device: str, progress: Callable[[str], None]) -> Evaluation:
        drawn = draw_images(model, NUM_SAMPLES, event_shape=EVENT_SHAPE, seed=seed, batch_size=1000, progress=progress)
        arrays: dict[str, Array] = {}
        if drawn.start is not None:
            arrays["start_samples"] = drawn.start[: GRID_SIDE**2]
        if drawn.chain is not None:
            arrays["chain"] = drawn.chain
        energy = None if model.energy is None else energy_function(model.energy, device=device, batch_size=1000)
        if energy is not None:
            arrays |= self._energies(energy, drawn.samples)
        return self._score(drawn.samples, energy, model.temperature, drawn.nfe, drawn.start, arrays, progress)

    def evaluate_samples(self, samples: Array, *, progress: Callable[[str], None]) -> Evaluation:
        if len(samples) != NUM_SAMPLES:
            raise InvalidFile(f"{self.name} is scored on exactly {NUM_SAMPLES:,} samples, got {len(samples):,}")
        if samples.min() >= 0 or samples.max() < -0.5:  # no black anywhere, or no ink: levels, shares or raw bytes
            raise InvalidFile(
                f"{self.name} wants pixels in [-1, 1], got {samples.min():.3g} to {samples.max():.3g}; "
                "scale the data's levels v = 0 .. 16 by x = v / 8 - 1"
            )
        return self._score(samples, None, None, None, None, {}, progress)

    def evidence(self, samples: Array) -> Evidence:
        return self._evidence(samples, None, None, None, None)

    def pictures(self, arrays: Mapping[str, Array]) -> list[ImagePicture]:
        return image_pictures(arrays)

    def _energies(self, energy: Callable[[Array], Array], samples: Array | None) -> dict[str, Array]:
        """Energies of a thousand images of each kind, for the histogram."""
        kinds = {"test digits": self._reference.test, "training digits": self._reference.train}
        kinds |= {"blends": self._reference.blends[:1000], "uniform": self._reference.uniform[:1000]}
        if samples is not None:
            kinds["samples"] = samples[:1000]
        return {f"energy of {kind}": energy(images) for kind, images in kinds.items()}

    def _evidence(
        self,
        samples: Array | None,
        energy: Callable[[Array], Array] | None,
        temperature: float | None,
        nfe: float | None,
        start: Array | None,
    ) -> Evidence:
        return Evidence(
            samples=None if samples is None else quantise(samples.astype(np.float64)),
            energy=energy,
            temperature=temperature,
            nfe=nfe,
            reference=self._reference,
            start_samples=None if start is None else quantise(start.astype(np.float64)),
        )

    def _score(
        self,
        samples: Array | None,
        energy: Callable[[Array], Array] | None,
        temperature: float | None,
        nfe: float | None,
        start: Array | None,
        arrays: dict[str, Array],
        progress: Callable[[str], None],
    ) -> Evaluation:
        evidence = self._evidence(samples, energy, temperature, nfe, start)
        scores, notes, protocols = score(self.metrics, evidence, progress=progress)
        arrays = arrays | {"test": self._reference.test[: GRID_SIDE**2]}
        if samples is not None:
            arrays["samples"] = samples
        kept = {name: array.astype(np.float32) for name, array in arrays.items()}
        return Evaluation(scores=scores, notes=notes, protocols=protocols, arrays=kept, nfe=nfe)
