"""Adjoint matching: a sampler regressed on the gradient of a learned energy (arXiv:2409.08861).

Domingo-Enrich, Drozdzal, Karrer, Chen 2024: fine-tune a sampler for a reward as stochastic optimal control, by a
regression of its drift on the lean adjoint, the reward's gradient carried back through the *start's* steps alone. Here
the reward is minus DxMI's energy (arXiv:2407.00626, section 3.2), which learns along: beside `dxmi` (values) and `gcd`
(the gradient through the sampler's own chain) the third way to lead the same sampler by the same energy. The update is
`dxmi.training.adjoint`. Deviations: the chain has few steps, whose equations are solved as they stand instead of an
SDE's; all steps are regressed at every iteration; stds are learned too; residual steps from scratch depart from a
random walk; the noise is the start's own, which is memoryless where docs/methods/adjoint_matching.md says so.
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor, nn

from dxbench.api import Compute, Method, Model, Problem, RandomStreams, Training
from dxbench_baselines.starts.energy_game import EnergyGame, EnergyGameConfig
from dxmi.arrays import PerSample, Points
from dxmi.backbones.few_steps import DDGANSteps, ResidualSteps
from dxmi.energies.gradients import gradient_of
from dxmi.protocols import Energy
from dxmi.sampling.policies import GaussianPolicy
from dxmi.training.adjoint import RandomWalk, adjoint_matching_loss, lean_adjoint, local_rollout


class AdjointMatchingConfig(EnergyGameConfig):
    """Settings of adjoint matching."""

    tau: PositiveFloat = Field(default=0.1, description="temperature per dimension, of the divergence from the start")
    learn_std: bool = Field(default=True, description="stds of the steps learned too; the source holds them")
    memoryless: bool = Field(
        default=False, description="residual steps begin at 0, so that the start's end knows nothing of its beginning"
    )

    @model_validator(mode="after")
    def _steps_are_gaussian(self) -> Self:
        if isinstance(self.sampler, DDGANSteps):
            raise ValueError("a step of a DDGAN is Gaussian given its latent alone; take another sampler")
        return self

    @model_validator(mode="after")
    def _origin_is_a_choice(self) -> Self:
        if self.memoryless and not isinstance(self.sampler, ResidualSteps):
            raise ValueError(
                f"{type(self.sampler).__name__} begin where their network was trained to; set memoryless=false"
            )
        return self


class AdjointMatching(Method):
    """DxMI's sampler and energy, the sampler by regression on the energy's gradient through its start's steps."""

    name = "adjoint_matching"
    version = 1
    family = "energy-based"
    citation = "Domingo-Enrich et al. 2024, arXiv:2409.08861"
    recipes = ".recipes.adjoint_matching"
    Config = AdjointMatchingConfig

    def start(
        self, problem: Problem, config: AdjointMatchingConfig, *, compute: Compute, rng: RandomStreams
    ) -> Training:
        return AdjointMatchingTraining(problem, config, compute, rng)


@dataclass(frozen=True, kw_only=True, eq=False)
class DensityEnergy:
    """E(x) - temperature ln p_start(x), the start's end being N(0, var I): of a memoryless one, the data's energy."""

    energy: Energy
    temperature: float
    var: Tensor

    def __call__(self, x: Points) -> PerSample:
        return self.energy.energy(x) + self.temperature * x.flatten(1).square().sum(dim=1) / (2 * self.var)


class AdjointMatchingTraining(EnergyGame):
    """An energy step, then a regression of every step of the sampler on the lean adjoint.

    Attributes:
        before: what the sampler departs from, and its divergence is counted from.
    """

    config: AdjointMatchingConfig

    def __init__(self, problem: Problem, config: AdjointMatchingConfig, compute: Compute, rng: RandomStreams) -> None:
        super().__init__(problem, config, compute, rng)
        self.before = self._start()

    def _start(self) -> GaussianPolicy:
        steps = self.config.sampler
        if not isinstance(steps, ResidualSteps):
            return self.few_steps(self.begun.average)
        std = torch.full((self.config.num_steps,), steps.std)
        walk = RandomWalk(std, event_shape=self.problem.event_shape, start_std=self.sampler.start_std)
        return walk.to(self.device)

    def few_steps(self, net: nn.Module) -> GaussianPolicy:
        config = self.config
        policy = config.policy(net, self.problem.event_shape, factor=self.begun.factor, trainable=config.learn_std).to(
            self.device
        )
        if config.memoryless:
            policy.start_std = 0.0
        return policy

    def advance(self) -> dict[str, float | Tensor]:
        data, rollout = self.data(), local_rollout(self.sampler, self.noise)
        samples = rollout.chains.samples
        scalars = self.energy_step(data, samples)
        if self.policy_moves:
            end = gradient_of(self.cost_to_go.energy, samples)
            adjoint, start_means = lean_adjoint(self.before, rollout.chains, end)
            loss = adjoint_matching_loss(
                rollout,
                self.sampler.step_log_stds(),
                adjoint=adjoint,
                start_means=start_means,
                start_log_std=self.before.step_log_stds(),
                temperature=self.temperature,
            )
            scalars["matching_loss"] = self.policy.descend(loss.mean())
        return scalars

    def model(self) -> Model:
        """The energy is that of a density where the law of the start's end is known, a random walk's; else E alone."""
        model = super().model()
        if not isinstance(self.config.sampler, ResidualSteps):
            return replace(model, temperature=None)
        walk = self.before
        var = walk.start_std**2 + walk.step_log_stds().exp().square().sum()
        energy = self.energy.average
        assert isinstance(energy, Energy)
        return replace(model, energy=DensityEnergy(energy=energy, temperature=self.temperature, var=var))
