"""Recipes of the value gradient sampler."""

from collections.abc import Callable

from dxbench_baselines.vgs import VGSConfig


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


def patches() -> VGSConfig:
    """For 711,284 patches: steps, rates and length of the source's MVTec experiment, DxMI's autoencoder (App. C.3).

    tau and gamma are as elsewhere, for the source's tau goes with a learned scale of the energy; ten epochs of
    pretraining are our choice. Untested for want of the data.
    """
    return VGSConfig(
        features="sphere",
        latent=128,
        hidden=1024,
        depth=3,
        pretrain_iterations=9_070,
        pretrain_lr=1e-4,
        iterations=90_700,
        batch_size=784,
        num_steps=10,
        step_angle=0.52,
        value_hidden=1024,
        value_passes=3,
        energy_lr=1e-4,
        value_lr=1e-4,
    )


def patches_separate() -> VGSConfig:
    """The same epochs of the patches of one category."""
    return patches().model_copy(update={"pretrain_iterations": 605, "iterations": 6_050})


RECIPES: dict[tuple[str, str], Callable[[], VGSConfig]] = {
    ("any", "quick"): quick,
    ("vectors", "default"): rows,
    ("vectors/mvtec_pooled", "default"): pooled_features,
    ("vectors/mvtec_separate", "default"): separate,
    ("patches/mvtec_ad", "default"): patches,
    ("mvtec_ad_separate", "default"): patches_separate,
}
