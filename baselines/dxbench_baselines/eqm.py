"""Equilibrium Matching with an explicit energy (EqM-E): its gradient vanishes at data, and samples go down it.

Wang & Du 2025, arXiv:2510.02300. The loss is ||grad g(x_t) - c(t) (z - x)||^2 at x_t = t x + (1 - t) z, data x, noise
z, with c(t) = gain min(1, (1 - t) / (1 - falls)): constant, then falling in a line to 0 at the data. Samples come by
gradient descent on g from noise, with or without Nesterov's momentum. g has no temperature: nothing makes exp(-g) the
density of the data. docs/methods/eqm.md has the deviations.
"""

from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from dxbench.api import Compute, Method, Model, Problem, RandomStreams, Training
from dxbench_baselines.starts.potentials import PotentialConfig, PotentialTraining
from dxmi.arrays import PerSample
from dxmi.sampling.descent import GradientDescent


class EqMConfig(PotentialConfig):
    """Settings of Equilibrium Matching."""

    coupling: Literal["optimal", "independent"] = Field(
        default="independent", description="noise of a data point: any, or by optimal transport within the batch"
    )
    gain: PositiveFloat = Field(default=4.0, description="c(t) before it falls: lambda, 4 in the paper")
    falls: float = Field(default=0.8, ge=0, lt=1, description="t where c begins to fall: a, 0.8 in the paper")
    step_size: PositiveFloat = Field(default=0.0017, description="of the descent: eta")
    sampling_steps: PositiveInt = 250
    momentum: float = Field(default=0.0, ge=0, lt=1, description="of Nesterov's descent: mu; 0: plain descent")

    def descent(self) -> GradientDescent:
        return GradientDescent(step_size=self.step_size, steps=self.sampling_steps, momentum=self.momentum)


class EqM(Method):
    """Equilibrium Matching (EqM-E): an energy whose gradient vanishes at data, sampled by gradient descent."""

    name = "eqm"
    version = 1
    family = "energy-based"
    citation = "Wang, Du 2025, arXiv:2510.02300"
    recipes = ".recipes.eqm"
    Config = EqMConfig

    def start(self, problem: Problem, config: EqMConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return EqMTraining(problem, config, compute, rng)


class EqMTraining(PotentialTraining):
    """One stage of matching; the averaged weights are the model."""

    config: EqMConfig

    def __init__(self, problem: Problem, config: EqMConfig, compute: Compute, rng: RandomStreams) -> None:
        super().__init__(problem, config, compute, rng)
        self.matching = self.learner(iterations=config.iterations, ema_decay=config.ema_decay)

    @property
    def total_steps(self) -> int:
        return self.config.iterations

    def step(self) -> dict[str, float | Tensor]:
        return {"matching_loss": self.matching.descend(self.matching_loss().mean())}

    def slope(self, t: PerSample) -> PerSample:
        return self.config.gain * ((1 - t) / (1 - self.config.falls)).clamp(max=1.0)

    def state_dict(self) -> dict[str, Any]:
        return self.matching.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.matching.load_state_dict(state)

    def model(self) -> Model:
        return self.sampled(self.matching.average)
