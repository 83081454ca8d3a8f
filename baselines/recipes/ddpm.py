"""Recipes of DDPM."""

from collections.abc import Callable

from baselines.ddpm import DDPMConfig, DDPMImageConfig
from dxmi.backbones import DDPMBackbone


def gaussians8() -> DDPMConfig:
    """Ten steps; `--set num_steps=5` and so on give the other rows of DxMI's Table 1."""
    return DDPMConfig()


def gaussians8_quick() -> DDPMConfig:
    """Seconds, to see that everything works."""
    return DDPMConfig(iterations=300, batch_size=128)


def digits() -> DDPMImageConfig:
    """Ten steps; `--set num_steps=4` is the start of DxMI. Rows of one seed share the backbone."""
    return DDPMImageConfig()


def digits_quick() -> DDPMImageConfig:
    """Seconds, to see that everything works."""
    return DDPMImageConfig(backbone=DDPMBackbone(hidden=64, depth=1, iterations=200, batch_size=128))


RECIPES: dict[tuple[str, str], Callable[[], DDPMConfig | DDPMImageConfig]] = {
    ("digits", "default"): digits,
    ("digits", "quick"): digits_quick,
    ("gaussians8", "default"): gaussians8,
    ("gaussians8", "quick"): gaussians8_quick,
}
