"""Recipes of DDPO."""

from collections.abc import Callable
from typing import Any

from dxbench_baselines.ddpo import DDPOConfig, FixedReward
from dxbench_baselines.starts.presets import GARMENT_DDPM, IMAGE_DDPM, QUICK_IMAGE_DDPM, QUICK_POINTS_DDPM
from dxmi.backbones.few_steps import FastDPMSteps, StridedSteps
from dxmi.energies.critics import ConvolutionCritic, MLPCritic


def gaussians8() -> DDPOConfig:
    """Ten steps from a FastDPM, led by a critic that learns along, for as many counted passes as SFT-PG."""
    return DDPOConfig(policy_passes=4, iterations=950, ema_decay=0.999)


def gaussians8_fixed() -> DDPOConfig:
    """A fixed reward, the density ratio of data to start, and the penalty that makes the data's law its optimum."""
    return DDPOConfig(reward=FixedReward(), critic_warmup=500, kl=1.0, scaled=False)


def gaussians8_quick() -> DDPOConfig:
    """Seconds, to see that everything works."""
    return DDPOConfig(critic_warmup=20, iterations=100, batch_size=128, backbone=QUICK_POINTS_DDPM)


def digits() -> DDPOConfig:
    """T = 4 from the steps of the DDPM that DxMI starts from, at SFT-PG's rates (inferred: not searched)."""
    return _images(backbone=IMAGE_DDPM, critic=MLPCritic(hidden=256, depth=2), iterations=800, batch_size=128)


def digits_quick() -> DDPOConfig:
    """Seconds, to see that everything works."""
    critic = MLPCritic(hidden=64, depth=1)
    return _images(backbone=QUICK_IMAGE_DDPM, critic=critic, critic_warmup=5, iterations=30, batch_size=32)


def fashion_mnist() -> DDPOConfig:
    """T = 10 from the suite's DDPM (inferred: nothing was run)."""
    return DDPOConfig(
        backbone=GARMENT_DDPM, init="official", sampler=FastDPMSteps(), critic=ConvolutionCritic(width=32),
        iterations=300, batch_size=64, policy_lr=1e-5, critic_lr=1e-4, max_grad_norm=0.1, ema_decay=0.99,
    )  # fmt: skip


def _images(**settings: Any) -> DDPOConfig:
    """A sample is the mean of the last step, whose std is for training only."""
    sampler = StridedSteps(first_level=400, last_std=0.15, noiseless_last_step=True)
    rates: dict[str, Any] = {"policy_lr": 1e-5, "critic_lr": 5e-4, "ema_decay": 0.98}
    return DDPOConfig(num_steps=4, sampler=sampler, data_noise=0.15, **rates | settings)


RECIPES: dict[tuple[str, str], Callable[[], DDPOConfig]] = {
    ("plane", "default"): gaussians8,
    ("plane", "fixed"): gaussians8_fixed,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images/fashion_mnist", "default"): fashion_mnist,
}
