"""Recipes of Consistency."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from dxbench_baselines.consistency import (
    ConsistencyBase,
    ConsistencyConfig,
    ConsistencyImageConfig,
    ConsistencyUNetConfig,
)
from dxmi.backbones.edm import EDM_LSUN256, EDM_VE, SMALL_EDM, ADMUNet
from dxmi.backbones.small import IMAGE_EDM, EDMBackbone


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
        backbone=EDMBackbone(iterations=0),
        iterations=12000,
    )


def gaussians8_quick() -> ConsistencyConfig:
    """Seconds, to see that everything works."""
    return ConsistencyConfig(iterations=300, batch_size=128, backbone=EDMBackbone(iterations=300, batch_size=128))


def digits() -> ConsistencyImageConfig:
    """Distillation (CD), one step; `--set middle_levels=[10]` takes two."""
    return ConsistencyImageConfig()


def digits_ct() -> ConsistencyImageConfig:
    """Training (CT), without a teacher."""
    return ConsistencyImageConfig(
        variant="training", num_levels=40, iterations=12000, backbone=replace(IMAGE_EDM, iterations=0)
    )


def digits_quick() -> ConsistencyImageConfig:
    """Seconds, to see that everything works."""
    return ConsistencyImageConfig(
        iterations=100, batch_size=32, backbone=EDMBackbone(hidden=64, depth=1, iterations=200, batch_size=128)
    )


def cifar10() -> ConsistencyUNetConfig:
    """CD by LPIPS from EDM's NCSN++: paper, App. C, and released cifar10_ve_cd.py.

    Theirs distils an EDM of their own training in JAX. `--set distance=l2` is the published l2 variant and needs no
    weights of LPIPS. The release's warm-up over 10 million images is left out.
    """
    return ConsistencyUNetConfig()


def cifar10_ct() -> ConsistencyUNetConfig:
    """CT by LPIPS from drawn weights: paper, App. C, and released cifar10_ve_ct_adaptive.py."""
    return ConsistencyUNetConfig(
        variant="training", init="train", backbone=replace(EDM_VE, iterations=0), num_levels=150, target_decay=0.9
    )


def cifar10_jpeg75() -> ConsistencyUNetConfig:
    """CD from a denoiser that is trained first, pseudo-Huber and weighted: no weights of other images have a part."""
    return ConsistencyUNetConfig(init="train", distance="pseudo_huber", weight="inverse_step", huber_c=0.03)


def cifar10_quick() -> ConsistencyUNetConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return ConsistencyUNetConfig(
        backbone=SMALL_EDM,
        init="train",
        distance="pseudo_huber",
        weight="inverse_step",
        iterations=20,
        batch_size=16,
        ema_decay=0.9,
    )


def imagenet64_cd(distance: Literal["lpips", "l2"] = "lpips") -> ConsistencyUNetConfig:
    """The released CD in one pass; `--set middle_levels=[22]` is their two (released launch.sh: 0,22,39 of 40)."""
    return _released(ADMUNet(weights=f"cd-{distance}"), distance=distance, num_levels=40)


def imagenet64_ct() -> ConsistencyUNetConfig:
    """The released CT in one pass; `--set middle_levels=[106]` is their two (released launch.sh: 0,106,200 of 201)."""
    return _released(ADMUNet(weights="ct"), variant="training", num_levels=201)


def imagenet64_train_cd() -> ConsistencyUNetConfig:
    """CD by LPIPS from the released EDM: paper, App. C, and released launch.sh."""
    return ConsistencyUNetConfig(
        backbone=ADMUNet(), num_levels=40, target_decay=0.95, lr=8e-6, batch_size=2048, iterations=600_000, **SLOW_EMA
    )


def imagenet64_train_ct() -> ConsistencyUNetConfig:
    """CT by LPIPS from drawn weights. Conflict: lr 8e-6 in the paper, 1e-4 in launch.sh; the paper's is taken."""
    return ConsistencyUNetConfig(
        variant="training", init="train", backbone=ADMUNet(iterations=0), num_levels=200, target_decay=0.95, lr=8e-6,
        batch_size=2048, iterations=800_000, **SLOW_EMA,
    )  # fmt: skip


def lsun_bedroom_cd(distance: Literal["lpips", "l2"] = "lpips") -> ConsistencyUNetConfig:
    """The released CD in one pass; `--set middle_levels=[17]` is their two, [18] for cd-l2 (released launch.sh)."""
    return _released(replace(EDM_LSUN256, weights=f"cd-{distance}"), distance=distance, num_levels=40)


def lsun_bedroom_ct() -> ConsistencyUNetConfig:
    """The released CT in one pass; `--set middle_levels=[67]` is their two (released launch.sh: 0,67,150 of 151)."""
    return _released(replace(EDM_LSUN256, weights="ct"), variant="training", num_levels=151)


def lsun_bedroom_train_cd() -> ConsistencyUNetConfig:
    """CD by LPIPS from the released EDM. Conflict: batches of 2,048 in the paper, 256 in launch.sh; the paper's."""
    return ConsistencyUNetConfig(
        backbone=EDM_LSUN256, num_levels=40, target_decay=0.95, lr=1e-5, batch_size=2048, iterations=600_000, **SLOW_EMA
    )


def lsun_bedroom_train_ct() -> ConsistencyUNetConfig:
    """CT by LPIPS from drawn weights. Conflicts: batches as in CD; lr 1e-5 in the paper, 5e-5 in launch.sh."""
    return ConsistencyUNetConfig(
        variant="training", init="train", backbone=replace(EDM_LSUN256, iterations=0), num_levels=150,
        target_decay=0.95, lr=1e-5, batch_size=2048, iterations=1_000_000, **SLOW_EMA,
    )  # fmt: skip


# The longest of the averages that launch.sh keeps.
SLOW_EMA: dict[str, Any] = {"ema_decay": 0.9999432189950708}


def _released(backbone: ADMUNet, **settings: Any) -> ConsistencyUNetConfig:
    return ConsistencyUNetConfig(backbone=backbone, iterations=0, **settings)


RECIPES: dict[tuple[str, str], Callable[[], ConsistencyBase]] = {
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
