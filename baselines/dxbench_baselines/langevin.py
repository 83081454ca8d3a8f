"""Langevin chains on a given energy, one per sample: MALA, or the unadjusted chain (ULA).

Roberts and Tweedie 1996, doi:10.2307/3318418. Chains begin at N(0, std^2 I), std that of the task's law, and a sample
is the end of its chain. There is nothing to train: all calls of the energy are calls of sampling. Ranked as any method,
since it asks for no more than others do and what it costs is counted.
"""

from pydantic import PositiveFloat, PositiveInt

from dxbench.api import Compute, Config, Method, Need, NoTraining, Problem, RandomStreams, Training
from dxbench_baselines.starts.mcmc import chain_model
from dxmi.energies.given import langevin_chain


class LangevinConfig(Config):
    """Settings of Langevin chains."""

    num_steps: PositiveInt = 200
    step_size: PositiveFloat = 0.1
    adjusted: bool = True


class LangevinSampler(Method):
    """Langevin chains on a given energy, with a Metropolis step (MALA) or without (ULA)."""

    name = "langevin"
    version = 1
    family = "Markov chain"
    citation = "Roberts, Tweedie 1996, doi:10.2307/3318418"
    recipes = ".recipes.langevin"
    Config = LangevinConfig
    needs = frozenset({Need.ENERGY, Need.VECTORS})

    def start(self, problem: Problem, config: LangevinConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        model = chain_model(
            problem,
            compute,
            lambda energy, noise: langevin_chain(
                energy,
                noise,
                start_std=problem.data_std,
                num_steps=config.num_steps,
                step_size=config.step_size,
                adjusted=config.adjusted,
            ),
        )
        return NoTraining(model)
