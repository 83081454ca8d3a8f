"""Recipes of DxMI."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dxbench_baselines.dxmi import DxMIConfig
from dxbench_baselines.starts.backbone import Backbone, Pretraining
from dxbench_baselines.starts.config import FewStepNetwork
from dxbench_baselines.starts.presets import (
    ADM,
    DDGAN,
    DDPM,
    EDM_LSUN256,
    GARMENT_DDPM,
    GARMENT_EDM,
    GARMENT_EDM_CLASSES,
    GPU_DDPM,
    IMAGE_BETAS,
    IMAGE_DDPM,
    IMAGE_EDM,
    QUICK_IMAGE_DDPM,
    SMALL_DDPM,
)
from dxmi.backbones.edm import ADMUNet
from dxmi.backbones.few_steps import AnyFewSteps, DDGANSteps, FastDPMSteps, KarrasSteps, StridedSteps
from dxmi.backbones.small import StepsMLP
from dxmi.energies.critics import MLPCritic, ResNetCritic

FOUR_STEPS = KarrasSteps(levels="above_zero", rho=4.0)


def gaussians8() -> DxMIConfig:
    """Training from scratch, T = 5, tau = 0.1: Table 1's last row, and the suite's demonstration.

    gamma below the paper's 1, because the regulariser widens the samples (docs/methods/dxmi.md).
    """
    return DxMIConfig(gamma=0.7, value_lr=5e-4, iterations=6000)


def gaussians8_paper() -> DxMIConfig:
    """The default with the paper's gamma = 1."""
    return DxMIConfig(gamma=1.0, value_lr=5e-4, iterations=6000)


def gaussians8_pretrained() -> DxMIConfig:
    """The start is a DDPM of five steps: the other DxMI rows of Table 1."""
    return DxMIConfig(
        backbone=Backbone(
            network=StepsMLP(depth=2), pretraining=Pretraining(iterations=2000, batch_size=200, ema_decay=0.995)
        ),
        sampler=StridedSteps(last_std=0.2, fix_last=False),
        gamma=0.7,
        value_lr=5e-4,
        iterations=6000,
    )


def gaussians8_quick() -> DxMIConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    return DxMIConfig(iterations=300)


def digits() -> DxMIConfig:
    """T = 4 from a DDPM that is trained first, or found where another run of the seed has left it."""
    return _small_images(backbone=IMAGE_DDPM, critic=MLPCritic(hidden=256, depth=2))


def digits_edm() -> DxMIConfig:
    """T = 4 from the EDM denoiser that `edm` samples, which is trained first or found.

    The last level, 0.2 as the denoiser sees it, is about as noisy as the data of the energy: where states are nearly
    without noise, values have slopes that lead the sampler away (docs/methods/dxmi.md#from-edms-denoiser).
    """
    steps = KarrasSteps(sigma_min=0.2, sigma_max=6.5, last_std=0.1, noiseless_last_step=True)
    return _small_images(backbone=IMAGE_EDM, critic=MLPCritic(hidden=256, depth=2), sampler=steps)


def digits_quick() -> DxMIConfig:
    """Seconds, to see that everything works; its numbers mean little."""
    critic = MLPCritic(hidden=64, depth=1)
    return _small_images(backbone=QUICK_IMAGE_DDPM, critic=critic, iterations=100, head_start=50, batch_size=32)


def cifar10() -> DxMIConfig:
    """Table 2, T = 10 from DDPM by FastDPM (paper, section 5.2, App. B, C.2; released T10_ddpm).

    Where paper and release agree, nothing is said. Neither averages weights: they score the checkpoint with the best
    FID, here the averaged last ones are scored and none is selected. 200 epochs (release) of 390 batches. The release
    shuffles the transitions of all chains together and takes 128 of 1,280; here each chain gives one. Dropout in the
    policy's steps is the release's (`dropout: 0.1`, `sampler.train()`); the paper does not tell of it.
    """
    return _images(DDPM, FastDPMSteps(), **OFFICIAL, policy_max_grad_norm=0.1, dropout=0.1)


def cifar10_ddgan() -> DxMIConfig:
    """Table 2, T = 4 from DDGAN (released T4_ddgan): as from DDPM, 100 epochs.

    Release: `value_resample: True`, which the paper does not tell of and which is left out here; its DDGAN module was
    not released, so that the std of the last step, 0.001, is that of the other start (inferred).
    """
    return _images(DDGAN, DDGANSteps(), **OFFICIAL, num_steps=4, iterations=39_000, policy_max_grad_norm=0.1)


def cifar10_jpeg75() -> DxMIConfig:
    """The recipe of CIFAR-10 from a backbone that is trained first: official weights have seen the lossless images."""
    return _images(DDPM, FastDPMSteps(), policy_max_grad_norm=0.1, dropout=0.1)


