"""Recipes of diffusion time estimation."""

from collections.abc import Callable

from dxbench_baselines.dte import DTEConfig


def released() -> DTEConfig:
    """The training of the released code for its table: 400 epochs, however long, and two softmaxes."""
    return DTEConfig(double_softmax=True, iterations=10**9)


def separate() -> DTEConfig:
    """Fifteen small sets, or patches on a small machine: a quarter of the steps each."""
    return DTEConfig(iterations=3000)


def patches() -> DTEConfig:
    """Settings for 711,284 patches: the source's net, 100 epochs of batches of 784. Untested for want of the data."""
    return DTEConfig(iterations=90_700, epochs=100, batch_size=784)


def patches_separate() -> DTEConfig:
    """The same epochs of the patches of one category."""
    return patches().model_copy(update={"iterations": 6_050})


def quick() -> DTEConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return DTEConfig(iterations=200)


RECIPES: dict[tuple[str, str], Callable[[], DTEConfig]] = {
    ("any", "quick"): quick,
    ("tabular_dte", "released"): released,
    ("vectors/mvtec_separate", "default"): separate,
    ("mvtec_synthetic", "default"): separate,
    ("patches/screw", "default"): separate,
    ("patches/mvtec_ad", "default"): patches,
    ("mvtec_ad_separate", "default"): patches_separate,
}
