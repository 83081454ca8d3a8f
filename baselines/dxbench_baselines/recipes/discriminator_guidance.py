"""Recipes of discriminator guidance."""

from collections.abc import Callable
from typing import Any

from dxbench_baselines.discriminator_guidance import DiscriminatorGuidanceConfig
from dxbench_baselines.starts.presets import IMAGE_EDM, QUICK_IMAGE_EDM, QUICK_POINTS_EDM

QUICK: dict[str, Any] = {"synthetic": 200, "iterations": 5, "batch_size": 32, "nfe": 5, "ema_decay": 0.9}


def gaussians8() -> DiscriminatorGuidanceConfig:
    """Heun's 35 passes of the denoiser, as `edm` has them, and as many gradients of the discriminator."""
    return DiscriminatorGuidanceConfig()


def gaussians8_quick() -> DiscriminatorGuidanceConfig:
    """Seconds, to see that everything works."""
    return DiscriminatorGuidanceConfig(backbone=QUICK_POINTS_EDM, **QUICK)


def digits() -> DiscriminatorGuidanceConfig:
    """Heun's 35 passes of the denoiser, as `edm` has them, and as many gradients of the discriminator."""
    return DiscriminatorGuidanceConfig(backbone=IMAGE_EDM)


def digits_quick() -> DiscriminatorGuidanceConfig:
    """Seconds, to see that everything works."""
    return DiscriminatorGuidanceConfig(backbone=QUICK_IMAGE_EDM, **QUICK)


RECIPES: dict[tuple[str, str], Callable[[], DiscriminatorGuidanceConfig]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
}
