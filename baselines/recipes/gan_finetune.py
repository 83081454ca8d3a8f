"""Recipes of GANFinetune."""

from collections.abc import Callable

from baselines.gan_finetune import GANFinetuneConfig
from dxmi.backbones import EDMBackbone


def gaussians8() -> GANFinetuneConfig:
    """One step; length and batch for as many counted network passes as DxMI's default."""
    return GANFinetuneConfig()


def gaussians8_quick() -> GANFinetuneConfig:
    """Seconds, to see that everything works."""
    return GANFinetuneConfig(iterations=300, batch_size=128, backbone=EDMBackbone(iterations=300, batch_size=128))


RECIPES: dict[tuple[str, str], Callable[[], GANFinetuneConfig]] = {
    ("gaussians8", "default"): gaussians8,
    ("gaussians8", "quick"): gaussians8_quick,
}
