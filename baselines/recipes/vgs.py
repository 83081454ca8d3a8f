"""Recipes of the value gradient sampler."""

from collections.abc import Callable

from baselines.vgs import VGSConfig


def pooled_features() -> VGSConfig:
    """A few thousand feature vectors, from the autoencoder of `dxmi_detection`."""
    return VGSConfig(features="mahalanobis", hidden=1024, depth=1, pretrain_iterations=1600)


def separate() -> VGSConfig:
    """A few hundred feature vectors, fifteen times."""
    return VGSConfig(pretrain_iterations=400, iterations=50)


def rows() -> VGSConfig:
    """Standardised rows and small images, whose length counts."""
    return VGSConfig(features="lifted", hidden=128, latent=16, pretrain_iterations=400, iterations=50)


def quick() -> VGSConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return VGSConfig(pretrain_iterations=100, iterations=20)


FEATURES = ("resnet18", "vit")
ROWS = ("tabular_clean", "tabular_dte", "holdout_digit")

RECIPES: dict[tuple[str, str], Callable[[], VGSConfig]] = {
    **{(f"mvtec_pooled_{features}", "default"): pooled_features for features in FEATURES},
    **{(f"mvtec_separate_{features}", "default"): separate for features in FEATURES},
    **{(task, "default"): rows for task in ROWS},
    **{(f"mvtec_{models}_{features}", "quick"): quick for models in ("pooled", "separate") for features in FEATURES},
}
