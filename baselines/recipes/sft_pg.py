"""Recipes of SFTPG."""

from collections.abc import Callable

from baselines.sft_pg import SFTPGConfig
from dxmi.backbones import DDPMBackbone


def gaussians8() -> SFTPGConfig:
    """Ten steps from a FastDPM."""
    return SFTPGConfig()


def gaussians8_quick() -> SFTPGConfig:
    """Seconds, to see that everything works."""
    return SFTPGConfig(iterations=100, batch_size=128, backbone=DDPMBackbone(iterations=300, batch_size=128))


RECIPES: dict[tuple[str, str], Callable[[], SFTPGConfig]] = {
    ("gaussians8", "default"): gaussians8,
    ("gaussians8", "quick"): gaussians8_quick,
}
