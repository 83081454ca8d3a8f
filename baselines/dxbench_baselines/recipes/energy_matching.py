"""Recipes of Energy Matching."""

from collections.abc import Callable
from typing import Any

from dxbench_baselines.energy_matching import EnergyMatchingConfig
from dxmi.energies.potentials import InnerProduct, UNetTransformer


def gaussians8() -> EnergyMatchingConfig:
    """Both stages. The noise is as wide as the data, so that chains come from outside too (docs/methods)."""
    return _plane()


def gaussians8_flow() -> EnergyMatchingConfig:
    """The first stage alone: what the contrast is worth."""
    return _plane(contrast_iterations=0)


def quick() -> EnergyMatchingConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return EnergyMatchingConfig(iterations=200, contrast_iterations=20, batch_size=64)


def digits() -> EnergyMatchingConfig:
    """Temperature, lambda and its floor of the released images (inferred: not searched)."""
    return EnergyMatchingConfig(
        potential=InnerProduct(), iterations=4000, contrast_iterations=300, batch_size=128, epsilon_max=0.01, tau=1.0,
        contrast=1e-3, contrast_floor=0.02, trim=0.1, chain_steps=40, step_size=0.05, sampling_steps=60,
        contrast_ema_decay=0.99, max_grad_norm=1.0,
    )  # fmt: skip


def digits_quick() -> EnergyMatchingConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return EnergyMatchingConfig(
        potential=InnerProduct(hidden=64, depth=1), iterations=100, contrast_iterations=10, batch_size=32
    )


def cifar10() -> EnergyMatchingConfig:
    """The released commands of CIFAR-10, sampled to T = 3.25; four processes of 128 images are one batch of 512.

    145,000 iterations and 2,000 with the contrast, in float32.
    """
    return EnergyMatchingConfig(
        potential=UNetTransformer(), iterations=145_000, contrast_iterations=2000, batch_size=512, lr=1.2e-3,
        lr_decay="none", betas=(0.9, 0.95), ema_decay=0.9999, contrast_ema_decay=0.99, max_grad_norm=1.0, flips=True,
        epsilon_max=0.01, tau=1.0, contrast=1e-3, contrast_floor=0.02, trim=0.1, data_chains="ramped",
        chain_steps=200, step_size=0.01, solver="heun", sampling_steps=325,
    )  # fmt: skip


def fashion_mnist() -> EnergyMatchingConfig:
    """A small one of the networks and 4,100 iterations (inferred: nothing was run)."""
    return EnergyMatchingConfig(
        potential=UNetTransformer(
            width=32, multipliers=(1, 2, 2), blocks_per_level=1, attention_levels=(2,), head_channels=None,
            channels=64, layers=2,
        ),
        iterations=4000, contrast_iterations=100, batch_size=64, lr=6e-4, contrast_ema_decay=0.9, max_grad_norm=1.0,
        epsilon_max=0.01, tau=1.0, contrast=1e-3, contrast_floor=0.02, trim=0.1, data_chains="ramped", chain_steps=40,
        step_size=0.05, sampling_steps=60,
    )  # fmt: skip


def images_quick() -> EnergyMatchingConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return cifar10().model_copy(
        update={
            "potential": UNetTransformer(
                width=16, multipliers=(1, 2), blocks_per_level=1, attention_levels=(), channels=32, layers=1
            ),
            "iterations": 20, "contrast_iterations": 2, "batch_size": 16, "chain_steps": 15, "step_size": 0.1,
            "sampling_steps": 5,
        }
    )  # fmt: skip


def _plane(**settings: Any) -> EnergyMatchingConfig:
    chosen: dict[str, Any] = {
        "noise_std": 2.0, "iterations": 600, "contrast_iterations": 2000, "batch_size": 128, "tau": 0.5,
        "contrast": 40.0,
    }  # fmt: skip
    return EnergyMatchingConfig(**chosen | settings)


RECIPES: dict[tuple[str, str], Callable[[], EnergyMatchingConfig]] = {
    ("plane", "default"): gaussians8,
    ("plane", "flow"): gaussians8_flow,
    ("any", "quick"): quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10,
    ("images", "quick"): images_quick,
    ("images/cifar10", "default"): cifar10,
    ("images/fashion_mnist", "default"): fashion_mnist,
}
