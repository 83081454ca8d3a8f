"""Recipes of SiD."""

from collections.abc import Callable
from typing import Any

from dxbench_baselines.sid import SiDConfig
from dxbench_baselines.starts.presets import (
    EDM_ADM,
    EDM_VP,
    GARMENT_EDM,
    GARMENT_EDM_CLASSES,
    IMAGE_EDM,
    QUICK_IMAGE_EDM,
    QUICK_POINTS_EDM,
    SMALL_EDM,
)
from dxmi.distillation import HuberDistance


def gaussians8() -> SiDConfig:
    """SiD in one step."""
    return SiDConfig()


def gaussians8_sim() -> SiDConfig:
    """SIM: alpha = 1 and a pseudo-Huber distance."""
    return SiDConfig(alpha=1.0, distance=HuberDistance())


def gaussians8_sida() -> SiDConfig:
    """SiDA: alpha = 1 and a GAN's loss beside it."""
    return SiDConfig(alpha=1.0, adversarial=0.1)


def gaussians8_quick() -> SiDConfig:
    """Seconds, to see that everything works."""
    return SiDConfig(iterations=300, batch_size=128, backbone=QUICK_POINTS_EDM)


def digits() -> SiDConfig:
    """SiD in one step."""
    return _images(backbone=IMAGE_EDM)


def digits_quick() -> SiDConfig:
    """Seconds, to see that everything works."""
    return _images(backbone=QUICK_IMAGE_EDM, iterations=100)


def cifar10() -> SiDConfig:
    """SiD with alpha 1.2 (released run_sid.sh), 500 million images; `--set alpha=1.0` is their other one."""
    return _released(backbone=EDM_VP, init="official")


def cifar10_jpeg75() -> SiDConfig:
    """The teacher is an EDM denoiser that is trained first."""
    return _released(backbone=EDM_VP)


def cifar10_quick() -> SiDConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return _released(backbone=SMALL_EDM, iterations=20, batch_size=16, ema_decay=0.9)


def fashion_mnist() -> SiDConfig:
    """The teacher is the suite's EDM."""
    return _garments(backbone=GARMENT_EDM, init="official")


def fashion_mnist_classes() -> SiDConfig:
    """The teacher is a denoiser with classes, which is trained first."""
    return _garments(backbone=GARMENT_EDM_CLASSES)


def imagenet64() -> SiDConfig:
    """SiD with alpha 1.2 from EDM's ADM (released run_sid.sh), 1,000 million images in batches of 8,192."""
    return _released(
        backbone=EDM_ADM, init="official", iterations=122_070, batch_size=8192, lr=4e-6, fake_lr=4e-6, ema_decay=0.99716
    )


def _images(**settings: Any) -> SiDConfig:
    short: dict[str, Any] = {"iterations": 4000, "batch_size": 128, "ema_decay": 0.99}
    return SiDConfig(**short | settings)


def _garments(**settings: Any) -> SiDConfig:
    """Rates between those of digits and of CIFAR-10 (inferred: nothing was run)."""
    return SiDConfig(iterations=2000, batch_size=64, lr=5e-5, fake_lr=2e-4, ema_decay=0.995, **settings)


def _released(**settings: Any) -> SiDConfig:
    """The released settings of CIFAR-10; the average's half-life is 0.5 million images."""
    released: dict[str, Any] = {
        "iterations": 1_953_125, "batch_size": 256, "lr": 1e-5, "fake_lr": 1e-5, "lr_decay": "none",
        "ema_decay": 0.999645,
    }  # fmt: skip
    return SiDConfig(**released | settings)


RECIPES: dict[tuple[str, str], Callable[[], SiDConfig]] = {
    ("plane", "default"): gaussians8,
    ("plane", "sim"): gaussians8_sim,
    ("plane", "sida"): gaussians8_sida,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images/cifar10", "default"): cifar10,
    ("images/fashion_mnist", "default"): fashion_mnist,
    ("images/fashion_mnist_classes", "default"): fashion_mnist_classes,
    ("imagenet64", "default"): imagenet64,
}
