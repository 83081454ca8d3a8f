"""The 8 x 8 digits that scikit-learn ships: 1,797 real images with no download, in a fixed split."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dxbench.api.streams import derive_seed
from dxbench.features.digits_net import LEVELS, quantise

Array = NDArray[np.float64]

REFERENCE = "digits@1"
NUM_SAMPLES = 4000
SPLIT_SIZES = {"train": 997, "validation": 400, "test": 400}
SPLIT_SEED = derive_seed(REFERENCE, "split")
EVENT_SHAPE = (1, 8, 8)


@dataclass(frozen=True, kw_only=True)
class LabelledImages:
    """Images [n, 1, 8, 8] in [-1, 1] with their digits [n]."""

    images: Array
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)


@cache
def digits_splits() -> dict[str, LabelledImages]:
    """Training, validation and test split: one permutation of all images, seeded by `SPLIT_SEED`, cut in three.

    Pixels are the integers 0 .. 16; x = v / 8 - 1.
    """
    from sklearn.datasets import load_digits

    images, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    parts = np.split(order, np.cumsum(list(SPLIT_SIZES.values()))[:-1])
    return {
        name: LabelledImages(images=images[part].reshape(-1, *EVENT_SHAPE) / 8.0 - 1.0, labels=labels[part])
        for name, part in zip(SPLIT_SIZES, parts, strict=True)
    }


@cache
def uniform_images() -> Array:
    """[4000, 1, 8, 8] of pixels uniform over the 17 levels."""
    rng = np.random.default_rng(derive_seed(REFERENCE, "uniform"))
    return rng.integers(LEVELS, size=(NUM_SAMPLES, *EVENT_SHAPE)) / 8.0 - 1.0


@cache
def blended_digits() -> Array:
    """[4000, 1, 8, 8], means of two test digits of different classes, quantised."""
    split, rng = digits_splits()["test"], np.random.default_rng(derive_seed(REFERENCE, "blends"))
    pairs = rng.integers(len(split), size=(2, 2 * NUM_SAMPLES))
    first, second = pairs[:, split.labels[pairs[0]] != split.labels[pairs[1]]][:, :NUM_SAMPLES]
    return quantise((split.images[first] + split.images[second]) / 2)


@dataclass(frozen=True, kw_only=True)
class DrawnImages:
    """Training data: images drawn with replacement from a split."""

    images: Tensor

    def batch(self, n: int, *, rng: np.random.Generator) -> Tensor:
        return self.images[torch.from_numpy(rng.integers(len(self.images), size=n))]
