"""Recipes of DiffCLF."""

from collections.abc import Callable

from dxbench_baselines.diffclf import DiffCLFConfig


def gaussians8() -> DiffCLFConfig:
    """Heun's 18 steps down the energies."""
    return DiffCLFConfig()


def digits() -> DiffCLFConfig:
    """A wider network of the 64 pixels (inferred: nothing was run)."""
    return DiffCLFConfig(hidden=256, octaves=0, batch_size=128)


def quick() -> DiffCLFConfig:
    """Seconds, to see that everything works."""
    return DiffCLFConfig(hidden=32, depth=2, iterations=100, batch_size=64, steps=4)


RECIPES: dict[tuple[str, str], Callable[[], DiffCLFConfig]] = {
    ("plane", "default"): gaussians8,
    ("small_images", "default"): digits,
    ("any", "quick"): quick,
}
