"""Recipes of Consistency."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from dxbench_baselines.consistency import ConsistencyConfig
from dxbench_baselines.starts.backbone import Backbone, N
from dxbench_baselines.starts.config import EDMNetwork
from dxbench_baselines.starts.presets import (
    ADM,
    EDM_LSUN256,
    EDM_VE,
    GARMENT_EDM,
    GARMENT_EDM_CLASSES,
    IMAGE_EDM,
    POINTS_EDM,
    QUICK_IMAGE_EDM,
    QUICK_POINTS_EDM,
    SMALL_EDM,
)


def gaussians8() -> ConsistencyConfig:
    """Distillation (CD), one step; `--set middle_levels=[12]` takes two.

    Distance and weight of improved consistency training: with l2 and weight 1 the small noise levels are hardly
    trained in so few steps, and the larger ones build on them (docs/methods/consistency.md).
    """
    return ConsistencyConfig(distance="pseudo_huber", weight="inverse_step", target_decay=0.0, iterations=5000)


def gaussians8_ct() -> ConsistencyConfig:
    """Training (CT), without a teacher."""
    return ConsistencyConfig(
        variant="training",
        distance="pseudo_huber",
        weight="inverse_step",
        num_levels=40,
        target_decay=0.0,
        backbone=untrained(POINTS_EDM),
        iterations=12000,
    )


def gaussians8_quick() -> ConsistencyConfig:
    """Seconds, to see that everything works."""
    return ConsistencyConfig(iterations=300, batch_size=128, backbone=QUICK_POINTS_EDM)


def digits() -> ConsistencyConfig:
    """Distillation (CD), one step; `--set middle_levels=[10]` takes two."""
    return _images(iterations=6000, batch_size=128, backbone=IMAGE_EDM)


def digits_ct() -> ConsistencyConfig:
    """Training (CT), without a teacher."""
    return _images(variant="training", num_levels=40, iterations=12000, batch_size=128, backbone=untrained(IMAGE_EDM))


def digits_quick() -> ConsistencyConfig:
    """Seconds, to see that everything works."""
    return _images(iterations=100, batch_size=32, backbone=QUICK_IMAGE_EDM)


def cifar10() -> ConsistencyConfig:
    """CD by LPIPS from EDM's NCSN++: paper, App. C, and released cifar10_ve_cd.py.

    Theirs distils an EDM of their own training in JAX. `--set distance=l2` is the published l2 variant and needs no
    weights of LPIPS. The release's warm-up over 10 million images is left out.
    """
    return _distilled(backbone=EDM_VE, init="official")


def cifar10_ct() -> ConsistencyConfig:
    """CT by LPIPS from drawn weights: paper, App. C, and released cifar10_ve_ct_adaptive.py."""
    return _distilled(variant="training", backbone=untrained(EDM_VE), num_levels=150, target_decay=0.9)


def cifar10_jpeg75() -> ConsistencyConfig:
    """CD from a denoiser that is trained first, pseudo-Huber and weighted: no weights of other images have a part."""
    return _distilled(backbone=EDM_VE, distance="pseudo_huber", weight="inverse_step", huber_c=0.03)


def cifar10_quick() -> ConsistencyConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return _distilled(
        backbone=SMALL_EDM,
        distance="pseudo_huber",
        weight="inverse_step",
        iterations=20,
        batch_size=16,
        ema_decay=0.9,
    )


def fashion_mnist() -> ConsistencyConfig:
    """Distillation (CD) of the suite's EDM, one step; `--set middle_levels=[9]` takes two."""
    return _garments(backbone=GARMENT_EDM, init="official")


def fashion_mnist_classes() -> ConsistencyConfig:
    """Distillation (CD) of a denoiser with classes, which is trained first."""
    return _garments(backbone=GARMENT_EDM_CLASSES)


def imagenet64_cd(distance: Literal["lpips", "l2"] = "lpips") -> ConsistencyConfig:
    """The released CD in one pass; `--set middle_levels=[22]` is their two (released launch.sh: 0,22,39 of 40)."""
    return _released(replace(ADM, weights=f"cd-{distance}"), distance=distance, num_levels=40)


def imagenet64_ct() -> ConsistencyConfig:
    """The released CT in one pass; `--set middle_levels=[106]` is their two (released launch.sh: 0,106,200 of 201)."""
    return _released(replace(ADM, weights="ct"), variant="training", num_levels=201)


def imagenet64_train_cd() -> ConsistencyConfig:
    """CD by LPIPS from the released EDM: paper, App. C, and released launch.sh."""
    return _distilled(
        backbone=ADM, init="official", num_levels=40, target_decay=0.95, lr=8e-6, batch_size=2048, iterations=600_000,
        **SLOW_EMA,
    )  # fmt: skip


