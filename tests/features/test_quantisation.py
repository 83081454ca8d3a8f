import os
from pathlib import Path

import numpy as np
import pytest

from dxbench.features.quantisation import quantise, truncation_signs

SUBSET = Path(os.environ.get("DXBENCH_DATA", "")) / "cifar10" / "lossless_subset.npz"


def pictures(n: int, seed: int = 0) -> np.ndarray:
    """Smooth random images in (-1, 1), [n, 3, 16, 16]."""
    x = np.random.default_rng(seed).uniform(-1.0, 1.0, size=(n, 3, 16, 16))
    return np.sin(np.pi / 2 * x)


def cut_off(x: np.ndarray) -> np.ndarray:
    """What `((x + 1) * 127.5).to(uint8)` leaves."""
    return (127.5 * (x.astype(np.float32) + np.float32(1))).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def test_every_level_survives_the_way_through_floats() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    floats = (levels.transpose(0, 3, 1, 2).astype(np.float32) / 127.5) - 1
    assert np.array_equal(quantise(floats), levels)


def test_rounds_and_clips_to_channels_last() -> None:
    x = np.array([-7.0, -1.0, -1 + 0.49 / 127.5, -1 + 0.51 / 127.5, 1.0, 7.0]).reshape(1, 1, 1, 6)
    assert quantise(x).shape == (1, 1, 6, 1)
    assert quantise(x).reshape(-1).tolist() == [0, 0, 0, 1, 255, 255]


def test_pixels_that_are_not_finite_are_refused() -> None:
    x = pictures(5)
    x[2, 0, 0, 0], x[4, 1, 1, 1] = np.nan, np.inf
    with pytest.raises(ValueError, match="2 of 5 images"):
        quantise(x)


def test_cut_off_floats_are_told_from_rounded_ones() -> None:
    x = pictures(300)
    assert truncation_signs(quantise(x)) is None
    signs = truncation_signs(cut_off(x))
    assert signs is not None
    assert "level 255" in signs


def test_bytes_that_lost_levels_on_the_way_through_floats_lack_a_level() -> None:
    levels = quantise(pictures(300))
    again = levels.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    assert truncation_signs(quantise(again)) is None
    signs = truncation_signs(cut_off(again))
    assert signs is not None
    assert "never occur" in signs


@pytest.mark.parametrize("levels", [2, 17])
def test_images_of_few_levels_are_not_suspected(levels: int) -> None:
    steps = np.random.default_rng(0).integers(0, levels, size=(2000, 8, 8, 1))
    assert truncation_signs((steps * 255 // (levels - 1)).astype(np.uint8)) is None


@pytest.mark.skipif(not SUBSET.is_file(), reason="needs cifar10/lossless_subset.npz under DXBENCH_DATA")
def test_real_images_are_not_suspected_until_they_are_cut_off() -> None:
    images = np.load(SUBSET, allow_pickle=False)["test_images"]
    floats = images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    assert truncation_signs(images) is None
    assert truncation_signs(cut_off(floats)) is not None
