"""Recipes of EDM."""

from collections.abc import Callable

from dxbench_baselines.edm import EDMBase, EDMConfig, EDMImageConfig, EDMUNetConfig
from dxmi.backbones.edm import EDM_ADM, EDM_LSUN256, SMALL_EDM, ADMUNet
from dxmi.backbones.small import EDMBackbone


def gaussians8() -> EDMConfig:
    """Heun's 35 passes; `--set sampler=ipndm --set nfe=5` and so on give the curve."""
    return EDMConfig()


def gaussians8_quick() -> EDMConfig:
    """Seconds, to see that everything works."""
    return EDMConfig(backbone=EDMBackbone(iterations=300, batch_size=128))


def digits() -> EDMImageConfig:
    """Heun, 35 passes; `--set sampler=ipndm --set nfe=10` and so on give the curve."""
    return EDMImageConfig()


def digits_quick() -> EDMImageConfig:
    """Seconds, to see that everything works."""
    return EDMImageConfig(backbone=EDMBackbone(hidden=64, depth=1, iterations=200, batch_size=128))


def cifar10() -> EDMUNetConfig:
    """The released DDPM++ (VP), Heun, 35 passes: 1.97 by its authors; `--set sampler=ipndm --set nfe=10` and so on."""
    return EDMUNetConfig()


def cifar10_jpeg75() -> EDMUNetConfig:
    """The same network trained first, since official weights have seen the lossless images: a GPU's work of days."""
    return EDMUNetConfig(init="train")


def cifar10_quick() -> EDMUNetConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return EDMUNetConfig(backbone=SMALL_EDM, init="train", nfe=5)


def imagenet64() -> EDMUNetConfig:
    """The consistency models' EDM, Heun, 79 passes, D kept in [-1, 1] as they sample it: 2.44 by its authors."""
    return EDMUNetConfig(backbone=ADMUNet(), nfe=79, clip=True)


def imagenet64_nvidia() -> EDMUNetConfig:
    """EDM's own ADM, Heun, 79 passes without churn."""
    return EDMUNetConfig(backbone=EDM_ADM, nfe=79)


def lsun_bedroom() -> EDMUNetConfig:
    """The consistency models' EDM, Heun, 79 passes, D kept in [-1, 1] as they sample it: 3.57 by its authors."""
    return EDMUNetConfig(backbone=EDM_LSUN256, nfe=79, clip=True)


RECIPES: dict[tuple[str, str], Callable[[], EDMBase]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images/cifar10", "default"): cifar10,
    ("imagenet64", "default"): imagenet64,
    ("imagenet64", "nvidia"): imagenet64_nvidia,
    ("lsun_bedroom", "default"): lsun_bedroom,
}