def imagenet64_train_ct() -> ConsistencyConfig:
    """CT by LPIPS from drawn weights. Conflict: lr 8e-6 in the paper, 1e-4 in launch.sh; the paper's is taken."""
    return _distilled(
        variant="training", backbone=untrained(ADM), num_levels=200, target_decay=0.95, lr=8e-6,
        batch_size=2048, iterations=800_000, **SLOW_EMA,
    )  # fmt: skip


def lsun_bedroom_cd(distance: Literal["lpips", "l2"] = "lpips") -> ConsistencyConfig:
    """The released CD in one pass; `--set middle_levels=[17]` is their two, [18] for cd-l2 (released launch.sh)."""
    return _released(replace(EDM_LSUN256, weights=f"cd-{distance}"), distance=distance, num_levels=40)


def lsun_bedroom_ct() -> ConsistencyConfig:
    """The released CT in one pass; `--set middle_levels=[67]` is their two (released launch.sh: 0,67,150 of 151)."""
    return _released(replace(EDM_LSUN256, weights="ct"), variant="training", num_levels=151)


def lsun_bedroom_train_cd() -> ConsistencyConfig:
    """CD by LPIPS from the released EDM. Conflict: batches of 2,048 in the paper, 256 in launch.sh; the paper's."""
    return _distilled(
        backbone=EDM_LSUN256, init="official", num_levels=40, target_decay=0.95, lr=1e-5, batch_size=2048,
        iterations=600_000, **SLOW_EMA,
    )  # fmt: skip


def lsun_bedroom_train_ct() -> ConsistencyConfig:
    """CT by LPIPS from drawn weights. Conflicts: batches as in CD; lr 1e-5 in the paper, 5e-5 in launch.sh."""
    return _distilled(
        variant="training", backbone=untrained(EDM_LSUN256), num_levels=150,
        target_decay=0.95, lr=1e-5, batch_size=2048, iterations=1_000_000, **SLOW_EMA,
    )  # fmt: skip


# The longest of the averages that launch.sh keeps.
SLOW_EMA: dict[str, Any] = {"ema_decay": 0.9999432189950708}


def untrained(backbone: Backbone[N]) -> Backbone[N]:
    """The same network as it is drawn."""
    return replace(backbone, pretraining=replace(backbone.pretraining, iterations=0))


def _images(**settings: Any) -> ConsistencyConfig:
    return ConsistencyConfig(
        distance="pseudo_huber", weight="inverse_step", target_decay=0.0, sigma_max=20.0, **settings
    )


def _garments(**settings: Any) -> ConsistencyConfig:
    return ConsistencyConfig(
        distance="pseudo_huber", weight="inverse_step", huber_c=0.03, target_decay=0.0, iterations=2000, batch_size=64,
        lr=3e-4, **settings,
    )  # fmt: skip


def _distilled(**settings: Any) -> ConsistencyConfig:
    """The released settings of CIFAR-10."""
    released: dict[str, Any] = {
        "distance": "lpips", "clip": True, "optimiser": "radam", "lr": 4e-4, "lr_decay": "none", "batch_size": 512,
        "iterations": 800_000, "ema_decay": 0.9999, "target_decay": 0.0, "flips": True,
    }  # fmt: skip
    return ConsistencyConfig(**released | settings)


def _released(backbone: Backbone[EDMNetwork], **settings: Any) -> ConsistencyConfig:
    return _distilled(backbone=backbone, init="official", iterations=0, **settings)


RECIPES: dict[tuple[str, str], Callable[[], ConsistencyConfig]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images/cifar10", "default"): cifar10,
    ("plane", "ct"): gaussians8_ct,
    ("small_images", "ct"): digits_ct,
    ("images/cifar10", "ct"): cifar10_ct,
    ("images/fashion_mnist", "default"): fashion_mnist,
    ("images/fashion_mnist_classes", "default"): fashion_mnist_classes,
    ("imagenet64", "cd-l2"): partial(imagenet64_cd, "l2"),
    ("imagenet64", "ct"): imagenet64_ct,
    ("imagenet64", "default"): imagenet64_cd,
    ("imagenet64", "train-cd"): imagenet64_train_cd,
    ("imagenet64", "train-ct"): imagenet64_train_ct,
    ("lsun_bedroom", "cd-l2"): partial(lsun_bedroom_cd, "l2"),
    ("lsun_bedroom", "ct"): lsun_bedroom_ct,
    ("lsun_bedroom", "default"): lsun_bedroom_cd,
    ("lsun_bedroom", "train-cd"): lsun_bedroom_train_cd,
    ("lsun_bedroom", "train-ct"): lsun_bedroom_train_ct,
}
