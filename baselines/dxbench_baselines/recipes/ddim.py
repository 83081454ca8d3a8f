"""Recipes of DDIM."""

from collections.abc import Callable

from dxbench_baselines.ddim import DDIMConfig
from dxbench_baselines.starts.presets import DDPM, IMAGE_DDPM, QUICK_IMAGE_DDPM, QUICK_POINTS_DDPM, SMALL_DDPM


def gaussians8() -> DDIMConfig:
    """Ten steps of a thousand; `--set num_steps=20` and so on give the curve."""
    return DDIMConfig()


def gaussians8_quick() -> DDIMConfig:
    """Seconds, to see that everything works."""
    return DDIMConfig(backbone=QUICK_POINTS_DDPM)


def digits() -> DDIMConfig:
    """Ten steps of the backbone that `ddpm` and `dxmi` share."""
    return DDIMConfig(backbone=IMAGE_DDPM)


def digits_quick() -> DDIMConfig:
    """Seconds, to see that everything works."""
    return DDIMConfig(backbone=QUICK_IMAGE_DDPM)


def cifar10() -> DDIMConfig:
    """The released DDPM in ten quadratic steps, as DDIM's authors take them for CIFAR-10."""
    return DDIMConfig(backbone=DDPM, init="official", flips=True)


def cifar10_jpeg75() -> DDIMConfig:
    """Around a DDPM that is trained first, the one of `ddpm` and `dxmi`: a GPU's work of a day."""
    return DDIMConfig(backbone=DDPM, flips=True)


def cifar10_quick() -> DDIMConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return DDIMConfig(backbone=SMALL_DDPM, flips=True, num_steps=4)


RECIPES: dict[tuple[str, str], Callable[[], DDIMConfig]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images/cifar10", "default"): cifar10,
}
