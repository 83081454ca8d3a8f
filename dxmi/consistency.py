"""Consistency models: distances, grids, loss, sampling in one pass or a few (Song et al. 2023, arXiv:2303.01469)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from dxmi.arrays import ClassLabels, PerSample, Points, SampleSeeds
from dxmi.backbones.starts import NetworkData
from dxmi.protocols import Denoiser
from dxmi.sampling.denoisers import Clipped, EDMDenoiser
from dxmi.sampling.noise import SeededNoise

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
def follow(slow: nn.Module, module: nn.Module, *, decay: float) -> None:
    """slow <- decay slow + (1 - decay) module, weight by weight."""
    for old, new in zip(slow.parameters(), module.parameters(), strict=True):
        old.lerp_(new, 1 - decay)


WEIGHTS: dict[str, Callable[[PerSample, PerSample], PerSample]] = {
    "one": lambda sigma, after: torch.ones_like(sigma),
    "inverse_step": lambda sigma, after: 1 / (sigma - after),
}


def check_jumps(sigmas: tuple[float, ...], *, sigma_min: float) -> None:
    """Refuse levels that a consistency model cannot jump from in this order.

    Raises:
        ValueError: unless the levels fall and stay above sigma_min.
    """
    levels = (*sigmas, sigma_min)
    if not all(a > b for a, b in pairwise(levels)):
        raise ValueError(
            f"noise levels to jump from must fall from sigma_max and stay above sigma_min; got {levels}, "
            "sigma_max first and sigma_min last"
        )


@dataclass(frozen=True, kw_only=True)
class _Jumps:
    """f(x, sigma), a denoiser exact at sigma_min, sampled by jumps to the data and noise in between.

    x = f(sigmas[0] z, sigmas[0]); for every further level x = f(x + sqrt(sigma^2 - sigma_min^2) z, sigma)
    (Algorithm 1).

    Attributes:
        sigmas: levels that are jumped from, falling; as many as network passes.
        scale: by which the data was multiplied for the denoiser.
        clip: what a jump gives is kept in [-1, 1] before noise is added, as released for images.

    Raises:
        ValueError: unless the levels fall and stay above sigma_min.
    """

    denoiser: EDMDenoiser
    sigmas: tuple[float, ...]
    event_shape: tuple[int, ...]
    scale: float
    clip: bool = False

    def __post_init__(self) -> None:
        check_jumps(self.sigmas, sigma_min=self.denoiser.sigma_min)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return (self.denoiser,)

    def _sample(self, seeds: SampleSeeds, *labels: ClassLabels) -> Points:
        device = next(self.denoiser.parameters()).device
        noise = SeededNoise(seeds=seeds.to(device), event_shape=self.event_shape)
        jump = Clipped(self.denoiser) if self.clip else self.denoiser
        classes = [label.to(device) for label in labels]
        x = torch.zeros_like(noise.normal(0))
        with torch.no_grad():
            for draw, sigma in enumerate(self.sigmas):
                # At the first jump there is no data under the noise, and sigma_min^2 is lost in sigma_max^2.
                std = sigma if draw == 0 else (sigma**2 - self.denoiser.sigma_min**2) ** 0.5
                x = jump(x + std * noise.normal(draw), x.new_full((len(x),), sigma), *classes)
        return x / self.scale


class ConsistencyModel(_Jumps):
    """A consistency model to draw from."""

    def sample(self, seeds: SampleSeeds) -> Points:
        return self._sample(seeds)


@dataclass(frozen=True, kw_only=True)
class TunedConsistencyModel(ConsistencyModel):
    """With what it was tuned from beside it, sampled in the same passes."""

    start: ConsistencyModel


@dataclass(frozen=True, kw_only=True)
class ClassConsistencyModel(_Jumps):
    """A consistency model to draw from, of a class."""

    num_classes: int

    def sample_classes(self, seeds: SampleSeeds, labels: ClassLabels) -> Points:
        return self._sample(seeds, labels)


@dataclass(frozen=True, kw_only=True)
class ClassTunedConsistencyModel(ClassConsistencyModel):
    """With what it was tuned from beside it, sampled in the same passes."""

    start: ClassConsistencyModel


def consistency_model(
    denoiser: nn.Module,
    *,
    before: nn.Module | None,
    sigmas: tuple[float, ...],
    event_shape: tuple[int, ...],
    data: NetworkData,
    clip: bool = False,
) -> ConsistencyModel | ClassConsistencyModel:
    """The model of a denoiser of such data, with the one that it was tuned from where there is one."""
    assert isinstance(denoiser, EDMDenoiser)
    assert before is None or isinstance(before, EDMDenoiser)
    common: dict[str, Any] = {"sigmas": sigmas, "event_shape": event_shape, "scale": data.scale, "clip": clip}
    if data.num_classes is None:
        if before is None:
            return ConsistencyModel(denoiser=denoiser, **common)
        return TunedConsistencyModel(denoiser=denoiser, start=ConsistencyModel(denoiser=before, **common), **common)
    common["num_classes"] = data.num_classes
    if before is None:
        return ClassConsistencyModel(denoiser=denoiser, **common)
    return ClassTunedConsistencyModel(
        denoiser=denoiser, start=ClassConsistencyModel(denoiser=before, **common), **common
    )
