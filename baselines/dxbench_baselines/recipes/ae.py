"""Recipes of the autoencoder."""

from collections.abc import Callable

from dxbench_baselines.ae import AEConfig


def patches() -> AEConfig:
    """Sizes of DxMI's App. C.3, for 711,284 patches; ten epochs are our choice, untested for want of the data."""
    return AEConfig(features="sphere", latent=128, hidden=1024, depth=3, iterations=9_070, batch_size=784, lr=1e-4)


def pooled_features() -> AEConfig:
    """A few thousand feature vectors: sizes and features of `dxmi_detection`'s first stage."""
    return AEConfig(features="mahalanobis", hidden=1024, depth=1, iterations=1600)


def screws() -> AEConfig:
    """Patches of one category: sizes and features of `dxmi_detection`'s first stage."""
    return AEConfig(features="sphere", hidden=1024, depth=1, iterations=1600)


def quick() -> AEConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return AEConfig(iterations=100)


RECIPES: dict[tuple[str, str], Callable[[], AEConfig]] = {
    ("any", "quick"): quick,
    ("vectors/mvtec_pooled", "default"): pooled_features,
    ("patches/screw", "default"): screws,
    ("patches/mvtec_ad", "default"): patches,
    ("mvtec_ad_separate", "default"): patches,
}
