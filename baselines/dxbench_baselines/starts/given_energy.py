"""Samplers trained on a given energy: settings, networks and the model that `dxdp` and `dds` have in common."""

import math
from collections.abc import Callable
from typing import Self

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from dxbench.api import Config, Model, Problem, RandomStreams
from dxmi.nets.mlp import StepMLP
from dxmi.nets.steps import InUnits
from dxmi.sampling.noise import SeededNoise
from dxmi.sampling.noising import NoisingChain
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.rollouts import rollout, sample


class GivenEnergyConfig(Config):
    """Settings of a sampler of K Gaussian steps on a given energy."""

    num_steps: PositiveInt = Field(default=16, description="K")
    sigma_max: PositiveFloat = Field(default=3.0, description="first noise level, in stds of the law")
    sigma_min: PositiveFloat = Field(default=0.05, description="last noise level above 0, in stds of the law")
    hidden: PositiveInt = 64
    depth: PositiveInt = 2
    octaves: int = Field(default=2, ge=0, description="Fourier features of each coordinate beside it")
    iterations: PositiveInt = 600
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 2e-3
    max_grad_norm: PositiveFloat = 10.0
    ema_decay: float = Field(default=0.99, ge=0, lt=1)

    @model_validator(mode="after")
    def _levels_fall(self) -> Self:
        if self.sigma_max <= self.sigma_min:
            raise ValueError(f"sigma_max={self.sigma_max} has to be above sigma_min={self.sigma_min}")
        return self

    def chain(self, problem: Problem) -> NoisingChain:
        """The auxiliary chain, in the units of the problem."""
        std = problem.data_std
        return NoisingChain.geometric(
            self.num_steps, sigma_max=self.sigma_max * std, sigma_min=self.sigma_min * std, data_std=std
        )

    def net(self, dim_in: int, dim_out: int, generator: torch.Generator) -> StepMLP:
        """A net that gives 0 before training; with octaves, the slowest of a period of 8 stds."""
        return StepMLP(
            dim_in=dim_in,
            dim_out=dim_out,
            num_levels=self.num_steps,
            hidden=self.hidden,
            depth=self.depth,
            generator=generator,
            zero_output=True,
            x_octaves=self.octaves,
            x_period=8.0,
        )

    def policy(self, problem: Problem, chain: NoisingChain, rng: RandomStreams) -> GaussianPolicy:
        """The sampler before training: the reversal of the chain for a Gaussian."""
        dim = math.prod(problem.event_shape)
        return chain.policy(self.net(dim, dim, rng.torch("init policy")), event_shape=problem.event_shape)

    def value_net(self, problem: Problem, chain: NoisingChain, rng: RandomStreams) -> InUnits:
        """The correction of values, 0 before training."""
        dim = math.prod(problem.event_shape)
        return InUnits(self.net(dim, 1, rng.torch("init value")), chain.total_var[:-1].rsqrt())


def path_model(policy: GaussianPolicy, chain: NoisingChain, energy: Callable[[Tensor], Tensor]) -> Model:
    """The policy as a model, with the weights of its chains. Drawing calls no energy, weighing one per sample."""

    def noise(seeds: Tensor) -> SeededNoise:
        return SeededNoise(seeds=seeds.to(policy.learned_log_std.device), event_shape=policy.noise_shape)

    def weighted(seeds: Tensor) -> tuple[Tensor, Tensor]:
        states = rollout(policy, noise(seeds)).states
        with torch.no_grad():
            return states[-1], chain.log_weights(policy, states, energy(states[-1]))

    return Model(
        networks=(policy.net,),
        sampler=lambda seeds: sample(policy, noise(seeds)),
        trajectory_sampler=lambda seeds: rollout(policy, noise(seeds)).states,
        weighted_sampler=weighted,
    )
