"""The feature net of task `digits`: a classifier of 8 x 8 grey images, and the levels that those have."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from dxbench.features.classifiers import Classifier, ShippedClassifier

LEVELS = 17
NUM_FEATURES = 32


def untrained() -> Classifier:
    """[b, 1, 8, 8] images to 32 features and 10 logits, at random."""
    body = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, NUM_FEATURES),
    )
    return Classifier(body, num_features=NUM_FEATURES)


def quantise(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest of the 17 levels that the data have, values outside [-1, 1] clipped."""
    half = (LEVELS - 1) / 2
    return np.clip(np.rint((images + 1.0) * half), 0, LEVELS - 1) / half - 1.0


DIGITS_NET = ShippedClassifier(
    name="digits-net",
    subject="digits",
    file="digits_net.safetensors",
    sha256="e13d436a498f9a71689c0c704aede3038659bd37c559b5f91164620c52d019f3",
    build=untrained,
    image_shape=(8, 8, 1),
    num_features=NUM_FEATURES,
    prepare=quantise,
    normalisation="x / 127.5 - 1, rounded to the 17 levels of the data",
)
FEATURES, LOGITS, PIXELS = DIGITS_NET.sets
