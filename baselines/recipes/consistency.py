"""Recipes of Consistency."""

from collections.abc import Callable
from dataclasses import replace

from baselines.consistency import ConsistencyConfig, ConsistencyImageConfig
from dxmi.backbones import IMAGE_EDM, EDMBackbone


def gaussians8() -> ConsistencyConfig:
    """Distillation (CD), one step; `--set middle_levels=[12]` takes two.

    Distance and weight of improved consistency training: with l2 and weight 1 the small noise levels are hardly
    trained in so few steps, and the larger ones build on them (docs/methods/consistency.md).
    """
    return ConsistencyConfig(distance="pseudo_huber", weight="inverse_step", target_decay=0.0, iterations=5000)


def gaussians8_ct() -> ConsistencyConfig:
    """Training (CT), without a teacher."""
    return ConsistencyConfig(
        variant="training",
        distance="pseudo_huber",
        weight="inverse_step",
        num_levels=40,
        target_decay=0.0,
        backbone=EDMBackbone(iterations=0),
        iterations=12000,
    )


def gaussians8_quick() -> ConsistencyConfig:
    """Seconds, to see that everything works."""
    return ConsistencyConfig(iterations=300, batch_size=128, backbone=EDMBackbone(iterations=300, batch_size=128))


def digits() -> ConsistencyImageConfig:
    """Distillation (CD), one step; `--set middle_levels=[10]` takes two."""
    return ConsistencyImageConfig()


def digits_ct() -> ConsistencyImageConfig:
    """Training (CT), without a teacher."""
    return ConsistencyImageConfig(
        variant="training", num_levels=40, iterations=12000, backbone=replace(IMAGE_EDM, iterations=0)
    )


def digits_quick() -> ConsistencyImageConfig:
    """Seconds, to see that everything works."""
    return ConsistencyImageConfig(
        iterations=100, batch_size=32, backbone=EDMBackbone(hidden=64, depth=1, iterations=200, batch_size=128)
    )


RECIPES: dict[tuple[str, str], Callable[[], ConsistencyConfig]] = {
    ("digits", "default"): digits,
    ("digits", "ct"): digits_ct,
    ("digits", "quick"): digits_quick,
    ("gaussians8", "default"): gaussians8,
    ("gaussians8", "ct"): gaussians8_ct,
    ("gaussians8", "quick"): gaussians8_quick,
}
