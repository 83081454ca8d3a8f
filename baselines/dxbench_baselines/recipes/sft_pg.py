"""Recipes of SFTPG."""

from collections.abc import Callable
from typing import Any

from dxbench_baselines.sft_pg import SFTPGConfig
from dxbench_baselines.starts.presets import (
    DDPM,
    GARMENT_DDPM,
    IMAGE_DDPM,
    QUICK_IMAGE_DDPM,
    QUICK_POINTS_DDPM,
    SMALL_DDPM,
)
from dxmi.backbones.few_steps import FastDPMSteps, StridedSteps
from dxmi.energies.critics import ConvolutionCritic, MLPCritic


def gaussians8() -> SFTPGConfig:
    """Ten steps from a FastDPM."""
    return SFTPGConfig()


def gaussians8_quick() -> SFTPGConfig:
    """Seconds, to see that everything works."""
    return SFTPGConfig(iterations=100, batch_size=128, backbone=QUICK_POINTS_DDPM)


def digits() -> SFTPGConfig:
    """T = 4 from the steps of the DDPM that DxMI starts from."""
    return _images(backbone=IMAGE_DDPM, critic=MLPCritic(hidden=256, depth=2), iterations=800, batch_size=128)


def digits_quick() -> SFTPGConfig:
    """Seconds, to see that everything works."""
    critic = MLPCritic(hidden=64, depth=1)
    return _images(backbone=QUICK_IMAGE_DDPM, critic=critic, critic_warmup=5, iterations=30, batch_size=32)


def cifar10() -> SFTPGConfig:
    """T = 10 from the released DDPM (released finetune.py); no weights are averaged, the last are scored.

    Its length is not published (the command's default is one pass over the data): as many minibatches of the policy as
    DxMI's recipe has, 78,000 (inferred).
    """
    return _released(backbone=DDPM, init="official")


def cifar10_jpeg75() -> SFTPGConfig:
    """The start is the DDPM of `ddpm` and `dxmi`, which is trained first."""
    return _released(backbone=DDPM)


def fashion_mnist() -> SFTPGConfig:
    """T = 10 from the suite's DDPM, in the released form, for as many counted network passes as DxMI."""
    return _released(
        backbone=GARMENT_DDPM, init="official", critic=ConvolutionCritic(width=32), iterations=25, batch_size=64,
        policy_lr=3e-6, flips=False, ema_decay=0.99,
    )  # fmt: skip


def cifar10_quick() -> SFTPGConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return _released(
        backbone=SMALL_DDPM, critic=ConvolutionCritic(width=16), num_steps=4, iterations=10, batch_size=16,
        critic_steps=2, policy_passes=2,
    )  # fmt: skip


def _images(**settings: Any) -> SFTPGConfig:
    """A sample is the mean of the last step, whose std is for training only."""
    sampler = StridedSteps(first_level=400, last_std=0.15, noiseless_last_step=True)
    rates: dict[str, Any] = {"policy_lr": 1e-5, "critic_lr": 5e-4, "ema_decay": 0.98}
    return SFTPGConfig(num_steps=4, sampler=sampler, data_noise=0.15, **rates | settings)


def _released(**settings: Any) -> SFTPGConfig:
    released: dict[str, Any] = {
        "sampler": FastDPMSteps(), "critic": ConvolutionCritic(), "rollouts": "several", "critic_steps": 5,
        "policy_passes": 10, "iterations": 7800, "batch_size": 128, "betas": (0.9, 0.999), "policy_lr": 1e-6,
        "critic_lr": 1e-4, "value_lr": 1e-4, "lr_decay": "none", "max_grad_norm": 0.1, "ema_decay": 0.0, "flips": True,
    }  # fmt: skip
    return SFTPGConfig(**released | settings)


RECIPES: dict[tuple[str, str], Callable[[], SFTPGConfig]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images/cifar10", "default"): cifar10,
    ("images/fashion_mnist", "default"): fashion_mnist,
}
