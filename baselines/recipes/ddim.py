"""Recipes of DDIM."""

from collections.abc import Callable

from baselines.ddim import DDIMConfig, DDIMImageConfig
from dxmi.backbones import DDPMBackbone


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


RECIPES: dict[tuple[str, str], Callable[[], DDIMConfig]] = {
    ("digits", "default"): digits,
    ("digits", "quick"): digits_quick,
    ("gaussians8", "default"): gaussians8,
    ("gaussians8", "quick"): gaussians8_quick,
}
