"""Recipes of GANFinetune."""

from collections.abc import Callable
from typing import Any

from dxbench_baselines.gan_finetune import GANFinetuneConfig
from dxbench_baselines.starts.presets import (
    ADM,
    EDM_VE,
    GARMENT_EDM,
    GARMENT_EDM_CLASSES,
    IMAGE_EDM,
    QUICK_IMAGE_EDM,
    QUICK_POINTS_EDM,
    SMALL_EDM,
)
from dxmi.energies.critics import MLPCritic, ResNetCritic


def gaussians8() -> GANFinetuneConfig:
    """One step; length and batch for as many counted network passes as DxMI's default."""
    return GANFinetuneConfig()


def gaussians8_quick() -> GANFinetuneConfig:
    """Seconds, to see that everything works."""
    return GANFinetuneConfig(iterations=300, batch_size=128, backbone=QUICK_POINTS_EDM)


def digits() -> GANFinetuneConfig:
    """One step; length and batch for as many counted network passes as DxMI's default."""
    critic = MLPCritic(hidden=256, depth=2)
    return _images(backbone=IMAGE_EDM, critic=critic, iterations=1970, batch_size=128)


def digits_quick() -> GANFinetuneConfig:
    """Seconds, to see that everything works."""
    critic = MLPCritic(hidden=64, depth=1)
    return _images(backbone=QUICK_IMAGE_EDM, critic=critic, iterations=100, batch_size=32)


def cifar10() -> GANFinetuneConfig:
    """The start is EDM's NCSN++ (VE); 5 million images in batches of 256, averages' half-life 0.5 million (released).

    The critic is the energy net of DxMI, in the place of their projected-GAN discriminator.
    """
    return _released(backbone=EDM_VE, init="official")


def cifar10_jpeg75() -> GANFinetuneConfig:
    """The start is an EDM denoiser that is trained first."""
    return _released(backbone=EDM_VE)


def cifar10_quick() -> GANFinetuneConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return _released(backbone=SMALL_EDM, critic=ResNetCritic(width=16), iterations=20, batch_size=16, ema_decay=0.9)


def fashion_mnist() -> GANFinetuneConfig:
    """One step from the suite's EDM."""
    return _garments(backbone=GARMENT_EDM, init="official")


def fashion_mnist_classes() -> GANFinetuneConfig:
    """One step from a denoiser with classes, which is trained first."""
    return _garments(backbone=GARMENT_EDM_CLASSES)


def imagenet64() -> GANFinetuneConfig:
    """The start is the consistency models' EDM; 10 million images in batches of 512 (released rates).

    Theirs begins at EDM's own ADM. Their average's half-life, 50 million, is longer than the run; 0.5 million here
    (inferred from CIFAR-10).
    """
    return _released(backbone=ADM, init="official", batch_size=512, lr=8e-6, critic_lr=4e-5, ema_decay=0.99929)


def _images(**settings: Any) -> GANFinetuneConfig:
    return GANFinetuneConfig(sigma_start=20.0, r1=0.01, data_noise=0.05, ema_decay=0.99, **settings)


def _garments(**settings: Any) -> GANFinetuneConfig:
    """A game of an hour on a processor; the critic is the energy net of DxMI there."""
    return GANFinetuneConfig(
        critic=ResNetCritic(width=32), r1=0.01, data_noise=0.05, iterations=2000, batch_size=64, critic_lr=2e-4,
        ema_decay=0.995, **settings,
    )  # fmt: skip


def _released(**settings: Any) -> GANFinetuneConfig:
    """The released settings of CIFAR-10."""
    released: dict[str, Any] = {"r1": 1e-4, "critic_lr": 1e-4, "lr_decay": "none", "ema_decay": 0.99965}
    length: dict[str, Any] = {"iterations": 19_531, "flips": True, "critic": ResNetCritic()}
    return GANFinetuneConfig(**released | length | settings)


RECIPES: dict[tuple[str, str], Callable[[], GANFinetuneConfig]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images/cifar10", "default"): cifar10,
    ("images/fashion_mnist", "default"): fashion_mnist,
    ("images/fashion_mnist_classes", "default"): fashion_mnist_classes,
    ("imagenet64", "default"): imagenet64,
}
