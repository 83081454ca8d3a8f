"""Recipes of FastDPM."""

from collections.abc import Callable

from baselines.fastdpm import FastDPMConfig, FastDPMImageConfig
from dxmi.backbones import DDPMBackbone


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


RECIPES: dict[tuple[str, str], Callable[[], FastDPMConfig]] = {
    ("digits", "default"): digits,
    ("digits", "quick"): digits_quick,
    ("gaussians8", "default"): gaussians8,
    ("gaussians8", "quick"): gaussians8_quick,
}
