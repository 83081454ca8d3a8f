"""Recipes of EDM."""

from collections.abc import Callable

from baselines.edm import EDMConfig, EDMImageConfig
from dxmi.backbones import EDMBackbone


def gaussians8() -> EDMConfig:
    """Heun's 35 passes; `--set sampler=ipndm --set nfe=5` and so on give the curve."""
    return EDMConfig()


def gaussians8_quick() -> EDMConfig:
    """Seconds, to see that everything works."""
    return EDMConfig(backbone=EDMBackbone(iterations=300, batch_size=128))


def digits() -> EDMImageConfig:
    """Heun, 35 passes; `--set sampler=ipndm --set nfe=10` and so on give the curve."""
    return EDMImageConfig()


def digits_quick() -> EDMImageConfig:
    """Seconds, to see that everything works."""
    return EDMImageConfig(backbone=EDMBackbone(hidden=64, depth=1, iterations=200, batch_size=128))


RECIPES: dict[tuple[str, str], Callable[[], EDMConfig]] = {
    ("digits", "default"): digits,
    ("digits", "quick"): digits_quick,
    ("gaussians8", "default"): gaussians8,
    ("gaussians8", "quick"): gaussians8_quick,
}
