"""Recipes of Neon."""

from collections.abc import Callable
from typing import Any

from dxbench_baselines.neon import NeonConfig
from dxbench_baselines.starts.presets import (
    EDM_VP,
    GARMENT_EDM,
    IMAGE_EDM,
    QUICK_IMAGE_EDM,
    QUICK_POINTS_EDM,
    SMALL_EDM,
)

QUICK: dict[str, Any] = {"synthetic": 200, "iterations": 5, "batch_size": 32, "nfe": 5}


def gaussians8() -> NeonConfig:
    """Heun's 35 passes, as `edm` has them."""
    return NeonConfig()


def gaussians8_quick() -> NeonConfig:
    """Seconds, to see that everything works."""
    return NeonConfig(backbone=QUICK_POINTS_EDM, **QUICK)


def digits() -> NeonConfig:
    """Heun's 35 passes; weight, samples and length are those of the plane (inferred: nothing was run)."""
    return NeonConfig(backbone=IMAGE_EDM)


def digits_quick() -> NeonConfig:
    """Seconds, to see that everything works."""
    return NeonConfig(backbone=QUICK_IMAGE_EDM, **QUICK)


def fashion_mnist() -> NeonConfig:
    """The suite's EDM, Heun's 35 passes (inferred: nothing was run)."""
    return NeonConfig(backbone=GARMENT_EDM, init="official", batch_size=64, iterations=100)


def cifar10() -> NeonConfig:
    """The released DDPM++ (VP), Heun's 35 passes, 6,000 samples: 1.38 by its authors; the weight is inferred."""
    return NeonConfig(backbone=EDM_VP, init="official", flips=True, batch_size=512)


def cifar10_quick() -> NeonConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return NeonConfig(backbone=SMALL_EDM, flips=True, **QUICK)


RECIPES: dict[tuple[str, str], Callable[[], NeonConfig]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "quick"): cifar10_quick,
    ("images/cifar10", "default"): cifar10,
    ("images/fashion_mnist", "default"): fashion_mnist,
}
