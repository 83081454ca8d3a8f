"""A consistency model with the levels that it jumps from (Song et al. 2023, arXiv:2303.01469)."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from dxmi.arrays import ClassLabels, Points, SampleSeeds, States
from dxmi.sampling.denoisers import Clipped, EDMDenoiser, conditioned
from dxmi.sampling.noise import SeededNoise


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


@dataclass(frozen=True, kw_only=True, eq=False)
class ConsistencySampler:
    """f(x, sigma), a denoiser exact at sigma_min, sampled by jumps to the data and noise in between.

    x = f(sigmas[0] z, sigmas[0]); for every further level x = f(x + sqrt(sigma^2 - sigma_min^2) z, sigma)
    (Algorithm 1). Sample i has the noise of seed i alone.

    Attributes:
        denoiser: conditioned on class labels where there are any.
        sigmas: levels that are jumped from, falling; as many as network passes.
        scale: by which the data were multiplied for the denoiser; samples are divided by it.
        clip: what a jump gives is kept in [-1, 1] before noise is added, as released for images.

    Raises:
        ValueError: unless the levels fall and stay above sigma_min.
    """

    denoiser: EDMDenoiser
    sigmas: tuple[float, ...]
    event_shape: tuple[int, ...]
    scale: float = 1.0
    clip: bool = False

    def __post_init__(self) -> None:
        check_jumps(self.sigmas, sigma_min=self.denoiser.sigma_min)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The network that one sample evaluates."""
        return (self.denoiser,)

    def sample(self, seeds: SampleSeeds, labels: ClassLabels | None = None) -> Points:
        """Samples of seeds, and of class labels where the denoiser is conditioned on them."""
        return self.trajectory(seeds, labels)[-1]

    def trajectory(self, seeds: SampleSeeds, labels: ClassLabels | None = None) -> States:
        """The noise and what each jump gives, [K + 1, b, *event]; the last are the samples."""
        device = next(self.denoiser.parameters()).device
        noise = SeededNoise(seeds=seeds.to(device), event_shape=self.event_shape)
        jump = Clipped(self.denoiser) if self.clip else self.denoiser
        jump = conditioned(jump, *(() if labels is None else (labels.to(device),)))
        x = torch.zeros_like(noise.normal(0))
        states = [self.sigmas[0] * noise.normal(0)]
        with torch.no_grad():
            for draw, sigma in enumerate(self.sigmas):
                # At the first jump there is no data under the noise, and sigma_min^2 is lost in sigma_max^2.
                std = sigma if draw == 0 else (sigma**2 - self.denoiser.sigma_min**2) ** 0.5
                x = jump(x + std * noise.normal(draw), x.new_full((len(x),), sigma))
                states.append(x)
        return torch.stack(states) / self.scale
