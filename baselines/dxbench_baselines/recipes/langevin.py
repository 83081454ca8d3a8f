"""Settings of Langevin chains."""

from dxbench_baselines.langevin import LangevinConfig


def quick() -> LangevinConfig:
    return LangevinConfig(num_steps=20)


def double_wells() -> LangevinConfig:
    """Steps that the walls of the double wells bear, far out where chains begin."""
    return LangevinConfig(step_size=0.005)


RECIPES = {("boltzmann", "quick"): quick, ("dw4", "default"): double_wells}
