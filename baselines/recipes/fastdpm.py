"""Recipes of FastDPM."""

from collections.abc import Callable

from baselines.fastdpm import FastDPMConfig
from dxmi.backbones import DDPMBackbone


def gaussians8() -> FastDPMConfig:
    """DxMI's start on CIFAR-10: ten variances, DDPM's noise."""
    return FastDPMConfig()


def gaussians8_quick() -> FastDPMConfig:
    """Seconds, to see that everything works."""
    return FastDPMConfig(backbone=DDPMBackbone(iterations=300, batch_size=128))


RECIPES: dict[tuple[str, str], Callable[[], FastDPMConfig]] = {
    ("gaussians8", "default"): gaussians8,
    ("gaussians8", "quick"): gaussians8_quick,
}
