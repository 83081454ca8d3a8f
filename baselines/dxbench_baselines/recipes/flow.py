"""Recipes of flow matching."""

from collections.abc import Callable
from dataclasses import replace

from dxbench_baselines.flow import FlowConfig
from dxbench_baselines.starts.backbone import Backbone
from dxbench_baselines.starts.config import FlowNetwork
from dxbench_baselines.starts.presets import (
    FLOW,
    FLOW_ADM,
    GARMENT_FLOW,
    GARMENT_FLOW_CLASSES,
    IMAGE_FLOW,
    POINTS_FLOW,
    QUICK_IMAGE_FLOW,
    QUICK_POINTS_FLOW,
    SMALL_FLOW,
)
from dxmi.training.flows import OptimalCoupling


def gaussians8() -> FlowConfig:
    """Independent pairs; Heun, 34 passes. `--set sampler=euler --set nfe=10` and so on give the curve."""
    return FlowConfig()


def gaussians8_ot() -> FlowConfig:
    """Pairs of optimal transport in the batch (OT-CFM); Heun, 34 passes."""
    return _coupled(POINTS_FLOW)


def gaussians8_quick() -> FlowConfig:
    """Seconds, to see that everything works."""
    return FlowConfig(backbone=QUICK_POINTS_FLOW)


def digits() -> FlowConfig:
    """Independent pairs; Heun, 34 passes."""
    return FlowConfig(backbone=IMAGE_FLOW)


def digits_ot() -> FlowConfig:
    """Pairs of optimal transport in the batch (OT-CFM); Heun, 34 passes."""
    return _coupled(IMAGE_FLOW)


def digits_quick() -> FlowConfig:
    """Seconds, to see that everything works."""
    return FlowConfig(backbone=QUICK_IMAGE_FLOW)


def images() -> FlowConfig:
    """DDPM++ trained for 51 million images, a GPU's work of days; Heun, 34 passes."""
    return FlowConfig(backbone=FLOW, flips=True)


def images_ot() -> FlowConfig:
    """The same network with pairs of optimal transport in the batch (OT-CFM)."""
    return _coupled(FLOW, flips=True)


def images_quick() -> FlowConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return FlowConfig(backbone=SMALL_FLOW, flips=True, nfe=4)


def fashion_mnist() -> FlowConfig:
    """A small UNet, trained first: two to three hours of a processor."""
    return FlowConfig(backbone=GARMENT_FLOW)


def fashion_mnist_classes() -> FlowConfig:
    """The same network with classes."""
    return FlowConfig(backbone=GARMENT_FLOW_CLASSES)


def imagenet64() -> FlowConfig:
    """EDM's ADM trained for 205 million images, weeks of several GPUs; Heun, 34 passes."""
    return FlowConfig(backbone=FLOW_ADM, flips=True)


def _coupled(backbone: Backbone[FlowNetwork], *, flips: bool = False) -> FlowConfig:
    network = replace(backbone.network, coupling=OptimalCoupling())
    return FlowConfig(backbone=replace(backbone, network=network), flips=flips)


RECIPES: dict[tuple[str, str], Callable[[], FlowConfig]] = {
    ("plane", "default"): gaussians8,
    ("plane", "ot"): gaussians8_ot,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "ot"): digits_ot,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): images,
    ("images", "ot"): images_ot,
    ("images", "quick"): images_quick,
    ("images/fashion_mnist", "default"): fashion_mnist,
    ("images/fashion_mnist_classes", "default"): fashion_mnist_classes,
    ("imagenet64", "default"): imagenet64,
}
