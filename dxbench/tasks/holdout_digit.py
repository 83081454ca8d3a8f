"""Hold-out digit: nine digits train, the tenth is the anomaly; a model for each digit held out.

As NAE and MPDR do (arXiv:2105.05735, arXiv:2310.18677): training images of the other nine digits train, and their test
images are told from those of the digit held out; AUROC and average precision (their AUPR).

* `holdout_digit`: scikit-learn's `digits` (1,797 of 8 x 8), which come with the library, so nothing is downloaded. Half
  of the images, drawn by a published seed, are training images.
* `holdout_mnist`: MNIST as there: the first 50,000 training images train, the 10,000 test images test. The last 10,000
  training images are their validation set and are not touched.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dxbench.api.streams import derive_seed
from dxbench.assets.catalogue import MNIST
from dxbench.errors import InvalidFile
from dxbench.metrics.detection.metrics import detection_metrics, robust_metrics
from dxbench.metrics.detection.robust import Affine, Tone, WorstCase
from dxbench.readers import array_names, load_arrays
from dxbench.tasks.detection import Bytes, DetectionTask, Group

NAME, VERSION = "holdout_digit", 1
GREYS = 16.0
MNIST_TRAIN = 50_000
MNIST_ARRAYS = {
    "train_images": ("x_train", (60_000, 28, 28)),
    "train_labels": ("y_train", (60_000,)),
    "test_images": ("x_test", (10_000, 28, 28)),
    "test_labels": ("y_test", (10_000,)),
}
REFERENCE = f"scikit-learn digits, {NAME}@{VERSION}"
MNIST_REFERENCE = "MNIST, first 50,000 train, holdout_mnist@1"
WORST_DIGIT = WorstCase(threats=(Affine(shape=(1, 8, 8)), Tone()))
WORST_MNIST = WorstCase(threats=(Affine(shape=(1, 28, 28)), Tone()), steps=25, at_most=100)


class LeaveOut(DetectionTask):
    """Ten problems, one for each digit held out."""

    unified = False
    groups = tuple(f"digit {digit}" for digit in range(10))
    headline = ("auroc", "ap", "f1_max", "min_rank", "robust_auroc")


class HoldoutDigit(LeaveOut):
    """Scikit-learn's digits: nine digits train, the tenth is the anomaly."""

    name, version = NAME, VERSION
    worst_case = WORST_DIGIT
    scored_by = (
        *detection_metrics(image_score="energy of the image", reference=REFERENCE),
        *robust_metrics(worst_case=WORST_DIGIT, reference=REFERENCE),
    )

    def load(self) -> dict[str, Group]:
        from sklearn.datasets import load_digits

        images, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
        points = (images / GREYS).astype(np.float32)
        order = np.random.default_rng(derive_seed(NAME, VERSION)).permutation(len(points))
        half = len(points) // 2
        train, test = order[:half], order[half:]
        return {
            f"digit {digit}": Group(
                train=points[train[labels[train] != digit]], test=points[test], anomalous=labels[test] == digit
            )
            for digit in range(10)
        }


_, _, _, _, ROBUST_AUROC, ROBUST_MIN_RANK = HoldoutDigit.scored_by


class HoldoutMNIST(LeaveOut):
    """MNIST: nine digits train, the tenth is the anomaly, split as NAE and MPDR do."""

    name, version = "holdout_mnist", 1
    assets = (MNIST,)
    worst_case = WORST_MNIST
    scored_by = (
        *detection_metrics(image_score="energy of the image", reference=MNIST_REFERENCE),
        *robust_metrics(worst_case=WORST_MNIST, reference=MNIST_REFERENCE),
    )

    def load(self) -> dict[str, Group]:
        arrays = read_mnist(MNIST.require())
        train, test = (arrays[name].reshape(-1, 28 * 28) for name in ("train_images", "test_images"))
        labels, points = arrays["train_labels"][:MNIST_TRAIN], test.astype(np.float32) / 255.0
        return {
            f"digit {digit}": Group(
                train=train[np.flatnonzero(labels != digit)],
                test=points,
                anomalous=arrays["test_labels"] == digit,
            )
            for digit in range(10)
        }

    def training_set(self, groups: Sequence[Group]) -> Bytes:
        (group,) = groups
        return Bytes(levels=torch.from_numpy(group.train))

    def normal_points(self, group: Group) -> NDArray[Any]:
        return group.train.astype(np.float32) / 255.0


def read_mnist(path: Path) -> dict[str, NDArray[np.uint8]]:
    """The arrays named in `MNIST_ARRAYS` of an npz, under those names or the ones Keras gives them.

    Raises:
        InvalidFile: if it cannot be read, or holds something else.
    """
    stored = load_arrays(path, [*MNIST_ARRAYS, *(keras for keras, _ in MNIST_ARRAYS.values())])
    arrays = {}
    for name, (keras, shape) in MNIST_ARRAYS.items():
        array = stored.get(name, stored.get(keras))
        if array is None:
            raise InvalidFile(f"{path} is not MNIST as an npz: no {name}, has {array_names(path)}")
        if array.shape != shape or array.dtype != np.uint8:
            raise InvalidFile(f"{path}: {name} wants uint8 {shape}, got {array.dtype} {array.shape}")
        arrays[name] = array
    return arrays
