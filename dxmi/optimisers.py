"""Optimiser and weight average that the recipes share."""

import math
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def cosine_adam(
    groups: list[dict[str, Any]], iterations: int, *, betas: tuple[float, float] = (0.9, 0.999)
) -> tuple[torch.optim.Adam, torch.optim.lr_scheduler.LambdaLR]:
    """Adam over parameter groups, each with its own lr, all decaying to 0 along half a cosine."""
    optimiser = torch.optim.Adam(groups, betas=betas, fused=True)
    decay = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: 0.5 * (1 + math.cos(math.pi * i / iterations)))
    return optimiser, decay


def ema(module: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of a module's parameters; its first update copies them."""
    return AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(decay))
