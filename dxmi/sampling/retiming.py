"""Choose the noise levels of a sampler along a denoiser's own trajectories (GITS; Chen et al. 2024, arXiv:2405.11326).

Heun's method follows trajectories of the probability flow in fine steps. A jump from one fine level to a later one by
Euler's method misses the trajectory by some distance; dynamic programming finds the few jumps whose misses add up to
the least.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt

from dxmi.arrays import Points
from dxmi.protocols import Denoiser
from dxmi.sampling.noise import Noise
from dxmi.sampling.samplers import Heun, Sampler, slope
from dxmi.schedules.levels import NoiseLevels

Misses = Float[np.ndarray, "levels levels"]


@dataclass(frozen=True, kw_only=True)
class Retiming:
    """A way to choose the few levels.

    Attributes:
        steps: of the trajectories, along Karras's levels.
        trajectories: whose misses are averaged.
        weights: of what follows a jump over its own miss, once per jump (the authors' `coeff`, which is 1.15). Errors
            shrink or grow on their way to the data; above 1, late levels come closer together. Each weight proposes
            levels, and those are chosen whose samples end nearest to the trajectories.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    steps: PositiveInt = 60
    trajectories: PositiveInt = 256
    weights: tuple[PositiveFloat, ...] = (0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2)

    @torch.no_grad()
    def levels(
        self, denoiser: Denoiser, sampler: Sampler, fine: NoiseLevels, noise: Noise, *, num_steps: int
    ) -> NoiseLevels:
        """The `num_steps` + 1 of the fine levels, first and last among them, along which the sampler errs least.

        Args:
            noise: of all trajectories, which are followed at once.

        Raises:
            ValueError: unless 1 <= num_steps <= the fine steps, or if a trajectory is not finite.
        """
        states = list(Heun().states(denoiser, fine, noise))
        if not bool(states[-1].isfinite().all()):
            raise ValueError("the denoiser's trajectories are not finite; train it longer, or raise retiming.steps")
        misses = euler_misses(denoiser, fine, states)
        proposals = [cheapest_path(misses, num_steps=num_steps, weight=weight) for weight in self.weights]
        levels = [NoiseLevels(sigmas=fine.sigmas[path], start_std=fine.start_std) for path in proposals]
        return min(levels, key=lambda few: _distance(sampler(denoiser, few, noise), states[-1]))


def euler_misses(denoiser: Denoiser, fine: NoiseLevels, states: Sequence[Points]) -> Misses:
    """Mean distance by which Euler's jump from level i misses the states of level j > i; infinite elsewhere."""
    sigmas = fine.sigmas.tolist()
    misses = np.full((len(sigmas), len(sigmas)), np.inf)
    for i, (x, sigma) in enumerate(zip(states[:-1], sigmas[:-1], strict=True)):
        direction = slope(denoiser, x, x.new_full((len(x),), sigma))
        for j in range(i + 1, len(sigmas)):
            misses[i, j] = _distance(x + (sigmas[j] - sigma) * direction, states[j])
    return misses


def _distance(x: Points, y: Points) -> float:
    return (x - y).flatten(1).norm(dim=1).mean().item()


def cheapest_path(misses: Misses, *, num_steps: int, weight: float) -> list[int]:
    """The path of `num_steps` jumps from the first to the last level that minimises sum_k weight^k miss_k.

    Raises:
        ValueError: unless 1 <= num_steps <= the number of levels - 1.
    """
    last = len(misses) - 1
    if not 1 <= num_steps <= last:
        raise ValueError(f"{num_steps} of {last} steps cannot be chosen; take fewer, or raise retiming.steps")
    rest = np.full(last + 1, np.inf)
    rest[last] = 0.0
    after = []
    for _ in range(num_steps):
        total = misses + weight * rest
        after.append(total.argmin(axis=1))
        rest = total.min(axis=1)
    path = [0]
    for step in reversed(after):
        path.append(int(step[path[-1]]))
    return path
