"""Settings of Hamiltonian chains."""

from dxbench_baselines.hmc import HMCConfig


def quick() -> HMCConfig:
    return HMCConfig(num_steps=4, leapfrog_steps=5)


def double_wells() -> HMCConfig:
    """Steps that the walls of the double wells bear, far out where chains begin."""
    return HMCConfig(step_size=0.03)


RECIPES = {("boltzmann", "quick"): quick, ("dw4", "default"): double_wells}
