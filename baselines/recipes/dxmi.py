"""Recipes of DxMI."""

from collections.abc import Callable

from baselines.dxmi import DxMIBase, DxMIConfig, DxMIImageConfig
from dxmi.backbones import DDPMBackbone


def gaussians8() -> DxMIConfig:
    """From scratch, T = 5, tau = 0.1: Table 1's last row, and the suite's demonstration.

    gamma below the paper's 1, because the regulariser widens the samples (docs/methods/dxmi.md).
    """
    return DxMIConfig(gamma=0.7, value_lr=5e-4, iterations=6000)


def gaussians8_paper() -> DxMIConfig:
    """As the default, with the paper's gamma = 1."""
    return DxMIConfig(gamma=1.0, value_lr=5e-4, iterations=6000)


def gaussians8_pretrained() -> DxMIConfig:
    """From a DDPM of five steps: the other DxMI rows of Table 1."""
    return DxMIConfig(start="ddpm", gamma=0.7, value_lr=5e-4, iterations=6000)


def gaussians8_quick() -> DxMIConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return DxMIConfig(iterations=300)


def digits() -> DxMIImageConfig:
    """T = 4 from a DDPM that is trained first, or found where another run of the seed has left it."""
    return DxMIImageConfig()


def digits_quick() -> DxMIImageConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return DxMIImageConfig(
        iterations=100,
        head_start=50,
        batch_size=32,
        value_hidden=64,
        value_depth=1,
        backbone=DDPMBackbone(hidden=64, depth=1, iterations=200, batch_size=128),
    )


RECIPES: dict[tuple[str, str], Callable[[], DxMIBase]] = {
    ("digits", "default"): digits,
    ("digits", "quick"): digits_quick,
    ("gaussians8", "default"): gaussians8,
    ("gaussians8", "paper"): gaussians8_paper,
    ("gaussians8", "pretrained"): gaussians8_pretrained,
    ("gaussians8", "quick"): gaussians8_quick,
}
