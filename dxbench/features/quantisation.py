"""Round floats to bytes, and find signs that somebody else's bytes were cut off instead."""

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]

NEIGHBOUR_PIXELS = 100
"""A level that never occurs is odd where both of its neighbours occur this often."""


def quantise(x: NDArray[np.floating]) -> Images:
    """[b, C, H, W] in [-1, 1] to uint8 [b, H, W, C]: 127.5 (x + 1), rounded half up, clipped.

    As EDM's `x * 127.5 + 128` and torchvision's `save_image`. Cutting off instead, as consistency_models and DxMI do
    for ImageNet, darkens every pixel by half a level on average.

    Raises:
        ValueError: if a pixel is not finite.
    """
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x.reshape(len(x), -1)).all(axis=1)).sum())
        raise ValueError(f"{bad:,} of {len(x):,} images have pixels that are not finite")
    levels = np.floor(127.5 * (x.astype(np.float64) + 1.0) + 0.5).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(0, 2, 3, 1))


def truncation_signs(images: Images) -> str | None:
    """Describe what in the histogram of levels speaks of cut-off floats, or None.

    Two things do. Bytes that went through floats and back come out one lower in whole ranges of levels, and a level
    at the end of each range is lost. Floats inside [-1, 1] reach 255 only at 1 itself, so its bin is empty, while
    that of 0 is whole; rounding halves both. Samples with much clipped white show neither, so that None is no proof
    of rounding.
    """
    counts = np.bincount(images.reshape(-1), minlength=256)
    inner, below, above = counts[1:-1], counts[:-2], counts[2:]
    missing = int(((inner == 0) & (np.minimum(below, above) >= NEIGHBOUR_PIXELS)).sum())
    if missing:
        return f"{missing} of 254 inner levels never occur although both neighbours do, as cutting floats off leaves"
    if counts[254] >= NEIGHBOUR_PIXELS and counts[255] < 0.1 * counts[254] and counts[0] >= 0.75 * counts[1]:
        return f"level 255 occurs {counts[255]:,} times, 254 {counts[254]:,} times: as cutting floats off leaves"
    return None
