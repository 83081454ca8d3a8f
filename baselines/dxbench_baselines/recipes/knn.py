"""Recipes of the nearest neighbours; elsewhere the default of PyOD and ADBench, k = 5."""

from collections.abc import Callable

from dxbench_baselines.knn import KNNConfig


def nearest_feature() -> KNNConfig:
    """Cosine distance to the nearest feature, as memory banks of image features do (PatchCore, arXiv:2106.08265)."""
    return KNNConfig(k=1, metric="cosine")


RECIPES: dict[tuple[str, str], Callable[[], KNNConfig]] = {
    ("vectors/mvtec_pooled", "default"): nearest_feature,
    ("vectors/mvtec_separate", "default"): nearest_feature,
}
