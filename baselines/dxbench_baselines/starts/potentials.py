"""Energies trained through their gradient on the way from noise to data, and sampled by going down it."""

from abc import abstractmethod
from typing import Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import nn

from dxbench.api import Compute, Config, Model, Need, Problem, RandomStreams, Training
from dxbench_baselines.starts.config import NEEDS
from dxbench_baselines.starts.data import HorizontalFlips, refuse_classes
from dxmi.arrays import PerSample, Points, per_sample
from dxmi.energies.gradients import gradient_matching_loss
from dxmi.energies.potentials import AnyPotential, SmoothMLP
from dxmi.models import PotentialSampler
from dxmi.sampling.descent import Descent
from dxmi.sampling.noise import StreamNoise
from dxmi.training.coupling import optimal_pairs
from dxmi.training.optimisers import Learner


class PotentialConfig(Config):
    """Settings that energies trained through their gradient have in common."""

    potential: AnyPotential = Field(default=SmoothMLP(), description="the layout of the energy's net")
    coupling: Literal["optimal", "independent"] = Field(
        default="optimal", description="noise of a data point: by optimal transport within the batch, or any"
    )
    noise_std: PositiveFloat = Field(default=1.0, description="of the noise, in units of the data")
    iterations: PositiveInt = 10000
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 1e-3
    lr_decay: Literal["cosine", "none"] = "cosine"
    betas: tuple[float, float] = (0.9, 0.999)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    max_grad_norm: PositiveFloat | None = None
    flips: bool = Field(default=False, description="half of the images mirrored")

    def needs(self) -> frozenset[Need]:
        return frozenset({NEEDS[self.potential.events]})

    @abstractmethod
    def descent(self) -> Descent:
        """The way that samples take."""


class PotentialTraining(Training):
    """The energy's net, its batches, and the loss that makes its gradient the way back from data to noise.

    Attributes:
        net: the energy's, which all stages train.
        data_rng: stream of the batches of data.
        noise: stream of all other draws.
    """

    def __init__(self, problem: Problem, config: PotentialConfig, compute: Compute, rng: RandomStreams) -> None:
        refuse_classes(problem)
        self.config, self.problem, self.device = config, problem, compute.device
        self.source = HorizontalFlips(problem.data) if config.flips else problem.data
        self.data_rng = rng.numpy("data")
        self.noise = StreamNoise(
            batch_size=config.batch_size,
            event_shape=problem.event_shape,
            generator=rng.torch("noise", device=compute.device),
        )
        self.net = config.potential.net(problem.event_shape, data_std=problem.data_std, generator=rng.torch("init")).to(
            compute.device
        )

    def learner(self, *, iterations: int, ema_decay: float) -> Learner:
        """An optimiser of the net for one stage."""
        config = self.config
        return Learner(
            self.net,
            lr=config.lr,
            iterations=iterations,
            ema_decay=ema_decay,
            betas=config.betas,
            lr_decay=config.lr_decay,
            max_grad_norm=config.max_grad_norm,
        )

    def batch(self) -> Points:
        """A batch of data."""
        return self.source.batch(self.config.batch_size, rng=self.data_rng).to(self.device)

    def start(self) -> Points:
        """A batch of noise."""
        return self.config.noise_std * self.noise.normal(0)

    def energy(self, x: Points) -> PerSample:
        """V(x) of the net in training."""
        return self.net(x).squeeze(1)

    def matching_loss(self) -> PerSample:
        """||grad V(x_t) - c(t) (noise - data)||^2 / D at x_t = t data + (1 - t) noise, t uniform, times w(t)."""
        data, noise = self.batch(), self.start()
        if self.config.coupling == "optimal":
            noise = noise[optimal_pairs(noise, data)]
        t = torch.rand(len(data), generator=self.noise.generator, device=self.device)
        at = per_sample(t, data)
        target = per_sample(self.slope(t), data) * (noise - data)
        return self.weight(t) * gradient_matching_loss(self.energy, at * data + (1 - at) * noise, target)

    def slope(self, t: PerSample) -> PerSample:
        """c(t), by which the way back is stretched."""
        return torch.ones_like(t)

    def weight(self, t: PerSample) -> PerSample:
        """w(t) of the loss."""
        return torch.ones_like(t)

    def sampled(self, net: nn.Module) -> Model:
        """The model of a net's weights, without the temperature of its energy."""
        sampler = PotentialSampler(
            net=net,
            descent=self.config.descent(),
            event_shape=self.problem.event_shape,
            start_std=self.config.noise_std,
        )
        return Model(
            networks=sampler.networks,
            sampler=sampler.sample,
            trajectory_sampler=sampler.trajectory,
            energy=sampler.energy,
        )
