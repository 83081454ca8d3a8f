"""Recipes of GCD."""

from collections.abc import Callable
from typing import Any

from dxbench_baselines.gcd import GCDConfig
from dxbench_baselines.starts.energy_game import IMAGE_GAME
from dxbench_baselines.starts.presets import GARMENT_DDPM, IMAGE_DDPM, QUICK_IMAGE_DDPM
from dxmi.backbones.few_steps import FastDPMSteps
from dxmi.energies.critics import MLPCritic, ResNetCritic


def gaussians8() -> GCDConfig:
    """DxMI's default, T = 5, without its dynamic programming, for as many counted network passes."""
    return GCDConfig()


def gaussians8_quick() -> GCDConfig:
    """Seconds, to see that everything works."""
    return GCDConfig(iterations=300)


def digits() -> GCDConfig:
    """T = 4 from the start of DxMI, for as many counted network passes."""
    energy = MLPCritic(hidden=256, depth=2)
    return _images(backbone=IMAGE_DDPM, energy=energy, head_start=100, iterations=1040, batch_size=128)


def digits_quick() -> GCDConfig:
    """Seconds, to see that everything works."""
    energy = MLPCritic(hidden=64, depth=1)
    return _images(backbone=QUICK_IMAGE_DDPM, energy=energy, head_start=20, iterations=60, batch_size=32)


def fashion_mnist() -> GCDConfig:
    """T = 4 from the suite's DDPM and the energy net of DxMI, with the paper's coefficients."""
    return GCDConfig(
        num_steps=4, backbone=GARMENT_DDPM, init="official", sampler=FastDPMSteps(), energy=ResNetCritic(width=32),
        gamma=1.0, iterations=500, batch_size=64, policy_lr=1e-5, energy_lr=1e-4, std_lr_ratio=100.0,
        max_grad_norm=0.1, betas=(0.9, 0.999), ema_decay=0.99,
    )  # fmt: skip


def _images(**settings: Any) -> GCDConfig:
    return GCDConfig(**IMAGE_GAME | settings)


RECIPES: dict[tuple[str, str], Callable[[], GCDConfig]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images/fashion_mnist", "default"): fashion_mnist,
}
