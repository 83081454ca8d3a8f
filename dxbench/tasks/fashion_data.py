"""Fashion-MNIST: 28 x 28 grey images of clothes, lossless, in a fixed split, and images that are none of them."""

from functools import cache

import numpy as np

from dxbench.api.streams import derive_seed
from dxbench.assets.catalogue import FASHION_MNIST, MNIST
from dxbench.readers import read_idx
from dxbench.tasks.holdout_digit import read_mnist
from dxbench.tasks.image_data import Images, LabelledImages, check_labels

REFERENCE = "fashion_mnist@1"
SIZE, CLASSES = 28, 10
SPLIT_SIZES = {"train": 55_000, "validation": 5_000, "test": 10_000}
"""The first official training images, the last of them, and the official test images."""
DATA_STD = 0.706
"""Of one coordinate of the training split in [-1, 1]."""
PATCH = 7
NUM_ENERGIES = 2_000
"""Images of each kind whose energies are compared."""


@cache
def fashion_splits() -> dict[str, LabelledImages]:
    """Images [n, 28, 28, 1] and classes of the training, validation and test split, in their official order.

    Raises:
        MissingData: if a file is absent, with the command that fetches it.
        InvalidFile: if one is damaged or another.
    """
    train_images, train_labels, test_images, test_labels = (asset.verify() for asset in FASHION_MNIST)
    whole = (
        (train_images, train_labels, SPLIT_SIZES["train"] + SPLIT_SIZES["validation"]),
        (test_images, test_labels, SPLIT_SIZES["test"]),
    )
    official, test = (
        LabelledImages(
            images=read_idx(images, (n, SIZE, SIZE))[..., None],
            labels=check_labels(read_idx(labels, (n,)), n=n, num_classes=CLASSES, where=labels),
        )
        for images, labels, n in whole
    )
    cut = SPLIT_SIZES["train"]
    return {"train": official.part(slice(0, cut)), "validation": official.part(slice(cut, None)), "test": test}


# --- what an energy is asked to tell from a split's images; each [2000, 28, 28, 1] ----------------------------


def uniform_images(split: str) -> Images:
    """Images of bytes that are uniformly random."""
    return _rng(split, "uniform").integers(256, size=(NUM_ENERGIES, SIZE, SIZE, 1), dtype=np.uint8)


def mnist_digits(split: str) -> Images:
    """Handwritten digits of MNIST: its first test images, or for validation the first of its last training images.

    Raises:
        MissingData, InvalidFile: as `Asset.require` and `read_mnist`.
    """
    arrays = read_mnist(MNIST.require())
    images = arrays["test_images"] if split == "test" else arrays["train_images"][SPLIT_SIZES["train"] :]
    return images[:NUM_ENERGIES, ..., None]


def blended_images(split: str) -> Images:
    """Means of two images of different classes of the split, half levels rounded down."""
    part, rng = fashion_splits()[split], _rng(split, "blends")
    pairs = rng.integers(len(part), size=(2, 2 * NUM_ENERGIES))
    first, second = pairs[:, part.labels[pairs[0]] != part.labels[pairs[1]]][:, :NUM_ENERGIES]
    return ((part.images[first].astype(np.uint16) + part.images[second]) // 2).astype(np.uint8)


def permuted_images(split: str) -> Images:
    """The split's first images, the sixteen patches of 7 x 7 of each in a random order."""
    images, side = fashion_splits()[split].images[:NUM_ENERGIES], SIZE // PATCH
    patches = images.reshape(-1, side, PATCH, side, PATCH).swapaxes(2, 3).reshape(-1, side**2, PATCH, PATCH)
    order = _rng(split, "permuted").permuted(np.tile(np.arange(side**2), (len(images), 1)), axis=1)
    moved = np.take_along_axis(patches, order[..., None, None], axis=1)
    return moved.reshape(-1, side, side, PATCH, PATCH).swapaxes(2, 3).reshape(images.shape)


def _rng(split: str, what: str) -> np.random.Generator:
    return np.random.default_rng(derive_seed(REFERENCE, split, what))
