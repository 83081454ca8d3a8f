"""Recipes of DDPM."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dxbench_baselines.ddpm import POINTS, DDPMConfig
from dxbench_baselines.starts.presets import (
    ADM,
    DDGAN,
    DDPM,
    EDM_LSUN256,
    GARMENT_DDPM,
    GPU_DDPM,
    IMAGE_DDPM,
    QUICK,
    QUICK_IMAGE_DDPM,
    SMALL_DDPM,
)
from dxmi.backbones.few_steps import DDGANSteps, FastDPMSteps, KarrasSteps, StridedSteps

OFFICIAL: dict[str, Any] = {"init": "official", "flips": True}
# A sample is the mean of the last step, whose noise is never drawn. Nearer to pure noise a step multiplies what the
# network errs.
SMALL_IMAGES = StridedSteps(first_level=400, last_std=1.0, noiseless_last_step=True)
FOUR_STEPS = KarrasSteps(levels="above_zero", rho=4.0)


def gaussians8() -> DDPMConfig:
    """Ten steps; `--set num_steps=5` and so on give the other rows of DxMI's Table 1."""
    return DDPMConfig()


def gaussians8_quick() -> DDPMConfig:
    """Seconds, to see that everything works."""
    return DDPMConfig(backbone=replace(POINTS, pretraining=replace(QUICK, ema_decay=0.995)))


def digits() -> DDPMConfig:
    """Ten steps; `--set num_steps=4` is the start of DxMI. Rows of one seed share the backbone."""
    return DDPMConfig(backbone=IMAGE_DDPM, sampler=SMALL_IMAGES)


def digits_quick() -> DDPMConfig:
    """Seconds, to see that everything works."""
    return DDPMConfig(backbone=QUICK_IMAGE_DDPM, sampler=SMALL_IMAGES)


def cifar10() -> DDPMConfig:
    """The whole chain: Ho et al. 2020, 1,000 steps."""
    return DDPMConfig(num_steps=1000, backbone=DDPM, sampler=FastDPMSteps(schedule="step_linear"), **OFFICIAL)


def cifar10_fastdpm() -> DDPMConfig:
    """Ten steps of FastDPM's quadratic variances, where DxMI starts."""
    return DDPMConfig(num_steps=10, backbone=DDPM, sampler=FastDPMSteps(), **OFFICIAL)


def cifar10_ddgan() -> DDPMConfig:
    """The four steps of a denoising diffusion GAN, where DxMI starts at T = 4."""
    return DDPMConfig(num_steps=4, backbone=DDGAN, sampler=DDGANSteps(), **OFFICIAL)


def cifar10_quick() -> DDPMConfig:
    """Minutes on a processor, to see that everything works: the backbone of DxMI's quick recipe, in four steps."""
    return DDPMConfig(num_steps=4, backbone=SMALL_DDPM, sampler=FastDPMSteps(), flips=True)


def cifar10_jpeg75() -> DDPMConfig:
    """Ten steps of FastDPM's quadratic variances around a backbone that is trained first: a GPU's work of a day."""
    return DDPMConfig(num_steps=10, backbone=DDPM, sampler=FastDPMSteps(), flips=True)


def fashion_mnist() -> DDPMConfig:
    """Ten whole steps of the suite's DDPM, evenly; `--set num_steps=100` and so on give the curve."""
    return DDPMConfig(
        num_steps=10, backbone=GARMENT_DDPM, init="official", sampler=FastDPMSteps(schedule="step_linear")
    )


def gpu() -> DDPMConfig:
    """Ten steps of FastDPM's quadratic variances around a small UNet that a GPU trains in minutes (docs/gpu.md)."""
    return DDPMConfig(num_steps=10, backbone=GPU_DDPM, sampler=FastDPMSteps(), flips=True)


def imagenet64() -> DDPMConfig:
    """Ten Euler-ancestral steps of EDM (DDPM's steps in its clock), where DxMI starts."""
    return DDPMConfig(num_steps=10, backbone=ADM, sampler=KarrasSteps(), **OFFICIAL)


def imagenet64_t4() -> DDPMConfig:
    """Four with rho = 4 and a noisy last one, where DxMI starts at T = 4."""
    return DDPMConfig(num_steps=4, backbone=ADM, sampler=FOUR_STEPS, **OFFICIAL)


def lsun_bedroom_t4() -> DDPMConfig:
    """Four with rho = 4 and a noisy last one, where DxMI starts."""
    return DDPMConfig(num_steps=4, backbone=EDM_LSUN256, sampler=FOUR_STEPS, **OFFICIAL)


RECIPES: dict[tuple[str, str], Callable[[], DDPMConfig]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images", "gpu"): gpu,
    ("small_images", "gpu"): gpu,
    ("images/cifar10", "default"): cifar10,
    ("cifar10", "ddgan"): cifar10_ddgan,
    ("cifar10", "fastdpm"): cifar10_fastdpm,
    ("images/fashion_mnist", "default"): fashion_mnist,
    ("imagenet64", "ancestral"): imagenet64,
    ("imagenet64", "ancestral-t4"): imagenet64_t4,
    ("imagenet64", "default"): imagenet64,
    ("lsun_bedroom", "ancestral-t4"): lsun_bedroom_t4,
    ("lsun_bedroom", "default"): lsun_bedroom_t4,
}
