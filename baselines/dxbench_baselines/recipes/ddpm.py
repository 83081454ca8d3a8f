"""Recipes of DDPM."""

from collections.abc import Callable

from dxbench_baselines.ddpm import DDPMConfig, DDPMImageConfig, DDPMUNetConfig
from dxmi.backbones.edm import EDM_LSUN256, ADMUNet
from dxmi.backbones.images import SMALL_DDPM, DDGANGeneratorNet, DDPMUNet
from dxmi.backbones.small import DDPMBackbone


def gaussians8() -> DDPMConfig:
    """Ten steps; `--set num_steps=5` and so on give the other rows of DxMI's Table 1."""
    return DDPMConfig()


def gaussians8_quick() -> DDPMConfig:
    """Seconds, to see that everything works."""
    return DDPMConfig(iterations=300, batch_size=128)


def digits() -> DDPMImageConfig:
    """Ten steps; `--set num_steps=4` is the start of DxMI. Rows of one seed share the backbone."""
    return DDPMImageConfig()


def digits_quick() -> DDPMImageConfig:
    """Seconds, to see that everything works."""
    return DDPMImageConfig(backbone=DDPMBackbone(hidden=64, depth=1, iterations=200, batch_size=128))


def cifar10() -> DDPMUNetConfig:
    """The whole chain: Ho et al. 2020, 1,000 steps."""
    return DDPMUNetConfig()


def cifar10_fastdpm() -> DDPMUNetConfig:
    """Ten steps of FastDPM's quadratic variances, where DxMI starts."""
    return DDPMUNetConfig(num_steps=10, backbone=DDPMUNet())


def cifar10_ddgan() -> DDPMUNetConfig:
    """The four steps of a denoising diffusion GAN, where DxMI starts at T = 4."""
    return DDPMUNetConfig(num_steps=4, backbone=DDGANGeneratorNet())


def cifar10_quick() -> DDPMUNetConfig:
    """Minutes on a processor, to see that everything works: the backbone of DxMI's quick recipe, in four steps."""
    return DDPMUNetConfig(num_steps=4, backbone=SMALL_DDPM, init="train")


def cifar10_jpeg75() -> DDPMUNetConfig:
    """Ten steps of FastDPM's quadratic variances around a backbone that is trained first: a GPU's work of a day."""
    return DDPMUNetConfig(num_steps=10, backbone=DDPMUNet(), init="train")


def imagenet64() -> DDPMUNetConfig:
    """Ten Euler-ancestral steps of EDM (DDPM's steps in its clock), where DxMI starts."""
    return DDPMUNetConfig(num_steps=10, backbone=ADMUNet())


def imagenet64_t4() -> DDPMUNetConfig:
    """Four with rho = 4 and a noisy last one, where DxMI starts at T = 4."""
    return DDPMUNetConfig(num_steps=4, backbone=ADMUNet(levels="above_zero", rho=4.0))


def lsun_bedroom_t4() -> DDPMUNetConfig:
    """Four with rho = 4 and a noisy last one, where DxMI starts."""
    return DDPMUNetConfig(num_steps=4, backbone=EDM_LSUN256)


RECIPES: dict[tuple[str, str], Callable[[], DDPMConfig | DDPMImageConfig | DDPMUNetConfig]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images/cifar10", "default"): cifar10,
    ("cifar10", "ddgan"): cifar10_ddgan,
    ("cifar10", "fastdpm"): cifar10_fastdpm,
    ("imagenet64", "ancestral"): imagenet64,
    ("imagenet64", "ancestral-t4"): imagenet64_t4,
    ("imagenet64", "default"): imagenet64,
    ("lsun_bedroom", "ancestral-t4"): lsun_bedroom_t4,
    ("lsun_bedroom", "default"): lsun_bedroom_t4,
}
