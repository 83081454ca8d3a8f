"""The feature net of task `fashion_mnist`: a classifier of 28 x 28 grey images of clothes."""

from torch import nn

from dxbench.features.classifiers import Array, Classifier, ShippedClassifier

NUM_FEATURES = 64


def untrained() -> Classifier:
    """[b, 1, 28, 28] images to 64 features and 10 logits, at random."""
    body = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(48, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 3 * 3, NUM_FEATURES),
    )
    return Classifier(body, num_features=NUM_FEATURES)


def as_they_are(pixels: Array) -> Array:
    """Pixels in [-1, 1], to which nothing is done."""
    return pixels


FASHION_NET = ShippedClassifier(
    name="fashion-net",
    subject="fashion",
    file="fashion_net.safetensors",
    sha256="062cc08ff39e71739cc813233b8c53a11c97c880aca34811694836f263581f88",
    build=untrained,
    image_shape=(28, 28, 1),
    num_features=NUM_FEATURES,
    prepare=as_they_are,
    normalisation="x / 127.5 - 1",
)
FEATURES, LOGITS, PIXELS = FASHION_NET.sets
