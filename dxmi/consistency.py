"""Consistency models: distance, grid, and sampling in one pass or a few (Song et al. 2023, arXiv:2303.01469)."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from dxmi.arrays import PerSample, Points, SampleSeeds
from dxmi.denoisers import EDMDenoiser
from dxmi.noise import SeededNoise


def l2(difference: Points) -> PerSample:
    """||difference||^2 per sample."""
    return difference.flatten(1).square().sum(dim=1)


def pseudo_huber(difference: Points, *, c: float) -> PerSample:
    """sqrt(||difference||^2 + c^2) - c per sample (Song & Dhariwal 2023, arXiv:2310.14189, Eq. 7)."""
    return (l2(difference) + c**2).sqrt() - c


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
class ConsistencyModel:
    """f(x, sigma), a denoiser exact at sigma_min, sampled by jumps to the data and noise in between.

    x = f(sigmas[0] z, sigmas[0]); for every further level x = f(x + sqrt(sigma^2 - sigma_min^2) z, sigma)
    (Algorithm 1).

    Attributes:
        sigmas: levels that are jumped from, falling; as many as network passes.
        scale: by which the data was multiplied for the denoiser.

    Raises:
        ValueError: unless the levels fall and stay above sigma_min.
    """

    denoiser: EDMDenoiser
    sigmas: tuple[float, ...]
    event_shape: tuple[int, ...]
    scale: float

    def __post_init__(self) -> None:
        check_jumps(self.sigmas, sigma_min=self.denoiser.sigma_min)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return (self.denoiser,)

    def sample(self, seeds: SampleSeeds) -> Points:
        device = next(self.denoiser.parameters()).device
        noise = SeededNoise(seeds=seeds.to(device), event_shape=self.event_shape)
        x = torch.zeros_like(noise.normal(0))
        with torch.no_grad():
            for jump, sigma in enumerate(self.sigmas):
                # At the first jump there is no data under the noise, and sigma_min^2 is lost in sigma_max^2.
                std = sigma if jump == 0 else (sigma**2 - self.denoiser.sigma_min**2) ** 0.5
                x = self.denoiser(x + std * noise.normal(jump), x.new_full((len(x),), sigma))
        return x / self.scale


@dataclass(frozen=True, kw_only=True)
class TunedConsistencyModel(ConsistencyModel):
    """With what it was tuned from beside it, sampled in the same passes."""

    start: ConsistencyModel

    @classmethod
    def of(
        cls,
        tuned: nn.Module,
        before: nn.Module,
        *,
        sigmas: tuple[float, ...],
        event_shape: tuple[int, ...],
        scale: float,
    ) -> "TunedConsistencyModel":
        """From the tuned denoiser and the one before."""
        assert isinstance(tuned, EDMDenoiser)
        assert isinstance(before, EDMDenoiser)
        start = ConsistencyModel(denoiser=before, sigmas=sigmas, event_shape=event_shape, scale=scale)
        return cls(denoiser=tuned, sigmas=sigmas, event_shape=event_shape, scale=scale, start=start)
