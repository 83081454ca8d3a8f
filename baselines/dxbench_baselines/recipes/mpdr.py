"""Recipes of manifold projection-diffusion recovery."""

from collections.abc import Callable

from dxbench_baselines.mpdr import MPDRConfig


def pooled_features() -> MPDRConfig:
    """A few thousand feature vectors, from the autoencoder of `dxmi_detection`."""
    return MPDRConfig(features="mahalanobis", hidden=1024, depth=1, pretrain_iterations=1600)


def separate() -> MPDRConfig:
    """A few hundred feature vectors, fifteen times."""
    return MPDRConfig(pretrain_iterations=400, iterations=50)


def rows() -> MPDRConfig:
    """Standardised rows and small images, whose length counts."""
    return MPDRConfig(features="lifted", hidden=128, latent=16, pretrain_iterations=400, iterations=50)


def quick() -> MPDRConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return MPDRConfig(pretrain_iterations=100, iterations=20)


def patches() -> MPDRConfig:
    """For 711,284 patches: rates and epochs (30 and 60) of MPDR-R, the autoencoder of DxMI's App. C.3.

    How DxMI's Table 5 set MPDR up is not known; chains are as elsewhere. Untested for want of the data.
    """
    return MPDRConfig(
        features="sphere",
        latent=128,
        hidden=1024,
        depth=3,
        pretrain_iterations=27_210,
        pretrain_lr=1e-4,
        iterations=54_420,
        batch_size=784,
        energy_lr=1e-5,
    )


def patches_separate() -> MPDRConfig:
    """The same epochs of the patches of one category."""
    return patches().model_copy(update={"pretrain_iterations": 1_815, "iterations": 3_630})


RECIPES: dict[tuple[str, str], Callable[[], MPDRConfig]] = {
    ("any", "quick"): quick,
    ("vectors", "default"): rows,
    ("vectors/mvtec_pooled", "default"): pooled_features,
    ("vectors/mvtec_separate", "default"): separate,
    ("patches/mvtec_ad", "default"): patches,
    ("mvtec_ad_separate", "default"): patches_separate,
}
