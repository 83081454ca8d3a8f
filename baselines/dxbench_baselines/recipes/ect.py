"""Recipes of ECT."""

from collections.abc import Callable

from dxbench_baselines.ect import ECTBase, ECTConfig, ECTImageConfig, ECTUNetConfig
from dxmi.backbones.edm import SMALL_EDM
from dxmi.backbones.small import EDMBackbone


def gaussians8() -> ECTConfig:
    """One step; `--set middle_sigmas=[0.4]` takes two. Noise levels to 20: the plane needs no more."""
    return ECTConfig(sigma_max=20.0, sigma_mean=-0.5, backbone=EDMBackbone(iterations=3000), iterations=12000)


def gaussians8_quick() -> ECTConfig:
    """Seconds, to see that everything works."""
    return ECTConfig(iterations=300, batch_size=128, backbone=EDMBackbone(iterations=300, batch_size=128))


def digits() -> ECTImageConfig:
    """One step; `--set middle_sigmas=[2.5]` takes two."""
    return ECTImageConfig()


def digits_quick() -> ECTImageConfig:
    """Seconds, to see that everything works."""
    return ECTImageConfig(
        iterations=100, batch_size=32, backbone=EDMBackbone(hidden=64, depth=1, iterations=200, batch_size=128)
    )


def cifar10() -> ECTUNetConfig:
    """From EDM's DDPM++, 200,000 iterations (released run_ecm.sh); `--set middle_sigmas=[0.821]` takes two steps.

    Their 25.6 million images in batches of 128, r nearer to t every 3.2 million: eight stages. Left out: dropout 0.2.
    """
    return ECTUNetConfig()


def cifar10_jpeg75() -> ECTUNetConfig:
    """From an EDM denoiser that is trained first."""
    return ECTUNetConfig(init="train")


def cifar10_quick() -> ECTUNetConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return ECTUNetConfig(backbone=SMALL_EDM, init="train", iterations=20, batch_size=16, ema_decay=0.9)


RECIPES: dict[tuple[str, str], Callable[[], ECTBase]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images/cifar10", "default"): cifar10,
}
