"""Recipes of ECT."""

from collections.abc import Callable

from baselines.ect import ECTConfig, ECTImageConfig
from dxmi.backbones import EDMBackbone


def gaussians8() -> ECTConfig:
    """One step; `--set middle_sigmas=[0.4]` takes two. Noise levels to 20: the plane needs no more."""
    return ECTConfig(sigma_max=20.0, sigma_mean=-0.5, backbone=EDMBackbone(iterations=3000), iterations=12000)


def gaussians8_quick() -> ECTConfig:
    """Seconds, to see that everything works."""
    return ECTConfig(iterations=300, batch_size=128, backbone=EDMBackbone(iterations=300, batch_size=128))


def digits() -> ECTImageConfig:
    """One step; `--set middle_sigmas=[2.5]` takes two."""
    return ECTImageConfig()


def digits_quick() -> ECTImageConfig:
    """Seconds, to see that everything works."""
    return ECTImageConfig(
        iterations=100, batch_size=32, backbone=EDMBackbone(hidden=64, depth=1, iterations=200, batch_size=128)
    )


RECIPES: dict[tuple[str, str], Callable[[], ECTConfig]] = {
    ("digits", "default"): digits,
    ("digits", "quick"): digits_quick,
    ("gaussians8", "default"): gaussians8,
    ("gaussians8", "quick"): gaussians8_quick,
}
