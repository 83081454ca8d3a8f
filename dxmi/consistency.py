"""Consistency models: distances, grids and loss (Song et al. 2023, arXiv:2303.01469)."""

import math
from collections.abc import Callable

import torch
from torch import nn

from dxmi.arrays import PerSample, Points
from dxmi.protocols import Denoiser

Distance = Callable[[Points, Points], PerSample]


def l2(difference: Points) -> PerSample:
    """||difference||^2 per sample."""
    return difference.flatten(1).square().sum(dim=1)


def pseudo_huber(difference: Points, *, c: float) -> PerSample:
    """sqrt(||difference||^2 + c^2) - c per sample (Song & Dhariwal 2023, arXiv:2310.14189, Eq. 7)."""
    return (l2(difference) + c**2).sqrt() - c


def growing_levels(progress: float, *, first: int, last: int) -> int:
    """N(k) = ceil(sqrt(k/K ((s1 + 1)^2 - s0^2) + s0^2) - 1) + 1 of CT (their App. C), k/K = progress."""
    return math.ceil(math.sqrt(progress * ((last + 1) ** 2 - first**2) + first**2) - 1) + 1


def growing_decay(num_levels: int, *, first: int, decay: float) -> float:
    """mu(k) = exp(s0 ln mu_0 / N(k)) of CT (their App. C)."""
    return decay ** (first / num_levels)


def consistency_loss(
    online: Denoiser,
    target: Denoiser,
    x: Points,
    nearer: Points,
    sigma: PerSample,
    after: PerSample,
    *,
    distance: Distance,
) -> PerSample:
    """d(f(x, sigma), sg f_slow(nearer, after)), the weight lambda left to the caller (Eq. 7 and 10)."""
    with torch.no_grad():
        answer = target(nearer, after)
    return distance(online(x, sigma), answer)


@torch.no_grad()
def ema_update(slow: nn.Module, module: nn.Module, *, decay: float) -> None:
    """slow <- decay slow + (1 - decay) module, weight by weight."""
    for old, new in zip(slow.parameters(), module.parameters(), strict=True):
        old.lerp_(new, 1 - decay)


WEIGHTS: dict[str, Callable[[PerSample, PerSample], PerSample]] = {
    "one": lambda sigma, after: torch.ones_like(sigma),
    "inverse_step": lambda sigma, after: 1 / (sigma - after),
}
