"""Recipes of adjoint matching."""

from collections.abc import Callable
from typing import Any

from dxbench_baselines.adjoint_matching import AdjointMatchingConfig
from dxbench_baselines.starts.backbone import Backbone, Pretraining
from dxbench_baselines.starts.energy_game import IMAGE_GAME
from dxbench_baselines.starts.presets import GARMENT_DDPM, IMAGE_DDPM, QUICK_IMAGE_DDPM
from dxmi.backbones.few_steps import FastDPMSteps, ResidualSteps, StridedSteps
from dxmi.backbones.small import StepsMLP
from dxmi.energies.critics import MLPCritic, ResNetCritic


def gaussians8() -> AdjointMatchingConfig:
    """The start is a random walk of T = 5 steps; as many counted network passes as DxMI and GCD."""
    return AdjointMatchingConfig()


def gaussians8_memoryless() -> AdjointMatchingConfig:
    """The walk begins at the origin, so that the energy is that of a density, with wider steps."""
    return AdjointMatchingConfig(memoryless=True, sampler=ResidualSteps(std=0.8))


def gaussians8_pretrained() -> AdjointMatchingConfig:
    """The start is the DDPM of five steps that DxMI's preset of this name has; as many counted passes as there."""
    return AdjointMatchingConfig(
        backbone=Backbone(
            network=StepsMLP(depth=2), pretraining=Pretraining(iterations=2000, batch_size=200, ema_decay=0.995)
        ),
        sampler=StridedSteps(last_std=0.2, fix_last=False),
        iterations=3540,
        policy_lr=1e-3,
    )


def gaussians8_quick() -> AdjointMatchingConfig:
    """Seconds, to see that everything works."""
    return AdjointMatchingConfig(iterations=300)


def digits() -> AdjointMatchingConfig:
    """T = 4 from the start of DxMI, for as many counted network passes (inferred: not searched)."""
    energy = MLPCritic(hidden=256, depth=2)
    return _images(backbone=IMAGE_DDPM, energy=energy, head_start=100, iterations=660, batch_size=128)


def digits_quick() -> AdjointMatchingConfig:
    """Seconds, to see that everything works."""
    energy = MLPCritic(hidden=64, depth=1)
    return _images(backbone=QUICK_IMAGE_DDPM, energy=energy, head_start=20, iterations=60, batch_size=32)


def fashion_mnist() -> AdjointMatchingConfig:
    """T = 10 from the suite's DDPM and the energy net of DxMI, at its rates and lengths (inferred: nothing was run).

    No std is below 0.05: the divergence of a step counts squares over it, and at FastDPM's own last std of 0.001 a
    shared network would do little else than to leave that step alone.
    """
    return AdjointMatchingConfig(
        num_steps=10, backbone=GARMENT_DDPM, init="official", sampler=FastDPMSteps(last_std=0.05, min_std=0.05),
        energy=ResNetCritic(width=32), gamma=1.0, head_start=30, iterations=150, batch_size=64, policy_lr=1e-5,
        energy_lr=5e-4, max_grad_norm=0.1, betas=(0.9, 0.999), ema_decay=0.99,
    )  # fmt: skip


def _images(**settings: Any) -> AdjointMatchingConfig:
    return AdjointMatchingConfig(**IMAGE_GAME | settings)


RECIPES: dict[tuple[str, str], Callable[[], AdjointMatchingConfig]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("gaussians8", "memoryless"): gaussians8_memoryless,
    ("gaussians8", "pretrained"): gaussians8_pretrained,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images/fashion_mnist", "default"): fashion_mnist,
}
