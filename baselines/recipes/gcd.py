"""Recipes of GCD."""

from collections.abc import Callable

from baselines.gcd import GCDConfig


def gaussians8() -> GCDConfig:
    """DxMI's default, T = 5, without its dynamic programming, for as many counted network passes."""
    return GCDConfig()


def gaussians8_quick() -> GCDConfig:
    """Seconds, to see that everything works."""
    return GCDConfig(iterations=300)


RECIPES: dict[tuple[str, str], Callable[[], GCDConfig]] = {
    ("gaussians8", "default"): gaussians8,
    ("gaussians8", "quick"): gaussians8_quick,
}
