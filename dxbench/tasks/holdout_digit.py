"""Hold-out digit: nine digits train, the tenth is the anomaly; a model for each digit held out.

The images are scikit-learn's `digits` (1,797 of 8 x 8), which come with the library, so nothing is downloaded. As in
NAE and MPDR on MNIST (arXiv:2105.05735, arXiv:2310.18677): training images of the other nine digits train, and their
test images are told from those of the digit held out; AUROC and average precision (their AUPR). Half of the images,
drawn by a published seed, are training images.
"""

import numpy as np

from dxbench.metrics.detection import detection_metrics
from dxbench.streams import derive_seed
from dxbench.tasks.detection import DetectionTask, Group

NAME, VERSION = "holdout_digit", 1
GREYS = 16.0


class HoldoutDigit(DetectionTask):
    """Scikit-learn's digits: nine digits train, the tenth is the anomaly."""

    name, version = NAME, VERSION
    unified = False
    groups = tuple(f"digit {digit}" for digit in range(10))
    headline = ("auroc", "ap", "f1_max", "min_rank")
    scored_by = detection_metrics(image_score="energy of the image", reference=f"scikit-learn digits, {NAME}@{VERSION}")

    def load(self) -> dict[str, Group]:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        points = (np.asarray(images) / GREYS).astype(np.float32)
        order = np.random.default_rng(derive_seed(NAME, VERSION)).permutation(len(points))
        half = len(points) // 2
        train, test = order[:half], order[half:]
        return {
            f"digit {digit}": Group(
                train=points[train[labels[train] != digit]], test=points[test], anomalous=labels[test] == digit
            )
            for digit in range(10)
        }
