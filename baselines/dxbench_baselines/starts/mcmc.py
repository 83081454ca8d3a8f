"""Markov chains on a given energy as models."""

from collections.abc import Callable

from torch import Tensor, nn

from dxbench.api import Compute, Model, Problem
from dxmi.arrays import Points
from dxmi.sampling.noise import Noise, SeededNoise


def chain_model(problem: Problem, compute: Compute, run: Callable[[nn.Module, Noise], Points]) -> Model:
    """A model whose sample i is the end of a chain with the noise of seed i, of one coordinate more than a point has.

    The energy is its network, so that NFE counts the calls.
    """
    energy = problem.energy
    assert energy is not None  # the harness grants what `needs` lists
    (dim,) = problem.event_shape

    def sampler(seeds: Tensor) -> Tensor:
        return run(energy, SeededNoise(seeds=seeds.to(compute.device), event_shape=(dim + 1,)))

    return Model(networks=(energy,), sampler=sampler)
