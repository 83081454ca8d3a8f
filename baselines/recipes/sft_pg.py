"""Recipes of SFTPG."""

from collections.abc import Callable

from baselines.sft_pg import SFTPGConfig, SFTPGImageConfig
from dxmi.backbones import DDPMBackbone


def gaussians8() -> SFTPGConfig:
    """Ten steps from a FastDPM."""
    return SFTPGConfig()


def gaussians8_quick() -> SFTPGConfig:
    """Seconds, to see that everything works."""
    return SFTPGConfig(iterations=100, batch_size=128, backbone=DDPMBackbone(iterations=300, batch_size=128))


def digits() -> SFTPGImageConfig:
    """T = 4 from the steps of the DDPM that DxMI starts from."""
    return SFTPGImageConfig()


def digits_quick() -> SFTPGImageConfig:
    """Seconds, to see that everything works."""
    return SFTPGImageConfig(
        iterations=30,
        batch_size=32,
        critic_warmup=5,
        critic_hidden=64,
        critic_depth=1,
        backbone=DDPMBackbone(hidden=64, depth=1, iterations=200, batch_size=128),
    )


RECIPES: dict[tuple[str, str], Callable[[], SFTPGConfig]] = {
    ("digits", "default"): digits,
    ("digits", "quick"): digits_quick,
    ("gaussians8", "default"): gaussians8,
    ("gaussians8", "quick"): gaussians8_quick,
}
