"""Recipes of contrastive divergence."""

from collections.abc import Callable

from dxbench_baselines.igebm import IGEBMConfig


def pooled_features() -> IGEBMConfig:
    """A few thousand feature vectors, in the features of `dxmi_detection`; chosen on the validation split."""
    return IGEBMConfig(features="mahalanobis", iterations=150, max_gradient=0.003)


def separate() -> IGEBMConfig:
    """A few hundred feature vectors, fifteen times."""
    return IGEBMConfig(iterations=200)


def rows() -> IGEBMConfig:
    """Standardised rows and small images, whose length counts."""
    return IGEBMConfig(features="lifted", hidden=128, iterations=200)


def screws() -> IGEBMConfig:
    """Patches of one category, on the unit sphere as `dxmi_detection` sees them."""
    return IGEBMConfig(features="sphere")


def quick() -> IGEBMConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return IGEBMConfig(iterations=30)


def patches() -> IGEBMConfig:
    """Settings for 711,284 patches: sizes and length of DxMI's App. C.3, chains and gamma of the source.

    The rate is as elsewhere. Untested for want of the data.
    """
    return IGEBMConfig(
        features="sphere", hidden=1024, depth=3, iterations=90_700, batch_size=784, mcmc_steps=60, angle=0.08, gamma=1.0
    )


def patches_separate() -> IGEBMConfig:
    """The same epochs of the patches of one category."""
    return patches().model_copy(update={"iterations": 6_050})


RECIPES: dict[tuple[str, str], Callable[[], IGEBMConfig]] = {
    ("any", "quick"): quick,
    ("vectors", "default"): rows,
    ("vectors/mvtec_pooled", "default"): pooled_features,
    ("vectors/mvtec_separate", "default"): separate,
    ("patches/screw", "default"): screws,
    ("patches/mvtec_ad", "default"): patches,
    ("mvtec_ad_separate", "default"): patches_separate,
}
