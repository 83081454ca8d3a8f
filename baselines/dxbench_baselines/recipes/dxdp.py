"""Settings of `dxdp` on given energies."""

from dxbench_baselines.dxdp import DxDPConfig


def quick() -> DxDPConfig:
    return DxDPConfig(iterations=20, batch_size=64)


RECIPES = {("boltzmann", "quick"): quick}
