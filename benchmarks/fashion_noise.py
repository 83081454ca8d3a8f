"""Measure what chance makes of the columns of `fashion_mnist`: their values for real images in place of samples.

Five disjoint draws of 10,000 training images are scored as samples are; their mean is the floor of a column, their
standard deviation its noise at 10,000 samples. Columns that look for copies are measured of the validation images,
with the standard error of a mean over 10,000. Prints rows of docs/tasks/fashion_mnist.md.

    python benchmarks/fashion_noise.py                # without the Inception
    python benchmarks/fashion_noise.py --inception    # FID and KID alone: hours of a CPU, minutes of a GPU
"""

import argparse

import numpy as np

from dxbench.features.fashion_net import FEATURES, PIXELS
from dxbench.metrics.images.authenticity import authenticity
from dxbench.metrics.images.neighbours import nearest_distances
from dxbench.metrics.scoring import score
from dxbench.plugins.registry import load_task
from dxbench.tasks.fashion_data import SPLIT_SIZES, fashion_splits
from dxbench.tasks.fashion_mnist import SETS, FashionMNIST, of_inception, of_samples
from dxbench.tasks.images import first_images
from dxbench.threads import fix_threads


def draws() -> list[np.ndarray]:
    """Five disjoint blocks of 10,000 training images, by one seeded permutation."""
    order = np.random.default_rng(0).permutation(SPLIT_SIZES["train"])
    return [fashion_splits()["train"].images[block] for block in order[:50_000].reshape(5, -1)]


def floor(task: FashionMNIST, *, inception: bool) -> None:
    """Mean and standard deviation (ddof 1) of the columns over the draws."""
    metrics = of_inception("test") if inception else of_samples("test")
    compared = [metric for metric in metrics if SETS["train"] not in metric.protocol.fields.values()]
    found: dict[str, list[float]] = {}
    for block in draws():
        scores, _, _ = score(compared, task.inputs_of(block), progress=lambda text: None)
        for name, estimate in scores.items():
            found.setdefault(name, []).append(estimate.value)
    for name, values in found.items():
        print(f"| `{name}` | {np.mean(values):.4f} | {np.std(values, ddof=1):.4f} |", flush=True)


def unseen(task: FashionMNIST) -> None:
    """Mean and its standard error at 10,000 of the columns that look for copies, of images that are none."""
    images = fashion_splits()["validation"].images
    validation, train = first_images(images, len(images)), task.references()[SETS["train"]]
    distances = nearest_distances(validation.features(PIXELS), train.features(PIXELS))
    share = authenticity(validation.features(FEATURES), train.features(FEATURES))
    rows = {"nearest_train@10k": (distances.mean(), distances.std()), "authenticity_fashion@10k": (share, None)}
    for name, (value, std) in rows.items():
        error = ((share * (1 - share)) ** 0.5 if std is None else std) / SPLIT_SIZES["test"] ** 0.5
        print(f"| `{name}` | {value:.4f} | {error:.4f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inception", action="store_true")
    inception = parser.parse_args().inception
    task = load_task("fashion_mnist")
    assert isinstance(task, FashionMNIST)
    fix_threads(task.threads)
    floor(task, inception=inception)
    if not inception:
        unseen(task)


if __name__ == "__main__":
    main()
