"""Value Gradient Sampler: an energy trained against a sampler that has no network, only the slope of its values.

Yoon et al. 2025, arXiv:2502.13280. With auxiliary noise q~(x_k | x_{k+1}) of variance s^2, the step that minimises
E[V_{k+1}(x') + tau log pi(x' | x_k) - tau log q~(x_k | x')] is, to first order in V, a Gaussian

    x_{k+1} = x_k - mu_k + s eps,    mu_k = (s^2 / tau) grad V_{k+1}(x_k),

and the value of that sampler is V_k(x_k) = E[V_{k+1}(x_{k+1})] + tau |mu_k|^2 / (2 s^2), V_K = E. One iteration:
chains from data that the auxiliary noise has diffused; an energy step E(x+) - E(x-) + gamma (E(x+)^2 + E(x-)^2);
value steps.

For detection (its MVTec experiment, read in its public code) all of it lives on the unit sphere: steps are tangent and
follow geodesics, and E = 10 |x - x^|^2 is the error of a pretrained autoencoder. Deviations: no drift a_k = (1 -
s^2)^{-1/2}, since the sphere's noise needs none; |mu|^2 / (2 s^2) is log pi - log q~ averaged over eps, there one draw
of it; V_k = E + a correction that begins at 0, there a net from scratch; s is set by the angle of a step, which is the
source's where `step_angle` is 0.52 (s^2 = 1e-3 in 272 dimensions); tau is per dimension (NOTATION.md), the source's
tau = 1 is 272 here: at that temperature samples come to the data only once a learned factor has made E large enough,
which a short training cannot wait for, so E has none and tau is small; gamma is 1/4, there 1/D, to hold E where it is;
sizes and rates are for a few thousand vectors.
"""

import math

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from dxbench.api import Compute, Method, Need, Problem, RandomStreams, Training
from dxbench_baselines.starts.stages import Stateful
from dxbench_baselines.starts.two_stage import TwoStageConfig, TwoStageTraining
from dxmi.arrays import Points
from dxmi.energies.gradients import gradient_of
from dxmi.energies.values import CorrectedEnergy
from dxmi.geometry.spaces import Space, UnitSphere
from dxmi.losses import bellman_error, energy_loss
from dxmi.nets.mlp import StepMLP
from dxmi.protocols import Value
from dxmi.training.optimisers import Learner


class VGSConfig(TwoStageConfig):
    """Settings of the value gradient sampler on feature vectors."""

    num_steps: PositiveInt = 10
    step_angle: PositiveFloat = Field(default=0.1, description="typical length of the noise of a step")
    tau: PositiveFloat = Field(default=0.5, description="temperature per dimension")
    gamma: NonNegativeFloat = 0.25
    value_hidden: PositiveInt = 128
    value_passes: PositiveInt = 3
    value_lr: PositiveFloat = 1e-4


class VGS(Method):
    """An autoencoder's energy trained against the value gradient sampler, without MCMC and without a sampler net."""

    name = "vgs"
    version = 1
    family = "energy-based"
    citation = "Yoon et al. 2025, arXiv:2502.13280"
    recipes = ".recipes.vgs"
    Config = VGSConfig
    needs = frozenset({Need.TRAINING_DATA, Need.FINITE_DATA})

    def start(self, problem: Problem, config: VGSConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return VGSTraining(problem, config, compute, rng)


class ValueGradientSampler:
    """Chains of K steps down the slope of a value.

    Attributes:
        std: s, of a step and of the auxiliary noise alike.
    """

    def __init__(self, value: Value, *, num_steps: int, std: float, tau: float, space: Space) -> None:
        self._value, self._space = value, space
        self.num_steps, self.std, self.tau = num_steps, std, tau

    def drift(self, x: Points, k: int) -> Points:
        """mu_k = (s^2 / tau) grad V_{k+1}(x), along the space."""
        gradient = gradient_of(lambda x: self._value.value(x, _steps(x, k + 1)), x)
        return self._space.tangent(x.detach(), gradient) * (self.std**2 / self.tau)

    def diffused(self, data: Points, generator: torch.Generator) -> Points:
        """x_0: data after K steps of the auxiliary noise."""
        for _ in range(self.num_steps):
            data = self._space.move(data, self.std * _normal(data, generator))
        return data

    def chain(self, start: Points, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """States x_0 ... x_K [K + 1, b, D], and the costs tau |mu_k|^2 / (2 s^2) of the steps [K, b]."""
        states, costs = [start], []
        for k in range(self.num_steps):
            mu = self.drift(states[-1], k)
            states.append(self._space.move(states[-1], self.std * _normal(mu, generator) - mu))
            costs.append(self.tau * mu.square().sum(dim=1) / (2 * self.std**2))
        return torch.stack(states), torch.stack(costs)

    def value_loss(self, states: Tensor, costs: Tensor) -> Tensor:
        """Mean of (V_{k+1}(x_{k+1}) + cost_k - V_k(x_k))^2 over all steps."""
        k = torch.arange(self.num_steps, device=states.device).repeat_interleave(states.shape[1])
        with torch.no_grad():
            target = self._value.value(states[1:].flatten(0, 1), k + 1) + costs.flatten()
        return bellman_error(self._value.value(states[:-1].flatten(0, 1), k), target).mean()


def _steps(x: Points, k: int) -> Tensor:
    return torch.full((len(x),), k, dtype=torch.int64, device=x.device)


def _normal(like: Points, generator: torch.Generator) -> Points:
    return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)


class VGSTraining(TwoStageTraining[VGSConfig]):
    """The autoencoder first, then energy and values in turn."""

    def __init__(self, problem: Problem, config: VGSConfig, compute: Compute, rng: RandomStreams) -> None:
        super().__init__(problem, config, compute, rng)
        correction = StepMLP(
            dim_in=self.energy.dim,
            dim_out=1,
            num_levels=config.num_steps,
            hidden=config.value_hidden,
            depth=config.depth,
            zero_output=True,
            generator=rng.torch("init value"),
        ).to(compute.device)
        space = UnitSphere()
        self.temperature = config.tau / self.energy.dim
        self.sampler = ValueGradientSampler(
            CorrectedEnergy(self.energy.net, correction, num_steps=config.num_steps),
            num_steps=config.num_steps,
            std=config.step_angle / math.sqrt(space.degrees_of_freedom(self.energy.dim)),
            tau=self.temperature,
            space=space,
        )
        passes = config.iterations * config.value_passes
        self.values = Learner(correction, lr=config.value_lr, iterations=passes, ema_decay=0.0)

    def sharpen(self, data: Points) -> dict[str, float | Tensor]:
        def loss(positive: Tensor, negative: Tensor) -> Tensor:
            return energy_loss(positive, negative, gamma=self.config.gamma).mean()

        states, costs = self.sampler.chain(self.sampler.diffused(data, self.generator), self.generator)
        scalars = self.contrast(data, states[-1], loss)
        losses = [self.values.descend(self.sampler.value_loss(states, costs)) for _ in range(self.config.value_passes)]
        return {**scalars, "value_loss": losses[-1]}

    def parts(self) -> dict[str, Stateful]:
        return {**super().parts(), "values": self.values}
