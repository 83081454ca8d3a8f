"""AUPRO and pixel AUROC together against scikit-learn's pixel AUROC alone, and the whole of MVTec-AD.

Last, what tasks do: energies of 14 x 14 patches of all test images become maps in float64, by two ways to score, with
pixel AUROC, AUPRO, average precision, F1 and image scores.

Synthetic maps of 224 x 224: a smooth random field, raised over one to three rectangular defects per image. Rounds are
interleaved; seconds are of one core's time. The exactness shown is the difference from scikit-learn's pixel AUROC, and
of AUPRO from the sum over defects of scikit-learn's ROC curve cut at the limit (an own curve for each defect: slow, so
on a part of the maps).
"""

import argparse
import resource
import statistics
import time

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from dxbench.metrics.detection.regions import FPR_LIMIT, RankedPixels
from dxbench.tasks.mvtec_ad import SCORING, VIEWS

SIDE = 224
# Test images of the 15 categories of MVTec-AD, in alphabetical order: 1,725.
CATEGORY_SIZES = (83, 150, 132, 117, 78, 110, 124, 115, 167, 160, 117, 42, 100, 79, 151)


def synthetic(images: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Maps and masks, three in four images defective."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((images, SIDE, SIDE), bool)
    for mask in masks[: 3 * images // 4]:
        for _ in range(rng.integers(1, 4)):
            i, j = rng.integers(0, SIDE - 40, size=2)
            h, w = rng.integers(6, 40, size=2)
            mask[i : i + h, j : j + w] = True
    field = rng.standard_normal(masks.shape, dtype=np.float32)
    maps = np.stack([gaussian_filter(image, 2.0) for image in field]) + 0.15 * masks
    return maps.astype(np.float32), masks


def both(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> tuple[float, float]:
    ranked = RankedPixels.of(maps, masks)
    return ranked.auroc, ranked.aupro()


def reference_aupro(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> float:
    """Mean over defects of the partial area under the ROC curve of that defect's pixels against normal ones."""
    from sklearn.metrics import roc_curve

    normal, values = maps[~masks], []
    for image, mask in zip(maps, masks, strict=True):
        regions, count = label(mask, structure=np.ones((3, 3)))  # type: ignore[misc]
        for region in range(1, count + 1):
            scores = image[regions == region]
            truth = np.r_[np.zeros(len(normal)), np.ones(len(scores))]
            fpr, tpr, _ = roc_curve(truth, np.r_[normal, scores], drop_intermediate=False)
            inside = fpr <= FPR_LIMIT
            x = np.r_[fpr[inside], FPR_LIMIT]
            y = np.r_[tpr[inside], np.interp(FPR_LIMIT, fpr, tpr)]
            values.append(np.trapezoid(y, x) / FPR_LIMIT)
    return float(np.mean(values))


def patches() -> float:
    """Seconds from energies of patches to scores of MVTec-AD's size."""
    seconds = 0.0
    for size in CATEGORY_SIZES:
        maps, masks = synthetic(size, seed=size)
        energies = maps.reshape(size, 14, 16, 14, 16).mean(axis=(2, 4)).astype(np.float64)
        start = time.process_time()
        for scoring in (SCORING, *VIEWS.values()):
            pixels = scoring.group(energies, anomalous=masks.any(axis=(1, 2)), masks=masks).pixels
            assert pixels is not None
            for statistic in (pixels.aupro, lambda p=pixels: p.auroc, lambda p=pixels: p.detections.f1_max):
                statistic()
        seconds += time.process_time() - start
    return seconds


def peak() -> float:
    """Largest resident size so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    from sklearn.metrics import roc_auc_score

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=150)
    arguments = parser.parse_args()

    maps, masks = synthetic(arguments.images, seed=0)
    ours, theirs = [], []
    for _ in range(arguments.rounds):
        start = time.process_time()
        auroc, aupro = both(maps, masks)
        middle = time.process_time()
        reference = roc_auc_score(masks.ravel(), maps.ravel())
        ours.append(middle - start)
        theirs.append(time.process_time() - middle)
    ratio = statistics.median(t / o for o, t in zip(ours, theirs, strict=True))
    few = slice(0, 8)
    print(f"{arguments.images} maps: ours {min(ours):.2f} s, scikit-learn {min(theirs):.2f} s, ratio {ratio:.1f}")
    print(f"pixel AUROC {auroc:.6f}, differs by {abs(auroc - reference):.1e}; AUPRO {aupro:.6f}")
    small = abs(both(maps[few], masks[few])[1] - reference_aupro(maps[few], masks[few]))
    print(f"AUPRO of 8 maps differs from the curve of each defect by {small:.1e}")

    scored, seconds = 0, 0.0
    for size in CATEGORY_SIZES:
        maps, masks = synthetic(size, seed=size)
        start = time.process_time()
        both(maps, masks)
        seconds += time.process_time() - start
        scored += size
    print(f"{scored:,} maps in {len(CATEGORY_SIZES)} categories: {seconds:.1f} s, peak memory {peak():.2f} GiB")
    print(f"from patches to all scores, both ways: {patches():.1f} s, peak memory {peak():.2f} GiB")


if __name__ == "__main__":
    main()
