"""Layouts of the files DxMI's released code writes: `sampler.pth` and `value.pth`."""

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


def dxmi_sampler(state: State) -> tuple[dict[str, Tensor], Tensor]:
    """The sampler's file taken apart: the backbone as its own authors name it, and the log of the std of each step.

    The file calls these `log_betas`, from noise to sample; the last one is the buffer `std`'s where there is one, since
    the release keeps it fixed.

    Raises:
        ValueError: if the log stds are missing or no vector.
    """
    log_std = state.get("log_betas")
    if log_std is None or log_std.ndim != 1 or len(log_std) == 0:
        got = "no log_betas" if log_std is None else f"log_betas of shape {tuple(log_std.shape)}"
        raise ValueError(f"got {got}; a DxMI sampler has one log std per step. Take a plain backbone as such.")
    if "std" in state:
        log_std = torch.cat([log_std[:-1], state["std"][-1:].log()])
    return {key: value for key, value in state.items() if key not in ("log_betas", "std")}, log_std


def _energy(width: int, generator: Generator) -> EnergyResNet:
    return EnergyResNet(generator=generator, width=width)
