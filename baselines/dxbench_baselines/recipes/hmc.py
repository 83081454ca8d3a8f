"""Settings of Hamiltonian chains."""

from dxbench_baselines.hmc import HMCConfig


def quick() -> HMCConfig:
    return HMCConfig(num_steps=4, leapfrog_steps=5)


RECIPES = {("boltzmann", "quick"): quick}
