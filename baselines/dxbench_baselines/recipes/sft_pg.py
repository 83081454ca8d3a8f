"""Recipes of SFTPG."""

from collections.abc import Callable

from dxbench_baselines.sft_pg import SFTPGBase, SFTPGConfig, SFTPGImageConfig, SFTPGUNetConfig
from dxmi.backbones.images import SMALL_DDPM
from dxmi.backbones.small import DDPMBackbone


def gaussians8() -> SFTPGConfig:
    """Ten steps from a FastDPM."""
    return SFTPGConfig()


def gaussians8_quick() -> SFTPGConfig:
    """Seconds, to see that everything works."""
    return SFTPGConfig(iterations=100, batch_size=128, backbone=DDPMBackbone(iterations=300, batch_size=128))


def digits() -> SFTPGImageConfig:
    """T = 4 from the steps of the DDPM that DxMI starts from."""
    return SFTPGImageConfig()


def digits_quick() -> SFTPGImageConfig:
    """Seconds, to see that everything works."""
    return SFTPGImageConfig(
        iterations=30,
        batch_size=32,
        critic_warmup=5,
        critic_hidden=64,
        critic_depth=1,
        backbone=DDPMBackbone(hidden=64, depth=1, iterations=200, batch_size=128),
    )


def cifar10() -> SFTPGUNetConfig:
    """T = 10 from the released DDPM (released finetune.py); no weights are averaged, the last are scored.

    Its length is not published (the command's default is one pass over the data): as many minibatches of the policy as
    DxMI's recipe has, 78,000 (inferred).
    """
    return SFTPGUNetConfig()


def cifar10_jpeg75() -> SFTPGUNetConfig:
    """From the DDPM of `ddpm` and `dxmi`, which is trained first."""
    return SFTPGUNetConfig(init="train")


def cifar10_quick() -> SFTPGUNetConfig:
    """Minutes on a processor, to see that everything works; its numbers mean nothing."""
    return SFTPGUNetConfig(
        backbone=SMALL_DDPM, init="train", num_steps=4, iterations=10, batch_size=16, critic_steps=2, policy_passes=2,
        critic_width=16,
    )  # fmt: skip


RECIPES: dict[tuple[str, str], Callable[[], SFTPGBase]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images/cifar10", "default"): cifar10,
}
