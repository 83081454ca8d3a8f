"""Energy Matching: one potential without time whose gradient carries noise to data and whose values are an energy.

Balcerak et al. 2025, arXiv:2504.10612. First ||grad V(x_t) + x - z||^2, x_t = t x + (1 - t) z, over pairs (x, z) of
data and noise by optimal transport within the batch. Then, beside it with a weight that falls from 1 at t = tau to 0 at
t = 1, lambda (V(x) - V(x-)), x- the ends of Langevin chains x <- x - h grad V + sqrt(2 epsilon(t) h) eps, half of them
begun at data. epsilon(t) is 0 before tau and rises to epsilon_max at t = 1, so that p is proportional to
exp(-V / epsilon_max); samples take the same way. docs/methods/energy_matching.md has the deviations.
"""

from dataclasses import replace
from typing import Any, Literal, Self

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from dxbench.api import Compute, Method, Model, Problem, RandomStreams, Training
from dxbench_baselines.starts.potentials import PotentialConfig, PotentialTraining
from dxmi.arrays import PerSample, Points
from dxmi.energies.gradients import gradient_of
from dxmi.sampling.descent import HeunLangevinDescent, LangevinDescent, Temperature

SOLVERS = {"euler": LangevinDescent, "heun": HeunLangevinDescent}


class EnergyMatchingConfig(PotentialConfig):
    """Settings of Energy Matching."""

    epsilon_max: PositiveFloat = Field(default=0.15, description="temperature of the energy, in its units")
    tau: float = Field(default=0.8, ge=0, le=1, description="t where the noise begins; 1: all of it at once")
    contrast_iterations: NonNegativeInt = Field(default=2000, description="of the second stage; 0: the flow alone")
    contrast: PositiveFloat = Field(default=20.0, description="lambda, weight of the contrastive term")
    contrast_floor: PositiveFloat | None = Field(
        default=None, description="lambda times the contrast is not pushed below minus this; None: no bound"
    )
    trim: float = Field(default=0.0, ge=0, lt=1, description="share of the chains, of highest energy, left out")
    contrast_ema_decay: float = Field(default=0.99, ge=0, lt=1, description="of the second stage")
    data_chains: Literal["full", "ramped"] = Field(
        default="full", description="noise of the chains begun at data: epsilon_max at once, or as of the others"
    )
    chain_steps: PositiveInt = 20
    step_size: PositiveFloat = Field(default=0.1, description="h, of chains in training and of samples")
    solver: Literal["euler", "heun"] = Field(default="euler", description="of samples; chains in training take Euler")
    sampling_steps: PositiveInt = Field(default=30, description="steps of a sample: T / h")

    @model_validator(mode="after")
    def _noise_comes(self) -> Self:
        if self.contrast_iterations and self.chain_steps * self.step_size <= self.tau:
            raise ValueError(
                f"chains of {self.chain_steps} steps of {self.step_size:g} end before their noise begins at tau = "
                f"{self.tau:g}; raise chain_steps or step_size"
            )
        return self

    def temperature(self) -> Temperature:
        """epsilon(t)."""
        return Temperature(highest=self.epsilon_max, ramp=self.tau)

    def descent(self) -> LangevinDescent:
        return SOLVERS[self.solver](step_size=self.step_size, steps=self.sampling_steps, temperature=self.temperature())

    def chains(self, device: str) -> LangevinDescent:
        """The chains of training, the first half of a batch begun at data."""
        half = self.batch_size // 2
        begun = torch.zeros(self.batch_size, device=device)
        begun[:half] = 1.0 if self.data_chains == "full" else 0.0
        return LangevinDescent(
            step_size=self.step_size, steps=self.chain_steps, temperature=self.temperature(), begun=begun
        )


class EnergyMatching(Method):
    """Energy Matching: one potential is trained to carry noise to data and to be the data's energy."""

    name = "energy_matching"
    version = 1
    family = "energy-based"
    citation = "Balcerak et al. 2025, arXiv:2504.10612"
    recipes = ".recipes.energy_matching"
    Config = EnergyMatchingConfig

    def start(
        self, problem: Problem, config: EnergyMatchingConfig, *, compute: Compute, rng: RandomStreams
    ) -> Training:
        return EnergyMatchingTraining(problem, config, compute, rng)


class EnergyMatchingTraining(PotentialTraining):
    """The flow first, then flow and contrast together; the averaged weights of the last stage are the model."""

    config: EnergyMatchingConfig

    def __init__(self, problem: Problem, config: EnergyMatchingConfig, compute: Compute, rng: RandomStreams) -> None:
        super().__init__(problem, config, compute, rng)
        self.flow = self.learner(iterations=config.iterations, ema_decay=config.ema_decay)
        self.contrast = self.learner(iterations=max(1, config.contrast_iterations), ema_decay=config.contrast_ema_decay)
        self.chains = config.chains(compute.device)
        self.done = 0

    @property
    def total_steps(self) -> int:
        return self.config.iterations + self.config.contrast_iterations

    @property
    def in_contrast(self) -> bool:
        """True from the second stage's first step on."""
        return self.done >= self.config.iterations

    def step(self) -> dict[str, float | Tensor]:
        if self.done == self.config.iterations:
            self.contrast.begin_from(self.flow.average.state_dict())
        scalars = self._contrast_step() if self.in_contrast else self._flow_step()
        self.done += 1
        return scalars

    def _flow_step(self) -> dict[str, float | Tensor]:
        return {"flow_loss": self.flow.descend(self.matching_loss().mean())}

    def _contrast_step(self) -> dict[str, float | Tensor]:
        flow = self.matching_loss().mean()
        data = self.batch()
        energy = self.energy(torch.cat([data, self.negatives(data)]))
        positive, negative = energy[: len(data)], energy[len(data) :]
        gap = contrast_loss(positive, negative, trim=self.config.trim)
        floor = -torch.inf if self.config.contrast_floor is None else -self.config.contrast_floor
        self.contrast.descend(flow + (self.config.contrast * gap).clamp(min=floor))
        return {"flow_loss": flow.detach(), "energy_gap": -gap.detach()}

    def negatives(self, data: Points) -> Points:
        """Ends of Langevin chains, the first half begun at data and the others at noise."""
        half = len(data) // 2
        start = torch.cat([data[:half], self.start()[half:]])
        return self.chains(lambda x: gradient_of(self.energy, x), start, self.noise)

    def weight(self, t: PerSample) -> PerSample:
        """1 in the first stage; in the second it falls to 0 as the noise rises."""
        return 1 - self.config.temperature().share(t) if self.in_contrast else torch.ones_like(t)

    def state_dict(self) -> dict[str, Any]:
        return {"flow": self.flow.state_dict(), "contrast": self.contrast.state_dict(), "done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        # Both train one net: what the second stage made of it is read behind what the first did.
        self.flow.load_state_dict(state["flow"])
        self.contrast.load_state_dict(state["contrast"])
        self.done = state["done"]

    def model(self) -> Model:
        # The second stage's average holds nothing of it before its first step.
        learner = self.contrast if self.done > self.config.iterations else self.flow
        return replace(self.sampled(learner.average), temperature=self.config.epsilon_max)


def contrast_loss(positive: PerSample, negative: PerSample, *, trim: float) -> Tensor:
    """Mean V(data) - mean V(chains), a share of the chains, of highest energy, left out.

    Where the chains follow exp(-V / epsilon) and none is left out, its gradient is epsilon times that of -log p(data).
    """
    kept = negative.sort().values[: len(negative) - int(trim * len(negative))]
    return positive.mean() - kept.mean()
