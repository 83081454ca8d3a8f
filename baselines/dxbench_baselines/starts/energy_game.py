"""A sampler of few Gaussian steps against an energy: what methods of this game share, how it learns aside."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from dxbench.api import Compute, Model, Problem, RandomStreams
from dxbench_baselines.starts.backbone import Backbone, prepared
from dxbench_baselines.starts.config import FewStepConfig, FewStepNetwork
from dxbench_baselines.starts.models import model_of
from dxbench_baselines.starts.presets import IMAGE_BETAS, POINTS_BETAS, SCRATCH
from dxbench_baselines.starts.stages import Stateful, Tuning
from dxmi.arrays import Points
from dxmi.backbones.few_steps import AnyFewSteps, ResidualSteps, StridedSteps
from dxmi.energies.critics import AnyCritic, MLPCritic
from dxmi.energies.values import TimeIndependentValue
from dxmi.losses import energy_loss
from dxmi.models import PolicySampler
from dxmi.sampling.policies import GaussianPolicy
from dxmi.training.optimisers import Learner

IMAGE_GAME: dict[str, Any] = {
    "num_steps": 4,
    "sampler": StridedSteps(first_level=400, last_std=0.15, noiseless_last_step=True),
    "tau": 0.01,
    "gamma": 1.0,
    "data_noise": 0.15,
    "policy_lr": 1.5e-5,
    "betas": IMAGE_BETAS,
    "ema_decay": 0.98,
}
"""Settings of the game on small images, as `dxmi` has them there."""


class EnergyGameConfig(FewStepConfig):
    """Settings that methods of a sampler against an energy have in common; networks and start are DxMI's."""

    num_steps: PositiveInt = Field(default=5, description="sampling steps T = NFE")
    backbone: Backbone[FewStepNetwork] = Field(default=SCRATCH, description="the sampler's network and its training")
    sampler: AnyFewSteps = Field(default=ResidualSteps(), description="the steps before the game")
    energy: AnyCritic = Field(default=MLPCritic(depth=2), description="the layout of the energy")
    tau: NonNegativeFloat = Field(default=0.1, description="temperature per dimension, of entropy and velocity alike")
    gamma: NonNegativeFloat = Field(default=0.7, description="weight of the squared energies")
    data_noise: NonNegativeFloat = Field(default=0.0, description="std of noise on the data that the energy sees")
    head_start: NonNegativeInt = Field(default=0, description="iterations of the energy before the sampler moves")
    iterations: PositiveInt = 5750
    batch_size: PositiveInt = 600
    policy_lr: PositiveFloat = 3e-4
    energy_lr: PositiveFloat = 5e-4
    std_lr_ratio: PositiveFloat = Field(default=10.0, description="log-std's learning rate over the sampler's")
    betas: tuple[float, float] = Field(default=POINTS_BETAS, description="of Adam, for sampler and energy")
    max_grad_norm: PositiveFloat = Field(default=1.0, description="of the sampler's gradient")
    ema_decay: float = Field(default=0.995, ge=0, lt=1)


class EnergyGame(Tuning):
    """The start where there is one, then a method's own iterations; averaged weights are evaluated.

    Attributes:
        sampler: the policy under training; its learner is `policy`.
        cost_to_go: the energy, low at data; its learner is `energy`.
    """

    def __init__(self, problem: Problem, config: EnergyGameConfig, compute: Compute, rng: RandomStreams) -> None:
        begun = config.begin(problem, compute, rng).in_units_of_data()
        iterations = config.head_start + config.iterations
        super().__init__(problem, begun, compute, rng, batch_size=config.batch_size, iterations=iterations)
        self.config: Any = config
        self.sampler = self.few_steps(prepared(config.network, deepcopy(begun.net), compute))
        energy = config.energy.net(
            problem.event_shape, num_levels=None, data_std=problem.data_std, generator=rng.torch("init energy")
        )
        self.cost_to_go = TimeIndependentValue(energy).to(self.device)
        self.policy = Learner(
            self.sampler,
            lr=config.policy_lr,
            iterations=config.iterations,
            ema_decay=config.ema_decay,
            betas=config.betas,
            max_grad_norm=config.max_grad_norm,
            own_rates={self.sampler.learned_log_std: config.policy_lr * config.std_lr_ratio},
        )
        self.energy = Learner(
            self.cost_to_go,
            lr=config.energy_lr,
            iterations=iterations,
            ema_decay=config.ema_decay,
            betas=config.betas,
        )

    def few_steps(self, net: nn.Module) -> GaussianPolicy:
        """The sampler around a net."""
        return self.config.policy(net, self.problem.event_shape, factor=self.begun.factor).to(self.device)

    def parts(self) -> dict[str, Stateful]:
        return {"policy": self.policy, "energy": self.energy}

    def begin(self) -> None:
        self.policy.begin_from(self.few_steps(self.begun.average).state_dict())

    @property
    def policy_moves(self) -> bool:
        """False during the head start of the energy."""
        return self.done >= self.config.head_start

    def data(self) -> Points:
        """A batch as the energy sees it."""
        data, *_ = self.begun.data.batch(self.config.batch_size, rng=self.data_rng)
        noise = self.config.data_noise
        return data if noise == 0 else data + noise * self.noise.normal(0)

    def energy_step(self, data: Points, samples: Points) -> dict[str, float | Tensor]:
        """Lower the energy at data and raise it at samples; its means at both."""
        positive, negative = self.cost_to_go.energy(torch.cat([data, samples.detach()])).split(len(data))
        self.energy.descend(energy_loss(positive, negative, gamma=self.config.gamma).mean())
        return {"energy_data": positive.detach().mean(), "energy_samples": negative.detach().mean()}

    @property
    def temperature(self) -> float:
        """The energy's, tau over dimensions."""
        return self.config.tau / torch.Size(self.problem.event_shape).numel()

    def model(self) -> Model:
        policy, energy = self.policy.average, self.energy.average
        assert isinstance(policy, GaussianPolicy)
        assert isinstance(energy, TimeIndependentValue)
        return replace(
            self._model_of(policy),
            energy=energy.energy,
            temperature=self.temperature if self.config.tau > 0 else None,
            start=None if self.config.network.few_steps else self._model_of(self.few_steps(self.begun.average)),
        )

    def _model_of(self, policy: GaussianPolicy) -> Model:
        sampler = PolicySampler(policy=policy, noiseless_last_step=self.config.sampler.noiseless_last_step)
        return model_of(sampler, self.begun.data)
