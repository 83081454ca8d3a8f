"""Recipes of ECT."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dxbench_baselines.ect import ECTConfig
from dxbench_baselines.starts.backbone import Pretraining
from dxbench_baselines.starts.presets import (
    EDM_VP,
    GARMENT_EDM,
    GARMENT_EDM_CLASSES,
    IMAGE_EDM,
    POINTS_EDM,
    QUICK_IMAGE_EDM,
    QUICK_POINTS_EDM,
    SMALL_EDM,
)


def gaussians8() -> ECTConfig:
    """One step; `--set middle_sigmas=[0.4]` takes two. Noise levels to 20: the plane needs no more."""
    start = replace(POINTS_EDM, pretraining=Pretraining(iterations=3000))
    return ECTConfig(sigma_max=20.0, sigma_mean=-0.5, backbone=start, iterations=12000)


def gaussians8_quick() -> ECTConfig:
    """Seconds, to see that everything works."""
    return ECTConfig(iterations=300, batch_size=128, backbone=QUICK_POINTS_EDM)


def digits() -> ECTConfig:
    """One step; `--set middle_sigmas=[2.5]` takes two."""
    return _images(iterations=6000, batch_size=128, backbone=IMAGE_EDM)


def digits_quick() -> ECTConfig:
    """Seconds, to see that everything works."""
    return _images(iterations=100, batch_size=32, backbone=QUICK_IMAGE_EDM)


def cifar10() -> ECTConfig:
    """The start is EDM's DDPM++; 200,000 iterations (run_ecm.sh); `--set middle_sigmas=[0.821]` takes two steps.

    Their 25.6 million images in batches of 128, r nearer to t every 3.2 million: eight stages. Left out: dropout 0.2.
    """
    return _released(backbone=EDM_VP, init="official")


def cifar10_jpeg75() -> ECTConfig:
    """The start is an EDM denoiser that is trained first."""
    return _released(backbone=EDM_VP)


def cifar10_quick() -> ECTConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return _released(backbone=SMALL_EDM, iterations=20, batch_size=16, ema_decay=0.9)


def fashion_mnist() -> ECTConfig:
    """The start is the suite's EDM, one step; `--set middle_sigmas=[0.821]` takes two."""
    return _garments(backbone=GARMENT_EDM, init="official")


def fashion_mnist_classes() -> ECTConfig:
    """The start is a denoiser with classes, which is trained first."""
    return _garments(backbone=GARMENT_EDM_CLASSES)


def _images(**settings: Any) -> ECTConfig:
    return ECTConfig(sigma_max=20.0, sigma_mean=-0.5, **settings)


def _garments(**settings: Any) -> ECTConfig:
    return ECTConfig(huber_c=0.03, iterations=2000, batch_size=64, lr=3e-4, **settings)


def _released(**settings: Any) -> ECTConfig:
    """The released settings of CIFAR-10; huber_c is 0 in the source, above it here so that there is a gradient."""
    released: dict[str, Any] = {"optimiser": "radam", "lr": 1e-4, "lr_decay": "none", "huber_c": 1e-8}
    length: dict[str, Any] = {"iterations": 200_000, "batch_size": 128, "ema_decay": 0.9999}
    return ECTConfig(**released | length | settings)


RECIPES: dict[tuple[str, str], Callable[[], ECTConfig]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images/cifar10", "default"): cifar10,
    ("images/fashion_mnist", "default"): fashion_mnist,
    ("images/fashion_mnist_classes", "default"): fashion_mnist_classes,
}
