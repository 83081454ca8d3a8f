"""Settings of Langevin chains."""

from dxbench_baselines.langevin import LangevinConfig


def quick() -> LangevinConfig:
    return LangevinConfig(num_steps=20)


RECIPES = {("boltzmann", "quick"): quick}
