"""Recipes of Consistency."""

from collections.abc import Callable

from baselines.consistency import ConsistencyConfig


def gaussians8() -> ConsistencyConfig:
    """Distillation (CD), one step; `--set middle_levels=[9]` takes two."""
    return ConsistencyConfig()


def gaussians8_quick() -> ConsistencyConfig:
    """Seconds, to see that everything works."""
    return ConsistencyConfig(iterations=300, teacher_iterations=300, batch_size=128)


RECIPES: dict[tuple[str, str], Callable[[], ConsistencyConfig]] = {
    ("gaussians8", "default"): gaussians8,
    ("gaussians8", "quick"): gaussians8_quick,
}
