"""Hamiltonian Monte Carlo on a given energy, one chain per sample.

Neal 2011, arXiv:1206.1901. Chains begin at N(0, std^2 I), std that of the task's law, momenta have unit mass, and a
sample is the end of its chain. Step size and length are fixed, where samplers in use adapt them (NUTS).
"""

from pydantic import PositiveFloat, PositiveInt

from dxbench.api import Compute, Config, Method, Need, NoTraining, Problem, RandomStreams, Training
from dxbench_baselines.starts.mcmc import chain_model
from dxmi.energies.given import hamiltonian_chain


class HMCConfig(Config):
    """Settings of Hamiltonian chains."""

    num_steps: PositiveInt = 20
    leapfrog_steps: PositiveInt = 10
    step_size: PositiveFloat = 0.1


class HMC(Method):
    """Hamiltonian Monte Carlo chains on a given energy."""

    name = "hmc"
    version = 1
    family = "Markov chain"
    citation = "Neal 2011, arXiv:1206.1901"
    recipes = ".recipes.hmc"
    Config = HMCConfig
    needs = frozenset({Need.ENERGY, Need.VECTORS})

    def start(self, problem: Problem, config: HMCConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        model = chain_model(
            problem,
            compute,
            lambda energy, noise: hamiltonian_chain(
                energy,
                noise,
                start_std=problem.data_std,
                num_steps=config.num_steps,
                leapfrog_steps=config.leapfrog_steps,
                step_size=config.step_size,
            ),
        )
        return NoTraining(model)
