"""Recipes of DxMI for detection."""

from collections.abc import Callable

from baselines.dxmi_detection import DxMIDetectionConfig


def pooled_features() -> DxMIDetectionConfig:
    """A few thousand feature vectors; chosen on the validation split (benchmarks/detection_tuning.py)."""
    return DxMIDetectionConfig()


def pretrained() -> DxMIDetectionConfig:
    """Its own pretrained autoencoder and no DxMI: what the default has to beat, bit for bit its first half."""
    return DxMIDetectionConfig(iterations=0)


def quick() -> DxMIDetectionConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return DxMIDetectionConfig(pretrain_iterations=100, iterations=20)


def patches() -> DxMIDetectionConfig:
    """Sizes and rates of App. C.3, for 711,284 patches: 100 epochs of batches of 784.

    gamma = 1 is the paper's; what it leaves open (pretraining, the start's noise) is as elsewhere; untested for want of
    the data.
    """
    return DxMIDetectionConfig(
        features="sphere",
        latent=128,
        hidden=1024,
        depth=3,
        pretrain_iterations=9_070,
        pretrain_lr=1e-4,
        iterations=90_700,
        gamma=1.0,
        batch_size=784,
        policy_hidden=2048,
        value_hidden=1024,
        policy_lr=1e-5,
        value_lr=1e-5,
        energy_lr=1e-4,
        std_lr_ratio=100.0,
    )


def patches_pretrained() -> DxMIDetectionConfig:
    """Its own pretrained autoencoder and no DxMI."""
    return patches().model_copy(update={"iterations": 0})


TASKS = (
    "mvtec_pooled_resnet18",
    "mvtec_pooled_vit",
    "mvtec_separate_resnet18",
    "mvtec_separate_vit",
    "tabular_clean",
    "tabular_dte",
    "holdout_digit",
)

RECIPES: dict[tuple[str, str], Callable[[], DxMIDetectionConfig]] = {
    (task, preset): recipe
    for task in TASKS
    for preset, recipe in (("default", pooled_features), ("pretrained", pretrained), ("quick", quick))
} | {
    (task, preset): recipe
    for task in ("mvtec_ad", "mvtec_ad_features", "mvtec_ad_separate")
    for preset, recipe in (("default", patches), ("pretrained", patches_pretrained))
}
