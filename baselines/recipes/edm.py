"""Recipes of EDM."""

from collections.abc import Callable

from baselines.edm import EDMConfig
from dxmi.backbones import EDMBackbone


def gaussians8() -> EDMConfig:
    """Heun's 35 passes; `--set sampler=ipndm --set nfe=5` and so on give the curve."""
    return EDMConfig()


def gaussians8_quick() -> EDMConfig:
    """Seconds, to see that everything works."""
    return EDMConfig(backbone=EDMBackbone(iterations=300, batch_size=128))


RECIPES: dict[tuple[str, str], Callable[[], EDMConfig]] = {
    ("gaussians8", "default"): gaussians8,
    ("gaussians8", "quick"): gaussians8_quick,
}