def fashion_mnist() -> DxMIConfig:
    """T = 10 in the paper's form, from the suite's DDPM by FastDPM: some ten minutes of one core.

    Smaller than the paper in networks, batch and length; its rates are higher, and fall, since it is so short. The
    energy has a head start, because the gradient of one that knows nothing leads a good start away. All ten value
    steps of an iteration are one (`sweep=batched`): taken one by one they are ten for each step of the energy, whose
    net they share, and the energy falls behind the sampler.
    """
    return _images(GARMENT_DDPM, FastDPMSteps(), **OFFICIAL, **GARMENTS)


def fashion_mnist_t4() -> DxMIConfig:
    """T = 4, whose start is far from the data, so that the sampler has a higher rate and a longer training."""
    four: dict[str, Any] = {
        "num_steps": 4, "iterations": 200, "head_start": 20, "policy_lr": 5e-5, "value_lr": 3e-4, "sweep": "sequential",
    }  # fmt: skip
    return _images(GARMENT_DDPM, FastDPMSteps(), **OFFICIAL, **GARMENTS | four)


def fashion_mnist_edm() -> DxMIConfig:
    """T = 4 from the suite's EDM denoiser, with settings and levels of small images: values are MLPs of their step.

    Where the paper's energy net is the value of every step, the same start is led away (docs/methods/dxmi.md#clothes).
    """
    steps = KarrasSteps(sigma_min=0.3, sigma_max=10.0, last_std=0.15, noiseless_last_step=True)
    return _small_images(
        backbone=GARMENT_EDM,
        **OFFICIAL,
        sampler=steps,
        critic=MLPCritic(hidden=512, depth=2),
        batch_size=64,
        head_start=60,
        iterations=210,
        policy_lr=7e-6,
    )


def fashion_mnist_classes() -> DxMIConfig:
    """T = 10 from an EDM denoiser with classes, which is trained first."""
    return _images(GARMENT_EDM_CLASSES, KarrasSteps(), **GARMENTS)


def imagenet64() -> DxMIConfig:
    """Table 3, T = 10 from EDM (paper, App. B, C.2; released imagenet64 T10).

    Conflict: tau_1 is 0.01 in the paper, 0.1 in the release; the paper's is taken, `--set tau=0.1` is the release's.
    The release leaves the last 3 steps without running cost (`skip_sampler_tau: 3`), which the paper does not tell of;
    it is taken over. fp16 there, bfloat16 here. Chains have the classes of the real batch, as there. The policy sees
    all T x 128 transitions, in T minibatches.
    """
    return _images(
        ADM,
        KarrasSteps(),
        **OFFICIAL,
        num_steps=10,
        tau=0.01,
        skip_last=3,
        iterations=10_000,
        policy_minibatches=10,
        policy_optimiser="radam",
        policy_lr=1e-8,
        td_max_grad_norm=0.1,
    )


def imagenet64_t4() -> DxMIConfig:
    """Table 3, T = 4 from EDM with rho = 4 and a noisy last step (released imagenet64 T4).

    The release's `skip_running_last: 1` is read by none of its code, and is left out.
    """
    return _images(
        ADM,
        FOUR_STEPS,
        **OFFICIAL,
        num_steps=4,
        iterations=100_000,
        policy_minibatches=4,
        policy_optimiser="radam",
        policy_lr=1e-8,
        td_max_grad_norm=0.1,
    )


def lsun_bedroom() -> DxMIConfig:
    """Table 4, T = 4 from EDM with rho = 4 and a noisy last step (released lsun T4).

    Conflicts: batches of 128 "for all runs" in the paper, 64 in the release; the paper's is taken. The release asks for
    an `IGEBMEncoderV3` that it lacks; the energy net of the other settings stands here. `sigma_scale: 30` and
    `skip_running_last: 1` have no effect there.
    """
    return _images(
        EDM_LSUN256,
        FOUR_STEPS,
        **OFFICIAL,
        num_steps=4,
        iterations=100_000,
        policy_minibatches=4,
        policy_optimiser="radam",
        policy_lr=1e-8,
        td_max_grad_norm=0.1,
    )


def cifar10_released() -> DxMIConfig:
    """Table 2, T = 10: the sampler that the authors have trained, scored as it is."""
    return _images(replace(DDPM, weights="dxmi-t10"), FastDPMSteps(), **OFFICIAL, iterations=0)


def imagenet64_released() -> DxMIConfig:
    """Table 3, T = 10, as trained by the authors; the release samples it with `--precision fp16`."""
    return _images(_exact(ADM, "dxmi-t10"), KarrasSteps(), **OFFICIAL, iterations=0)


def imagenet64_released_t4() -> DxMIConfig:
    """Table 3, T = 4, as trained by the authors."""
    return _images(_exact(ADM, "dxmi-t4"), FOUR_STEPS, **OFFICIAL, num_steps=4, iterations=0)


def lsun_bedroom_released() -> DxMIConfig:
    """Table 4, T = 4, as trained by the authors; the code of its value was not released."""
    return _images(_exact(EDM_LSUN256, "dxmi-t4"), FOUR_STEPS, **OFFICIAL, num_steps=4, iterations=0)


