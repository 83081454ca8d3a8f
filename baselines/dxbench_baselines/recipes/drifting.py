"""Recipes of Drifting."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dxbench_baselines.drifting import DriftingConfig
from dxbench_baselines.starts.backbone import Backbone, Pretraining
from dxbench_baselines.starts.presets import GARMENT_EDM, IMAGE_EDM, QUICK_IMAGE_EDM
from dxmi.training.kernels import LaplaceKernel


def gaussians8() -> DriftingConfig:
    """One step, from scratch."""
    return DriftingConfig()


def gaussians8_quick() -> DriftingConfig:
    """Seconds, to see that everything works."""
    return DriftingConfig(iterations=300, batch_size=128)


def digits() -> DriftingConfig:
    """One step, from scratch; the kernels are of pixels (inferred: not searched)."""
    return _images(backbone=_from_scratch(IMAGE_EDM), iterations=6000, batch_size=128)


def digits_quick() -> DriftingConfig:
    """Seconds, to see that everything works."""
    return _images(backbone=_from_scratch(QUICK_IMAGE_EDM), iterations=100, batch_size=32)


def fashion_mnist() -> DriftingConfig:
    """One step, from scratch; the kernels are of pixels (inferred: nothing was run)."""
    backbone = replace(_from_scratch(GARMENT_EDM), weights=None)
    return _images(backbone=backbone, width=2.0, iterations=4000, batch_size=64, lr=2e-4)


def _from_scratch(backbone: Backbone[Any]) -> Backbone[Any]:
    return replace(backbone, pretraining=Pretraining(iterations=0))


def _images(*, width: float = 0.5, **settings: Any) -> DriftingConfig:
    """A kernel whose width is a tenth of the distance between images, as the released code's are from 0.02 to 0.2."""
    return DriftingConfig(kernels=(LaplaceKernel(width=width),), ema_decay=0.995, **settings)


RECIPES: dict[tuple[str, str], Callable[[], DriftingConfig]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images/fashion_mnist", "default"): fashion_mnist,
}
