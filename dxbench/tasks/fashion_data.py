"""Fashion-MNIST: 28 x 28 grey images of clothes, lossless, in a fixed split."""

from functools import cache

from dxbench.assets.catalogue import FASHION_MNIST
from dxbench.readers.idx import read_idx
from dxbench.tasks.image_data import LabelledImages, check_labels

SIZE, CLASSES = 28, 10
SPLIT_SIZES = {"train": 55_000, "validation": 5_000, "test": 10_000}
"""The first official training images, the last of them, and the official test images."""
DATA_STD = 0.706
"""Of one coordinate of the training split in [-1, 1]."""


@cache
def fashion_splits() -> dict[str, LabelledImages]:
    """Images [n, 28, 28, 1] and classes of the training, validation and test split, in their official order.

    Raises:
        MissingData: if a file is absent, with the command that fetches it.
        InvalidFile: if one is damaged or another.
    """
    official = SPLIT_SIZES["train"] + SPLIT_SIZES["validation"]
    train_images, train_labels, test_images, test_labels = (asset.verify() for asset in FASHION_MNIST)
    whole = {
        "train": (train_images, train_labels, official),
        "test": (test_images, test_labels, SPLIT_SIZES["test"]),
    }
    found = {
        split: LabelledImages(
            images=read_idx(images, (n, SIZE, SIZE))[..., None],
            labels=check_labels(read_idx(labels, (n,)), n=n, num_classes=CLASSES, where=labels),
        )
        for split, (images, labels, n) in whole.items()
    }
    cut = SPLIT_SIZES["train"]
    return {
        "train": found["train"].part(slice(0, cut)),
        "validation": found["train"].part(slice(cut, None)),
        "test": found["test"],
    }