def cifar10_quick() -> DxMIConfig:
    """Minutes on a processor, to see that everything works, backbone included; its numbers mean nothing."""
    return _images(
        SMALL_DDPM,
        FastDPMSteps(),
        critic=ResNetCritic(width=16),
        num_steps=4,
        iterations=20,
        batch_size=16,
        ema_decay=0.9,
    )


def gpu() -> DxMIConfig:
    """T = 10 from the small UNet of `ddpm`'s preset of that name, for minutes of a GPU (docs/gpu.md).

    The paper's form; rates of sampler and values are those at which a pilot on garments moved, its average is short
    since its training is, and nothing is dropped, so that compiled networks are compiled throughout.
    """
    return _images(
        GPU_DDPM,
        FastDPMSteps(),
        critic=ResNetCritic(width=64, precision="bfloat16"),
        iterations=1000,
        policy_lr=1e-5,
        value_lr=1e-4,
        policy_max_grad_norm=0.1,
        ema_decay=0.99,
    )


OFFICIAL: dict[str, Any] = {"init": "official"}


GARMENTS: dict[str, Any] = {
    "critic": ResNetCritic(width=32), "sweep": "batched", "iterations": 150, "head_start": 30, "batch_size": 64,
    "policy_lr": 1e-5, "value_lr": 5e-4, "lr_decay": "cosine", "ema_decay": 0.99, "policy_max_grad_norm": 0.1,
    "flips": False,
}  # fmt: skip


def _small_images(**settings: Any) -> DxMIConfig:
    """The start is some steps of a DDPM; the std of the last one is for training only."""
    small: dict[str, Any] = {
        "num_steps": 4, "sampler": StridedSteps(first_level=400, last_std=0.15, noiseless_last_step=True),
        "value_cost": "none",
        "tau": 0.01, "data_noise": 0.15, "head_start": 100, "policy_from": 1, "iterations": 400, "batch_size": 128,
        "betas": IMAGE_BETAS, "policy_lr": 1.5e-5, "value_lr": 5e-4, "ema_decay": 0.98,
    }  # fmt: skip
    return DxMIConfig(**small | settings)


def _images(backbone: Backbone[FewStepNetwork], sampler: AnyFewSteps, **settings: Any) -> DxMIConfig:
    """Networks of the paper's size: the energy net is the value too."""
    paper: dict[str, Any] = {
        "num_steps": 10, "value": "time_independent", "critic": ResNetCritic(), "value_cost": "sigmoid",
        "sweep": "sequential", "policy_minibatches": 1, "tau_velocity": 0.01, "iterations": 78_000, "batch_size": 128,
        "betas": (0.9, 0.999), "policy_lr": 1e-7, "value_lr": 1e-5, "std_lr_ratio": 100.0, "lr_decay": "none",
        "ema_decay": 0.999, "flips": True,
    }  # fmt: skip
    return DxMIConfig(backbone=backbone, sampler=sampler, **paper | settings)


def _exact(backbone: Backbone[ADMUNet], weights: str) -> Backbone[ADMUNet]:
    """The network with other weights, in float32."""
    return replace(backbone, network=replace(backbone.network, precision="float32"), weights=weights)


RECIPES: dict[tuple[str, str], Callable[[], DxMIConfig]] = {
    ("plane", "default"): gaussians8,
    ("any", "quick"): gaussians8_quick,
    ("small_images", "default"): digits,
    ("small_images", "edm"): digits_edm,
    ("small_images", "quick"): digits_quick,
    ("images", "default"): cifar10_jpeg75,
    ("images", "quick"): cifar10_quick,
    ("images", "gpu"): gpu,
    ("small_images", "gpu"): gpu,
    ("images/cifar10", "default"): cifar10,
    ("gaussians8", "paper"): gaussians8_paper,
    ("gaussians8", "pretrained"): gaussians8_pretrained,
    ("cifar10", "paper"): cifar10,
    ("cifar10", "paper-ddgan"): cifar10_ddgan,
    ("cifar10", "released"): cifar10_released,
    ("images/fashion_mnist", "default"): fashion_mnist,
    ("images/fashion_mnist", "t4"): fashion_mnist_t4,
    ("images/fashion_mnist", "edm"): fashion_mnist_edm,
    ("images/fashion_mnist_classes", "default"): fashion_mnist_classes,
    ("imagenet64", "default"): imagenet64,
    ("imagenet64", "paper"): imagenet64,
    ("imagenet64", "paper-t4"): imagenet64_t4,
    ("imagenet64", "released"): imagenet64_released,
    ("imagenet64", "released-t4"): imagenet64_released_t4,
    ("lsun_bedroom", "default"): lsun_bedroom,
    ("lsun_bedroom", "paper"): lsun_bedroom,
    ("lsun_bedroom", "released"): lsun_bedroom_released,
}
