"""Recipes of MMD."""

from collections.abc import Callable
from typing import Any

from dxbench_baselines.mmd import MMDConfig
from dxbench_baselines.starts.presets import GARMENT_DDPM, IMAGE_DDPM, QUICK_IMAGE_DDPM, QUICK_POINTS_DDPM
from dxmi.training.kernels import GaussianKernel, PolynomialKernel


def gaussians8() -> MMDConfig:
    """Five steps of DDIM."""
    return MMDConfig()


def gaussians8_quick() -> MMDConfig:
    """Seconds, to see that everything works."""
    return MMDConfig(iterations=100, batch_size=128, backbone=QUICK_POINTS_DDPM)


def digits() -> MMDConfig:
    """Five steps of DDIM; the kernels are of pixels (inferred: not searched)."""
    return _images(backbone=IMAGE_DDPM, iterations=2000)


def digits_quick() -> MMDConfig:
    """Seconds, to see that everything works."""
    return _images(backbone=QUICK_IMAGE_DDPM, iterations=30, batch_size=32)


def fashion_mnist() -> MMDConfig:
    """Five steps of the suite's DDPM; the kernels are of pixels (inferred: nothing was run)."""
    return _images(backbone=GARMENT_DDPM, init="official", width=5.0, iterations=500, batch_size=64, lr=1e-5)


def _images(*, width: float = 1.5, **settings: Any) -> MMDConfig:
    """KID's kernel, which reaches everywhere, and one about as wide as neighbours among the images are apart."""
    kernels = (PolynomialKernel(), GaussianKernel(width=width))
    return MMDConfig(**{"kernels": kernels, "batch_size": 128, "lr": 1e-4, "ema_decay": 0.99} | settings)


RECIPES: dict[tuple[str, str], Callable[[], MMDConfig]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images/fashion_mnist", "default"): fashion_mnist,
}
