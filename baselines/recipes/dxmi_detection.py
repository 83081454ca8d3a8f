"""Recipes of DxMI for detection."""

from collections.abc import Callable

from baselines.dxmi_detection import DxMIDetectionConfig


def pooled_features() -> DxMIDetectionConfig:
    """A few thousand feature vectors; chosen on training normals (benchmarks/detection_tuning.py)."""
    return DxMIDetectionConfig()


def pretrained() -> DxMIDetectionConfig:
    """Its own pretrained autoencoder and no DxMI: what the default has to beat, bit for bit its first half."""
    return DxMIDetectionConfig(iterations=0)


def quick() -> DxMIDetectionConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return DxMIDetectionConfig(pretrain_iterations=100, iterations=20)


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
}
