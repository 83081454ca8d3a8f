"""Recipes of GANFinetune."""

from collections.abc import Callable

from baselines.gan_finetune import GANFinetuneConfig, GANFinetuneImageConfig
from dxmi.backbones import EDMBackbone


def gaussians8() -> GANFinetuneConfig:
    """One step; length and batch for as many counted network passes as DxMI's default."""
    return GANFinetuneConfig()


def gaussians8_quick() -> GANFinetuneConfig:
    """Seconds, to see that everything works."""
    return GANFinetuneConfig(iterations=300, batch_size=128, backbone=EDMBackbone(iterations=300, batch_size=128))


def digits() -> GANFinetuneImageConfig:
    """One step; length and batch for as many counted network passes as DxMI's default."""
    return GANFinetuneImageConfig()


def digits_quick() -> GANFinetuneImageConfig:
    """Seconds, to see that everything works."""
    return GANFinetuneImageConfig(
        iterations=100,
        batch_size=32,
        critic_hidden=64,
        critic_depth=1,
        backbone=EDMBackbone(hidden=64, depth=1, iterations=200, batch_size=128),
    )


RECIPES: dict[tuple[str, str], Callable[[], GANFinetuneConfig]] = {
    ("digits", "default"): digits,
    ("digits", "quick"): digits_quick,
    ("gaussians8", "default"): gaussians8,
    ("gaussians8", "quick"): gaussians8_quick,
}
