"""Recipes of UniAD."""

from collections.abc import Callable

from dxbench_baselines.uniad import UniADConfig


def paper() -> UniADConfig:
    """The source's transformer and its 1,000 epochs of 3,629 images in batches of 8. Untested for want of the data."""
    return UniADConfig(hidden=256, layers=4, heads=8, iterations=453_625)


def separate() -> UniADConfig:
    """The same epochs of one category's images."""
    return paper().model_copy(update={"iterations": 30_250})


def quick() -> UniADConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return UniADConfig(iterations=30)


RECIPES: dict[tuple[str, str], Callable[[], UniADConfig]] = {
    ("any", "quick"): quick,
    ("patches/mvtec_ad", "default"): paper,
    ("mvtec_ad_separate", "default"): separate,
}
