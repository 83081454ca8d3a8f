"""Recipes of Equilibrium Matching. What is published is of latents of ImageNet 256, which no task has."""

from collections.abc import Callable

from dxbench_baselines.eqm import EqMConfig
from dxmi.energies.potentials import InnerProduct


def gaussians8() -> EqMConfig:
    """Plain descent, ended before all samples of a mode have met at its centre."""
    return EqMConfig(noise_std=2.0, iterations=6000, batch_size=128, step_size=0.05, sampling_steps=25)


def quick() -> EqMConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return EqMConfig(iterations=200, sampling_steps=20, step_size=0.02)


def digits() -> EqMConfig:
    """The inner product of the source, and its descent with momentum in fewer, longer steps."""
    return EqMConfig(
        potential=InnerProduct(), iterations=6000, batch_size=128, step_size=0.01, sampling_steps=50, momentum=0.3
    )


def digits_quick() -> EqMConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return EqMConfig(
        potential=InnerProduct(hidden=64, depth=1), iterations=100, batch_size=32, step_size=0.02, sampling_steps=20
    )


RECIPES: dict[tuple[str, str], Callable[[], EqMConfig]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
}
