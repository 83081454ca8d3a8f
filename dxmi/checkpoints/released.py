"""Layouts of the files DxMI's released code writes: `sampler.pth` and `value.pth`."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from dxmi.checkpoints.conversion import Conversion, Origin, State
from dxmi.nets.energy_resnet import EnergyResNet


def dxmi_value(*, width: int = 128) -> Conversion:
    """The value (and energy) net: `IGEBMEncoderV2` inside `TimeIndependentValue`."""
    names = {"stem": "net.conv1", "head": "net.linear", "scale": "net.out_scale"}
    for index in range(6):
        block = f"net.blocks.{index}"
        ours = f"blocks.{index}"
        names |= {
            f"{ours}.conv0": f"{block}.conv1",
            f"{ours}.conv1": f"{block}.conv2",
            f"{ours}.skip": f"{block}.skip.0",
        }
    origins = {
        f"{ours}.{leaf}": Origin((f"{official}.{leaf}",))
        for ours, official in names.items()
        for leaf in ("weight", "bias")
    }
    return Conversion("DxMI's value net", partial(_energy, width), origins)


def dxmi_sampler(backbone: Conversion) -> Callable[[State], dict[str, Tensor]]:
    """The sampler: a backbone and `log_betas`, the log of the std of each step from noise to sample.

    The result is the state dict of a policy with a `net` and `learned_log_std`. Where the released code kept the last
    std fixed, its value comes from the buffer `std`, as there.

    Raises:
        ValueError: on call, if the log stds are missing or no vector, or the backbone is another.
    """
    return partial(_sampler, backbone)


def _energy(width: int, generator: Generator) -> EnergyResNet:
    return EnergyResNet(generator=generator, width=width)


def _sampler(backbone: Conversion, state: State) -> dict[str, Tensor]:
    log_std = state.get("log_betas")
    if log_std is None or log_std.ndim != 1 or len(log_std) == 0:
        got = "no log_betas" if log_std is None else f"log_betas of shape {tuple(log_std.shape)}"
        raise ValueError(f"got {got}; a DxMI sampler has one log std per step. Convert a plain backbone as such.")
    net = backbone({key: value for key, value in state.items() if key not in ("log_betas", "std")})
    if "std" in state:
        log_std = torch.cat([log_std[:-1], state["std"][-1:].log()])
    return {**{f"net.{key}": value for key, value in net.items()}, "learned_log_std": log_std}
