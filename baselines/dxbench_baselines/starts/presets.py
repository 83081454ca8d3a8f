"""Backbones by name: small ones that rows of one training seed share, the released ones, and tiny ones."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from dxbench.api import Config
from dxbench_baselines.starts.backbone import Backbone, Pretraining
from dxmi.backbones.edm import ADMUNet, EDMUNet
from dxmi.backbones.flows import FlowMLP, FlowUNet, MeanFlowMLP, MeanFlowUNet
from dxmi.backbones.images import DDGANUNet, DDPMUNet
from dxmi.backbones.small import DDPMMLP, EDMMLP, StepsMLP
from dxmi.training.flows import LogitNormalTimes, OptimalCoupling, UniformTimes
from dxmi.training.mean_flows import ImprovedTarget, SortedTimes

# Points in the plane.
POINTS_DDPM = Backbone(network=DDPMMLP())
POINTS_EDM = Backbone(network=EDMMLP())
POINTS_FLOW = Backbone(network=FlowMLP())
# Pairs of optimal transport, and times up to both ends, which one pass is asked for (docs/methods/meanflow.md).
POINTS_MEANFLOW = Backbone(
    network=MeanFlowMLP(target=ImprovedTarget(), coupling=OptimalCoupling(), pairs=SortedTimes(law=UniformTimes())),
    pretraining=Pretraining(lr=3e-3),
)
# A net of as many steps as are sampled, which is 0 at first and not pretrained.
# Sampler and energy chase each other, so a long memory of squared gradients is out of date.
POINTS_BETAS = (0.9, 0.99)
# On images no memory of gradients at all damps the chase, and a long one of their squares lets steps shrink with them.
IMAGE_BETAS = (0.0, 0.999)
SCRATCH = Backbone(network=StepsMLP(depth=2, zero_output=True), pretraining=Pretraining(iterations=0))

# Small images: each family by one net.
IMAGE_PRETRAINING = Pretraining(iterations=6000, batch_size=128)
IMAGE_DDPM = Backbone(network=DDPMMLP(hidden=256), pretraining=IMAGE_PRETRAINING)
IMAGE_EDM = Backbone(network=EDMMLP(hidden=256), pretraining=IMAGE_PRETRAINING)
IMAGE_FLOW = Backbone(network=FlowMLP(hidden=256), pretraining=IMAGE_PRETRAINING)
IMAGE_MEANFLOW = Backbone(
    network=MeanFlowMLP(hidden=256, target=ImprovedTarget()),
    pretraining=replace(IMAGE_PRETRAINING, iterations=12_000),
)

# CIFAR-10: DDPM, DDGAN, EDM's DDPM++, and its NCSN++, the network of the consistency models there too. EDM's are
# trained in batches of 512 at 1e-3 for about 200 million images, as the released command does, without its dropout and
# augmentation.
EDM_PRETRAINING = Pretraining(iterations=400_000, batch_size=512, lr=1e-3, ema_decay=0.9999, max_grad_norm=1.0)
DDPM = Backbone(
    network=DDPMUNet(),
    pretraining=Pretraining(iterations=800_000, batch_size=128, lr=2e-4, ema_decay=0.9999, max_grad_norm=1.0),
    weights="ddpm",
)
DDGAN = Backbone(
    network=DDGANUNet(),
    pretraining=Pretraining(iterations=400_000, batch_size=256, lr=1.6e-4, ema_decay=0.9999, max_grad_norm=1.0),
    weights="ddgan",
)
EDM_VP = Backbone(network=EDMUNet(), pretraining=EDM_PRETRAINING, weights="edm")
EDM_VE = Backbone(network=EDMUNet(preset="ncsnpp"), pretraining=EDM_PRETRAINING, weights="edm-ve")

# Flow matching in DDPM++, as long as OT-CFM's released command trains a UNet of 36 million parameters, without its
# dropout and its warm-up.
FLOW = Backbone(
    network=FlowUNet(),
    pretraining=Pretraining(iterations=400_000, batch_size=128, lr=2e-4, ema_decay=0.9999, max_grad_norm=1.0),
)
# MeanFlow's released command for CIFAR-10, with the times of its paper, without its dropout, augmentation and warm-up.
MEANFLOW = Backbone(
    network=MeanFlowUNet(pairs=SortedTimes(law=LogitNormalTimes(mean=-2.0, std=2.0)), power=0.75),
    pretraining=Pretraining(iterations=800_000, batch_size=1024, lr=6e-4, ema_decay=0.9999),
)

# ImageNet 64x64: the consistency models' EDM, and EDM's own ADM.
ADM = Backbone(network=ADMUNet(), pretraining=replace(EDM_PRETRAINING, batch_size=256, lr=1e-4), weights="edm")
EDM_ADM = Backbone(
    network=EDMUNet(
        preset="adm",
        width=192,
        multipliers=(1, 2, 3, 4),
        blocks_per_level=3,
        attention_levels=(1, 2, 3),
        head_channels=64,
        classes=1000,
        precision="bfloat16",
    ),
    pretraining=replace(EDM_PRETRAINING, lr=1e-4),
    weights="edm-nvidia",
)
# Flow matching in the same network, as long as EDM's own.
FLOW_ADM = Backbone(
    network=FlowUNet(
        preset="adm",
        width=192,
        multipliers=(1, 2, 3, 4),
        blocks_per_level=3,
        attention_levels=(1, 2, 3),
        head_channels=64,
        classes=1000,
        precision="bfloat16",
    ),
    pretraining=replace(EDM_PRETRAINING, lr=1e-4),
)
# LSUN Bedroom: the consistency models' EDM.
EDM_LSUN256 = replace(
    ADM,
    network=ADMUNet(
        preset="lsun256",
        width=256,
        multipliers=(1, 1, 2, 2, 4, 4),
        blocks_per_level=2,
        attention_levels=(3, 4, 5),
        classes=0,
    ),
)

# Fashion-MNIST: the networks of CIFAR-10, small enough for a processor. The suite ships the DDPM, as
# tools/train_fashion_starts.py has trained it; the EDM denoisers are trained first.
GARMENTS: dict[str, Any] = {
    "width": 32, "multipliers": (1, 1, 3), "blocks_per_level": 1, "attention_levels": (2,), "precision": "bfloat16",
}  # fmt: skip
GARMENT_PRETRAINING = Pretraining(iterations=8000, batch_size=64, lr=6e-4, ema_decay=0.999, max_grad_norm=1.0)
GARMENT_DDPM = Backbone(network=DDPMUNet(**GARMENTS), pretraining=GARMENT_PRETRAINING, weights="ddpm")
GARMENT_EDM = Backbone(
    network=EDMUNet(**GARMENTS), pretraining=replace(GARMENT_PRETRAINING, iterations=6000), weights="edm"
)
GARMENT_FLOW = Backbone(network=FlowUNet(**GARMENTS), pretraining=GARMENT_PRETRAINING)
GARMENT_FLOW_CLASSES = replace(GARMENT_FLOW, network=FlowUNet(**GARMENTS, classes=10))
GARMENT_MEANFLOW = Backbone(
    network=replace(MeanFlowUNet(**GARMENTS, target=ImprovedTarget(), power=0.75), precision="float32"),
    pretraining=GARMENT_PRETRAINING,
)
GARMENT_MEANFLOW_CLASSES = replace(GARMENT_MEANFLOW, network=replace(GARMENT_MEANFLOW.network, classes=10))
GARMENT_EDM_CLASSES = replace(GARMENT_EDM, network=EDMUNet(**GARMENTS, classes=10), weights=None)

# For minutes of a GPU: 6.5 million parameters, in bfloat16.
GPU_DDPM = Backbone(
    network=DDPMUNet(width=64, multipliers=(1, 2, 2), precision="bfloat16"),
    pretraining=Pretraining(iterations=20_000, batch_size=256, lr=4e-4, ema_decay=0.9995, max_grad_norm=1.0),
)

# For runs that show that all works, within seconds in the plane or on small images and minutes on larger ones.
QUICK = Pretraining(iterations=300, batch_size=128)
QUICK_POINTS_DDPM = replace(POINTS_DDPM, pretraining=QUICK)
QUICK_POINTS_EDM = replace(POINTS_EDM, pretraining=QUICK)
QUICK_POINTS_FLOW = replace(POINTS_FLOW, pretraining=QUICK)
QUICK_POINTS_MEANFLOW = replace(POINTS_MEANFLOW, pretraining=QUICK)
QUICK_IMAGE_DDPM = Backbone(network=DDPMMLP(hidden=64, depth=1), pretraining=replace(QUICK, iterations=200))
QUICK_IMAGE_EDM = Backbone(network=EDMMLP(hidden=64, depth=1), pretraining=replace(QUICK, iterations=200))
QUICK_IMAGE_FLOW = Backbone(network=FlowMLP(hidden=64, depth=1), pretraining=replace(QUICK, iterations=200))
QUICK_IMAGE_MEANFLOW = Backbone(
    network=MeanFlowMLP(hidden=64, depth=1, target=ImprovedTarget()), pretraining=replace(QUICK, iterations=200)
)
SMALL_DDPM = replace(
    DDPM,
    network=DDPMUNet(width=16, multipliers=(1, 2), blocks_per_level=1, attention_levels=()),
    pretraining=replace(DDPM.pretraining, iterations=100, batch_size=16),
)
SMALL_EDM = replace(
    EDM_VP,
    network=EDMUNet(width=16, multipliers=(1, 2), blocks_per_level=1, attention_levels=()),
    pretraining=replace(EDM_PRETRAINING, iterations=100, batch_size=16),
)
SMALL_FLOW = replace(
    FLOW,
    network=FlowUNet(width=16, multipliers=(1, 2), blocks_per_level=1, attention_levels=()),
    pretraining=replace(FLOW.pretraining, iterations=100, batch_size=16),
)
SMALL_MEANFLOW = replace(
    MEANFLOW,
    network=MeanFlowUNet(width=16, multipliers=(1, 2), blocks_per_level=1, attention_levels=()),
    pretraining=replace(MEANFLOW.pretraining, iterations=100, batch_size=16),
)

K = TypeVar("K", bound=Config)


def few_of_many(kind: Callable[..., K]) -> dict[tuple[str, str], Callable[[], K]]:
    """Recipes of a method that samples a DDPM in few of its steps, ten by default.

    In the plane and on small images the DDPM is that of `ddpm` and `dxmi`, trained first or found. On images a UNet is
    trained first, a GPU's work of a day; on CIFAR-10 it is the released one. `quick` takes seconds, on images minutes
    on a processor, and shows that everything works.
    """
    return {
        ("plane", "default"): kind,
        ("any", "quick"): partial(kind, backbone=QUICK_POINTS_DDPM),
        ("small_images", "default"): partial(kind, backbone=IMAGE_DDPM),
        ("small_images", "quick"): partial(kind, backbone=QUICK_IMAGE_DDPM),
        ("images", "default"): partial(kind, backbone=DDPM, flips=True),
        ("images", "quick"): partial(kind, backbone=SMALL_DDPM, flips=True, num_steps=4),
        ("images/cifar10", "default"): partial(kind, backbone=DDPM, init="official", flips=True),
        ("images/fashion_mnist", "default"): partial(kind, backbone=GARMENT_DDPM, init="official"),
    }
