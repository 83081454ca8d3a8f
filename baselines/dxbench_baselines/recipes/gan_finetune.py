"""Recipes of GANFinetune."""

from collections.abc import Callable

from dxbench_baselines.gan_finetune import (
    GANFinetuneBase,
    GANFinetuneConfig,
    GANFinetuneImageConfig,
    GANFinetuneUNetConfig,
)
from dxmi.backbones.edm import SMALL_EDM, ADMUNet
from dxmi.backbones.small import EDMBackbone


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


def cifar10() -> GANFinetuneUNetConfig:
    """From EDM's NCSN++ (VE), 5 million images in batches of 256, averages with a half-life of 0.5 million (released).

    The critic is the energy net of DxMI, in the place of their projected-GAN discriminator.
    """
    return GANFinetuneUNetConfig()


def cifar10_jpeg75() -> GANFinetuneUNetConfig:
    """From an EDM denoiser that is trained first."""
    return GANFinetuneUNetConfig(init="train")


def cifar10_quick() -> GANFinetuneUNetConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return GANFinetuneUNetConfig(
        backbone=SMALL_EDM, init="train", iterations=20, batch_size=16, ema_decay=0.9, critic_width=16
    )


def imagenet64() -> GANFinetuneUNetConfig:
    """From the consistency models' EDM, 10 million images in batches of 512 (released rates).

    Theirs begins at EDM's own ADM. Their average's half-life, 50 million, is longer than the run; 0.5 million here
    (inferred from CIFAR-10).
    """
    return GANFinetuneUNetConfig(backbone=ADMUNet(), batch_size=512, lr=8e-6, critic_lr=4e-5, ema_decay=0.99929)


RECIPES: dict[tuple[str, str], Callable[[], GANFinetuneBase]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images/cifar10", "default"): cifar10,
    ("imagenet64", "default"): imagenet64,
}
