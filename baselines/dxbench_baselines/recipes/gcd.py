"""Recipes of GCD."""

from collections.abc import Callable

from dxbench_baselines.gcd import GCDBase, GCDConfig, GCDImageConfig
from dxmi.backbones.small import DDPMBackbone


def gaussians8() -> GCDConfig:
    """DxMI's default, T = 5, without its dynamic programming, for as many counted network passes."""
    return GCDConfig()


def gaussians8_quick() -> GCDConfig:
    """Seconds, to see that everything works."""
    return GCDConfig(iterations=300)


def digits() -> GCDImageConfig:
    """T = 4 from the start of DxMI, for as many counted network passes."""
    return GCDImageConfig()


def digits_quick() -> GCDImageConfig:
    """Seconds, to see that everything works."""
    return GCDImageConfig(
        iterations=60,
        head_start=20,
        batch_size=32,
        hidden=64,
        depth=1,
        backbone=DDPMBackbone(hidden=64, depth=1, iterations=200, batch_size=128),
    )


RECIPES: dict[tuple[str, str], Callable[[], GCDBase]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
}
