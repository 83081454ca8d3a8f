"""Recipes of MeanFlow and of what is like it."""

from collections.abc import Callable
from dataclasses import replace

from dxbench_baselines.meanflow import MeanFlowConfig
from dxbench_baselines.starts.backbone import Backbone
from dxbench_baselines.starts.config import MeanFlowNetwork
from dxbench_baselines.starts.presets import (
    GARMENT_MEANFLOW,
    GARMENT_MEANFLOW_CLASSES,
    IMAGE_MEANFLOW,
    MEANFLOW,
    POINTS_MEANFLOW,
    QUICK_IMAGE_MEANFLOW,
    QUICK_POINTS_MEANFLOW,
    SMALL_MEANFLOW,
)
from dxmi.training.flows import UniformTimes
from dxmi.training.mean_flows import (
    AlphaFlowTarget,
    DyadicTimes,
    MeanFlowTarget,
    MeanTarget,
    PairsOfTimes,
    ShortcutTarget,
    SortedTimes,
)


def gaussians8() -> MeanFlowConfig:
    """Improved MeanFlow in one pass; `--set num_steps=2` takes two of the same weights."""
    return MeanFlowConfig()


def gaussians8_original() -> MeanFlowConfig:
    """MeanFlow's own target."""
    return _regressed_on(MeanFlowTarget(), POINTS_MEANFLOW)


def gaussians8_alpha() -> MeanFlowConfig:
    """alpha-flow; half of the pairs are flow matching."""
    return _regressed_on(AlphaFlowTarget(), POINTS_MEANFLOW, SortedTimes(law=UniformTimes(), apart=0.5))


def gaussians8_shortcut() -> MeanFlowConfig:
    """A shortcut model; three quarters of the pairs are flow matching."""
    return _regressed_on(ShortcutTarget(), POINTS_MEANFLOW, DyadicTimes())


def gaussians8_quick() -> MeanFlowConfig:
    """Seconds, to see that everything works."""
    return MeanFlowConfig(backbone=QUICK_POINTS_MEANFLOW)


def digits() -> MeanFlowConfig:
    """Improved MeanFlow in one pass; `--set num_steps=2` takes two of the same weights."""
    return MeanFlowConfig(backbone=IMAGE_MEANFLOW)


def digits_quick() -> MeanFlowConfig:
    """Seconds, to see that everything works."""
    return MeanFlowConfig(backbone=QUICK_IMAGE_MEANFLOW)


def images() -> MeanFlowConfig:
    """The length, rates and times of MeanFlow on CIFAR-10: 820 million images, 8 GPUs for two days."""
    return MeanFlowConfig(backbone=MEANFLOW, flips=True)


def images_quick() -> MeanFlowConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return MeanFlowConfig(backbone=SMALL_MEANFLOW, flips=True)


def fashion_mnist() -> MeanFlowConfig:
    """A small UNet, trained first."""
    return MeanFlowConfig(backbone=GARMENT_MEANFLOW)


def fashion_mnist_classes() -> MeanFlowConfig:
    """The same network with classes."""
    return MeanFlowConfig(backbone=GARMENT_MEANFLOW_CLASSES)


def _regressed_on(
    target: MeanTarget, backbone: Backbone[MeanFlowNetwork], pairs: PairsOfTimes | None = None
) -> MeanFlowConfig:
    network = backbone.network
    return MeanFlowConfig(
        backbone=replace(backbone, network=replace(network, target=target, pairs=pairs or network.pairs))
    )


RECIPES: dict[tuple[str, str], Callable[[], MeanFlowConfig]] = {
    ("plane", "default"): gaussians8,
    ("plane", "original"): gaussians8_original,
    ("plane", "alpha"): gaussians8_alpha,
    ("plane", "shortcut"): gaussians8_shortcut,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): images,
    ("images", "quick"): images_quick,
    ("images/fashion_mnist", "default"): fashion_mnist,
    ("images/fashion_mnist_classes", "default"): fashion_mnist_classes,
}
