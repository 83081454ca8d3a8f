"""Recipes of DDPM."""

from collections.abc import Callable

from baselines.ddpm import DDPMConfig


def gaussians8() -> DDPMConfig:
    """Ten steps; `--set num_steps=5` and so on give the other rows of DxMI's Table 1."""
    return DDPMConfig()


def gaussians8_quick() -> DDPMConfig:
    """Seconds, to see that everything works."""
    return DDPMConfig(iterations=300, batch_size=128)


RECIPES: dict[tuple[str, str], Callable[[], DDPMConfig]] = {
    ("gaussians8", "default"): gaussians8,
    ("gaussians8", "quick"): gaussians8_quick,
}
