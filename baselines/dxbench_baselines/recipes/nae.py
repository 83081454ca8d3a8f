"""Recipes of the normalised autoencoder."""

from collections.abc import Callable

from dxbench_baselines.nae import NAEConfig


def pooled_features() -> NAEConfig:
    """A few thousand feature vectors, from the autoencoder of `dxmi_detection`."""
    return NAEConfig(features="mahalanobis", hidden=1024, depth=1, pretrain_iterations=1600)


def separate() -> NAEConfig:
    """A few hundred feature vectors, fifteen times."""
    return NAEConfig(pretrain_iterations=400, iterations=50)


def rows() -> NAEConfig:
    """Standardised rows and small images, whose length counts."""
    return NAEConfig(features="lifted", hidden=128, latent=16, pretrain_iterations=400, iterations=50)


def quick() -> NAEConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return NAEConfig(pretrain_iterations=100, iterations=20)


def patches() -> NAEConfig:
    """For 711,284 patches: rates, epochs (100 and 50) and chains of the source, the autoencoder of DxMI's App. C.3.

    Steps of the visible chain are a hundredth of the points' length, as on the source's images; gamma as elsewhere.
    Untested for want of the data.
    """
    return NAEConfig(
        features="sphere",
        latent=128,
        hidden=1024,
        depth=3,
        pretrain_iterations=90_700,
        pretrain_lr=1e-4,
        iterations=45_350,
        batch_size=784,
        visible_steps=50,
        energy_lr=1e-5,
    )


def patches_separate() -> NAEConfig:
    """The same epochs of the patches of one category."""
    return patches().model_copy(update={"pretrain_iterations": 6_050, "iterations": 3_025})


RECIPES: dict[tuple[str, str], Callable[[], NAEConfig]] = {
    ("any", "quick"): quick,
    ("vectors", "default"): rows,
    ("vectors/mvtec_pooled", "default"): pooled_features,
    ("vectors/mvtec_separate", "default"): separate,
    ("patches/mvtec_ad", "default"): patches,
    ("mvtec_ad_separate", "default"): patches_separate,
}
