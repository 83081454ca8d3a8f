"""Recipes of FastDPM."""

from collections.abc import Callable

from dxbench_baselines.fastdpm import FastDPMConfig
from dxbench_baselines.starts.presets import DDPM, IMAGE_DDPM, QUICK_IMAGE_DDPM, QUICK_POINTS_DDPM, SMALL_DDPM


def gaussians8() -> FastDPMConfig:
    """DxMI's start on CIFAR-10: ten variances, DDPM's noise."""
    return FastDPMConfig()


def gaussians8_quick() -> FastDPMConfig:
    """Seconds, to see that everything works."""
    return FastDPMConfig(backbone=QUICK_POINTS_DDPM)


def digits() -> FastDPMConfig:
    """Ten steps of the backbone that `ddpm` and `dxmi` share."""
    return FastDPMConfig(backbone=IMAGE_DDPM)


def digits_quick() -> FastDPMConfig:
    """Seconds, to see that everything works."""
    return FastDPMConfig(backbone=QUICK_IMAGE_DDPM)


def cifar10() -> FastDPMConfig:
    """The released DDPM by ten quadratic variances, DDPM's noise: the start of DxMI and SFT-PG."""
    return FastDPMConfig(backbone=DDPM, init="official", flips=True)


def cifar10_jpeg75() -> FastDPMConfig:
    """Around a DDPM that is trained first, the one of `ddpm` and `dxmi`: a GPU's work of a day."""
    return FastDPMConfig(backbone=DDPM, flips=True)


def cifar10_quick() -> FastDPMConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return FastDPMConfig(backbone=SMALL_DDPM, flips=True, num_steps=4)


RECIPES: dict[tuple[str, str], Callable[[], FastDPMConfig]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images/cifar10", "default"): cifar10,
}
