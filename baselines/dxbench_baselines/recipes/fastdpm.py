"""Recipes of FastDPM."""

from collections.abc import Callable

from dxbench_baselines.fastdpm import FastDPMBase, FastDPMConfig, FastDPMImageConfig, FastDPMUNetConfig
from dxmi.backbones.images import SMALL_DDPM
from dxmi.backbones.small import DDPMBackbone


def gaussians8() -> FastDPMConfig:
    """DxMI's start on CIFAR-10: ten variances, DDPM's noise."""
    return FastDPMConfig()


def gaussians8_quick() -> FastDPMConfig:
    """Seconds, to see that everything works."""
    return FastDPMConfig(backbone=DDPMBackbone(iterations=300, batch_size=128))


def digits() -> FastDPMImageConfig:
    """Ten steps of the backbone that `ddpm` and `dxmi` share."""
    return FastDPMImageConfig()


def digits_quick() -> FastDPMImageConfig:
    """Seconds, to see that everything works."""
    return FastDPMImageConfig(backbone=DDPMBackbone(hidden=64, depth=1, iterations=200, batch_size=128))


def cifar10() -> FastDPMUNetConfig:
    """The released DDPM by ten quadratic variances, DDPM's noise: the start of DxMI and SFT-PG."""
    return FastDPMUNetConfig()


def cifar10_jpeg75() -> FastDPMUNetConfig:
    """Around a DDPM that is trained first, the one of `ddpm` and `dxmi`: a GPU's work of a day."""
    return FastDPMUNetConfig(init="train")


def cifar10_quick() -> FastDPMUNetConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return FastDPMUNetConfig(backbone=SMALL_DDPM, init="train", num_steps=4)


RECIPES: dict[tuple[str, str], Callable[[], FastDPMBase]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images/cifar10", "default"): cifar10,
}
