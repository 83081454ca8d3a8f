"""Digits: the 8 x 8 images that scikit-learn ships; real data with no download, and the default on a small machine."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dxbench.api import Evaluation, EvaluationInputs, Metric, Model, Problem, Task, Tile
from dxbench.drawing.draw import energy_function
from dxbench.errors import InvalidFile
from dxbench.features.digits_net import quantise
from dxbench.features.quantisation import quantise as to_bytes
from dxbench.features.sources import ImageSource
from dxbench.metrics.images.features import FeatureInputs, FeatureSource
from dxbench.metrics.scoring import score
from dxbench.pictures.images import GRID_SIDE, ImagePicture, image_pictures
from dxbench.pictures.tiles import image_tiles
from dxbench.tasks.digits_data import (
    EVENT_SHAPE,
    NUM_SAMPLES,
    DrawnImages,
    blended_digits,
    digits_splits,
    uniform_images,
)
from dxbench.tasks.digits_metrics import METRICS, TEST, TRAIN
from dxbench.tasks.images import draw_images

Array = NDArray[np.float64]


def validation_digits(seeds: Tensor) -> Tensor:
    """Digits of the validation split in turn, which nobody trains on: draws of the truth."""
    images = torch.from_numpy(digits_splits()["validation"].images).float()
    return images[(seeds % len(images)).cpu()]


def feature_source(images: Array) -> ImageSource:
    """Quantised images [n, 1, 8, 8] as a source of features: bytes tell the 17 levels apart."""
    return ImageSource(to_bytes(images), batch_size=1000)


@cache
def references() -> Mapping[str, FeatureSource]:
    """Sets that metrics compare with, by the names that stand in their protocols."""
    return {
        TEST: feature_source(digits_splits()["test"].images),
        TRAIN: feature_source(digits_splits()["train"].images),
    }


class Digits(Task):
    """8 x 8 digits, 997 to train on: Frechet distance, precision and recall of samples, and what the energy knows."""

    name, version = "digits", 1
    family = "small_images"
    threads = 1
    auto_device = "cpu"
    image_bytes = False  # 17 levels, not 256
    num_samples = NUM_SAMPLES
    headline = ("fd_digits", "fd_digits_start", "precision_digits", "recall_digits", "class_share_min", "nearest_train")

    @property
    def metrics(self) -> Sequence[Metric]:
        return METRICS

    def problem(self, *, oracle: bool) -> Problem:
        train = digits_splits()["train"].images
        return Problem(
            task=self.name,
            event_shape=EVENT_SHAPE,
            data=DrawnImages(images=torch.from_numpy(train).float()),
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
        inputs = self._inputs_of(
            drawn.samples, start=drawn.start, energy=energy, temperature=model.temperature, nfe=drawn.nfe
        )
        return self._score(inputs, drawn.samples, arrays, progress)

    def evaluate_samples(self, samples: Array, *, progress: Callable[[str], None]) -> Evaluation:
        if len(samples) != NUM_SAMPLES:
            raise InvalidFile(f"{self.name} is scored on exactly {NUM_SAMPLES:,} samples, got {len(samples):,}")
        if samples.min() >= 0 or samples.max() < -0.5:  # no black anywhere, or no ink: levels, shares or raw bytes
            raise InvalidFile(
                f"{self.name} wants pixels in [-1, 1], got {samples.min():.3g} to {samples.max():.3g}; "
                "scale the data's levels v = 0 .. 16 by x = v / 8 - 1"
            )
        return self._score(self._inputs_of(samples), samples, {}, progress)

    def inputs_of(self, samples: Array) -> EvaluationInputs:
        return self._inputs_of(samples)

    def pictures(self, arrays: Mapping[str, Array]) -> list[ImagePicture]:
        return image_pictures(arrays)

    def tiles(self, arrays: Mapping[str, Array]) -> list[Tile]:
        return image_tiles(arrays)

    def _energies(self, energy: Callable[[Array], Array], samples: Array | None) -> dict[str, Array]:
        """Energies of a thousand images of each kind, for the histogram."""
        kinds = {"test digits": digits_splits()["test"].images, "training digits": digits_splits()["train"].images}
        kinds |= {"blends": blended_digits()[:1000], "uniform": uniform_images()[:1000]}
        if samples is not None:
            kinds["samples"] = samples[:1000]
        return {f"energy of {kind}": energy(images) for kind, images in kinds.items()}

    def _inputs_of(
        self,
        samples: Array | None,
        *,
        start: Array | None = None,
        energy: Callable[[Array], Array] | None = None,
        temperature: float | None = None,
        nfe: float | None = None,
    ) -> EvaluationInputs:
        if samples is None:
            return EvaluationInputs(
                samples=None, energy=energy, temperature=temperature, nfe=nfe, reference=references()
            )
        drawn, before = (None if x is None else quantise(x.astype(np.float64)) for x in (samples, start))
        assert drawn is not None
        return FeatureInputs(
            samples=drawn,
            energy=energy,
            temperature=temperature,
            nfe=nfe,
            features=feature_source(drawn),
            reference=references(),
            start_samples=before,
            start_features=None if before is None else feature_source(before),
        )

    def _score(
        self,
        inputs: EvaluationInputs,
        samples: Array | None,
        arrays: Mapping[str, Array],
        progress: Callable[[str], None],
    ) -> Evaluation:
        scores, notes, protocols = score(self.metrics, inputs, progress=progress)
        every = {**arrays, "test": digits_splits()["test"].images[: GRID_SIDE**2]}
        if samples is not None:
            every["samples"] = samples
        kept = {name: array.astype(np.float32) for name, array in every.items()}
        return Evaluation(scores=scores, notes=notes, protocols=protocols, arrays=kept, nfe=inputs.nfe)
