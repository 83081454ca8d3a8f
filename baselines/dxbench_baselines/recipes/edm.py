"""Recipes of EDM."""

from collections.abc import Callable
from typing import Any

from dxbench_baselines.edm import EDMConfig
from dxbench_baselines.starts.presets import (
    ADM,
    EDM_ADM,
    EDM_LSUN256,
    EDM_VP,
    GARMENT_EDM,
    GARMENT_EDM_CLASSES,
    IMAGE_EDM,
    QUICK_IMAGE_EDM,
    QUICK_POINTS_EDM,
    SMALL_EDM,
)
from dxmi.sampling.retiming import Retiming

OFFICIAL: dict[str, Any] = {"init": "official", "flips": True}
GITS: dict[str, Any] = {"sampler": "ipndm", "nfe": 10, "retiming": Retiming()}
# On images the samples that end nearest to the trajectories are not those of the best distance (docs/methods/edm.md).
IMAGE_GITS: dict[str, Any] = GITS | {"retiming": Retiming(weights=(1.0,))}


def gaussians8() -> EDMConfig:
    """Heun's 35 passes; `--set sampler=ipndm --set nfe=5` and so on give the curve."""
    return EDMConfig()


def gaussians8_gits() -> EDMConfig:
    """Ten passes of iPNDM along levels chosen on the denoiser's own trajectories."""
    return EDMConfig(**GITS)


def gaussians8_quick() -> EDMConfig:
    """Seconds, to see that everything works."""
    return EDMConfig(backbone=QUICK_POINTS_EDM)


def digits() -> EDMConfig:
    """Heun, 35 passes; `--set sampler=ipndm --set nfe=10` and so on give the curve."""
    return EDMConfig(backbone=IMAGE_EDM)


def digits_gits() -> EDMConfig:
    """Ten passes of iPNDM along levels chosen on the denoiser's own trajectories."""
    return EDMConfig(backbone=IMAGE_EDM, **IMAGE_GITS)


def digits_quick() -> EDMConfig:
    """Seconds, to see that everything works."""
    return EDMConfig(backbone=QUICK_IMAGE_EDM)


def cifar10() -> EDMConfig:
    """The released DDPM++ (VP), Heun, 35 passes: 1.97 by its authors; `--set sampler=ipndm --set nfe=10` and so on."""
    return EDMConfig(backbone=EDM_VP, **OFFICIAL)


def cifar10_gits() -> EDMConfig:
    """The released DDPM++ in ten passes of iPNDM along levels chosen on its own trajectories."""
    return EDMConfig(backbone=EDM_VP, **OFFICIAL, **IMAGE_GITS)


def cifar10_jpeg75() -> EDMConfig:
    """The same network trained first, since official weights have seen the lossless images: a GPU's work of days."""
    return EDMConfig(backbone=EDM_VP, flips=True)


def cifar10_quick() -> EDMConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return EDMConfig(backbone=SMALL_EDM, flips=True, nfe=5)


def fashion_mnist() -> EDMConfig:
    """The suite's EDM, Heun, 35 passes; `--set sampler=ipndm --set nfe=10` and so on give the curve."""
    return EDMConfig(backbone=GARMENT_EDM, init="official")


def fashion_mnist_gits() -> EDMConfig:
    """The suite's EDM in ten passes of iPNDM along levels chosen on its own trajectories."""
    return EDMConfig(backbone=GARMENT_EDM, init="official", **IMAGE_GITS)


def fashion_mnist_classes() -> EDMConfig:
    """The same network with classes, trained first: some two hours of a processor."""
    return EDMConfig(backbone=GARMENT_EDM_CLASSES)


def imagenet64() -> EDMConfig:
    """The consistency models' EDM, Heun, 79 passes, D kept in [-1, 1] as they sample it: 2.44 by its authors."""
    return EDMConfig(backbone=ADM, nfe=79, clip=True, **OFFICIAL)


def imagenet64_nvidia() -> EDMConfig:
    """EDM's own ADM, Heun, 79 passes without churn."""
    return EDMConfig(backbone=EDM_ADM, nfe=79, **OFFICIAL)


def lsun_bedroom() -> EDMConfig:
    """The consistency models' EDM, Heun, 79 passes, D kept in [-1, 1] as they sample it: 3.57 by its authors."""
    return EDMConfig(backbone=EDM_LSUN256, nfe=79, clip=True, **OFFICIAL)


RECIPES: dict[tuple[str, str], Callable[[], EDMConfig]] = {
    ("plane", "default"): gaussians8,
    ("plane", "gits"): gaussians8_gits,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "gits"): digits_gits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images/cifar10", "default"): cifar10,
    ("images/cifar10", "gits"): cifar10_gits,
    ("images/fashion_mnist", "default"): fashion_mnist,
    ("images/fashion_mnist", "gits"): fashion_mnist_gits,
    ("images/fashion_mnist_classes", "default"): fashion_mnist_classes,
    ("imagenet64", "default"): imagenet64,
    ("imagenet64", "nvidia"): imagenet64_nvidia,
    ("lsun_bedroom", "default"): lsun_bedroom,
}
