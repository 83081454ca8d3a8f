"""Recipes of DDIM."""

from collections.abc import Callable

from dxbench_baselines.ddim import DDIMBase, DDIMConfig, DDIMImageConfig, DDIMUNetConfig
from dxmi.backbones.images import SMALL_DDPM
from dxmi.backbones.small import DDPMBackbone


def gaussians8() -> DDIMConfig:
    """Ten steps of a thousand; `--set num_steps=20` and so on give the curve."""
    return DDIMConfig()


def gaussians8_quick() -> DDIMConfig:
    """Seconds, to see that everything works."""
    return DDIMConfig(backbone=DDPMBackbone(iterations=300, batch_size=128))


def digits() -> DDIMImageConfig:
    """Ten steps of the backbone that `ddpm` and `dxmi` share."""
    return DDIMImageConfig()


def digits_quick() -> DDIMImageConfig:
    """Seconds, to see that everything works."""
    return DDIMImageConfig(backbone=DDPMBackbone(hidden=64, depth=1, iterations=200, batch_size=128))


def cifar10() -> DDIMUNetConfig:
    """The released DDPM in ten quadratic steps, as DDIM's authors take them for CIFAR-10."""
    return DDIMUNetConfig()


def cifar10_jpeg75() -> DDIMUNetConfig:
    """Around a DDPM that is trained first, the one of `ddpm` and `dxmi`: a GPU's work of a day."""
    return DDIMUNetConfig(init="train")


def cifar10_quick() -> DDIMUNetConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return DDIMUNetConfig(backbone=SMALL_DDPM, init="train", num_steps=4)


RECIPES: dict[tuple[str, str], Callable[[], DDIMBase]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images/cifar10", "default"): cifar10,
}
