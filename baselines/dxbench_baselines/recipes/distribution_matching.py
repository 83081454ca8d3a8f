"""Recipes of DistributionMatching."""

from collections.abc import Callable
from typing import Any

from dxbench_baselines.distribution_matching import DistributionMatchingConfig
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
from dxmi.distillation import KarrasNoise, LogNormalNoise

# DMD2's levels: all of Karras's grid for the fake, from 2 to 98 per cent of it for the generator.
DMD2_NOISE: dict[str, Any] = {"noise": KarrasNoise(first=0.02, last=0.98), "fake_noise": KarrasNoise()}
DIFF_INSTRUCT: dict[str, Any] = {"unit": "one", "noise": LogNormalNoise()}


def gaussians8() -> DistributionMatchingConfig:
    """DMD2 in one step; `--set middle_sigmas=[0.5]` takes two, compared in intervals of noise."""
    return DistributionMatchingConfig()


def gaussians8_diff_instruct() -> DistributionMatchingConfig:
    """Diff-Instruct."""
    return DistributionMatchingConfig(**DIFF_INSTRUCT)


def gaussians8_f_distill() -> DistributionMatchingConfig:
    """The Jensen-Shannon divergence (f-distill)."""
    return gaussians8().model_copy(update={"divergence": "jensen_shannon"})


def gaussians8_quick() -> DistributionMatchingConfig:
    """Seconds, to see that everything works."""
    return DistributionMatchingConfig(iterations=300, batch_size=128, backbone=QUICK_POINTS_EDM)


def digits() -> DistributionMatchingConfig:
    """DMD2 in one step."""
    return _images(backbone=IMAGE_EDM)


def digits_diff_instruct() -> DistributionMatchingConfig:
    """Diff-Instruct."""
    return _images(backbone=IMAGE_EDM, **DIFF_INSTRUCT)


def digits_quick() -> DistributionMatchingConfig:
    """Seconds, to see that everything works."""
    return _images(backbone=QUICK_IMAGE_EDM, iterations=100)


def cifar10() -> DistributionMatchingConfig:
    """DMD2 as released for ImageNet 64, at Diff-Instruct's rate (inferred: DMD2's authors have no CIFAR-10)."""
    return _released(backbone=EDM_VP, init="official", lr=1e-5, fake_lr=1e-5)


def cifar10_diff_instruct() -> DistributionMatchingConfig:
    """Diff-Instruct (released command): called at 1, batches of 128; its length, 12.8 million images, is inferred."""
    return DistributionMatchingConfig(
        **DIFF_INSTRUCT, backbone=EDM_VP, init="official", sigma_start=1.0, iterations=100_000, batch_size=128,
        lr=1e-5, fake_lr=1e-5, lr_decay="none", ema_decay=0.99982,
    )  # fmt: skip


def cifar10_jpeg75() -> DistributionMatchingConfig:
    """The teacher is an EDM denoiser that is trained first."""
    return _released(backbone=EDM_VP, lr=1e-5, fake_lr=1e-5)


def cifar10_quick() -> DistributionMatchingConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return _released(backbone=SMALL_EDM, iterations=10, fake_steps=2, batch_size=16, ema_decay=0.9)


def fashion_mnist() -> DistributionMatchingConfig:
    """The teacher is the suite's EDM."""
    return _garments(backbone=GARMENT_EDM, init="official")


def fashion_mnist_classes() -> DistributionMatchingConfig:
    """The teacher is a denoiser with classes, which is trained first."""
    return _garments(backbone=GARMENT_EDM_CLASSES)


def imagenet64() -> DistributionMatchingConfig:
    """DMD2 from EDM's ADM, from the start with a GAN (released script and table: 200,000 steps of the fake)."""
    return _released(backbone=EDM_ADM, init="official")


def _images(**settings: Any) -> DistributionMatchingConfig:
    short: dict[str, Any] = {"iterations": 4000, "batch_size": 128, "ema_decay": 0.99}
    return DistributionMatchingConfig(**short | settings)


def _garments(**settings: Any) -> DistributionMatchingConfig:
    """Rates between those of digits and of CIFAR-10 (inferred: nothing was run)."""
    return DistributionMatchingConfig(
        iterations=2000, batch_size=64, lr=5e-5, fake_lr=2e-4, ema_decay=0.995, **settings
    )


def _released(**settings: Any) -> DistributionMatchingConfig:
    """The released settings of ImageNet 64."""
    released: dict[str, Any] = {
        "sigma_start": 80.0, "fake_steps": 5, "adversarial": 3e-3, "iterations": 40_000, "batch_size": 280,
        "lr": 2e-6, "fake_lr": 2e-6, "lr_decay": "none", "ema_decay": 0.0,
    }  # fmt: skip
    return DistributionMatchingConfig(**DMD2_NOISE | released | settings)


RECIPES: dict[tuple[str, str], Callable[[], DistributionMatchingConfig]] = {
    ("plane", "default"): gaussians8,
    ("plane", "diff_instruct"): gaussians8_diff_instruct,
    ("plane", "f_distill"): gaussians8_f_distill,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "diff_instruct"): digits_diff_instruct,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images/cifar10", "default"): cifar10,
    ("images/cifar10", "diff_instruct"): cifar10_diff_instruct,
    ("images/fashion_mnist", "default"): fashion_mnist,
    ("images/fashion_mnist_classes", "default"): fashion_mnist_classes,
    ("imagenet64", "default"): imagenet64,
}
