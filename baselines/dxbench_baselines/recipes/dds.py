"""Settings of `dds` on given energies."""

from dxbench_baselines.dds import DDSConfig


def quick() -> DDSConfig:
    return DDSConfig(iterations=20, batch_size=64)


RECIPES = {("boltzmann", "quick"): quick}
