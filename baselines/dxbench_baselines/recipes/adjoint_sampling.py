"""Settings of `adjoint_sampling` on given energies."""

from dxbench_baselines.adjoint_sampling import AdjointSamplingConfig


def quick() -> AdjointSamplingConfig:
    return AdjointSamplingConfig(iterations=40, batch_size=64)


RECIPES = {("boltzmann", "quick"): quick}
