"""DxMI for anomaly detection: an autoencoder's energy sharpened against a sampler, without MCMC.

arXiv:2407.00626, section 5.3 and App. C.3, whose code was never released. The energy is the error of an autoencoder on
the sphere, pretrained as one; the sampler (T = 5 steps) starts from training points whose latent codes a frozen copy
of the pretrained autoencoder has perturbed, as in MPDR; sampler and values are step-conditioned MLPs. The update is
that of `dxmi.algorithms.dxmi`, the one behind every other task.

What the paper leaves open, and how it is closed here (docs/methods/dxmi_detection.md): the sampler's noise is tangent
to the sphere; V_k = E + a correction that begins at 0; the energy is scaled to where the entropy's weight lets samples
settle; where there are a few thousand vectors, points between neighbours are data too, and sizes and rates are for as
many. `iterations=0` is the pretrained autoencoder itself.
"""

import copy
import math
import warnings
from typing import Any

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from dxbench.api import Compute, Config, FiniteData, Method, Model, Need, Problem, RandomStreams, Training
from dxmi.algorithms.gap import GapWatch
from dxmi.algorithms.learner import DxMILearner, Rates
from dxmi.algorithms.sweeps import batched_sweep
from dxmi.energies.autoencoder import SphereAutoencoder
from dxmi.energies.feature_energy import FeatureEnergy
from dxmi.energies.values import CorrectedEnergy
from dxmi.geometry.features import FeatureKind, fit_features
from dxmi.geometry.interpolation import NeighbourInterpolation
from dxmi.nets.mlp import StepMLP
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.sphere_policy import SpherePolicy
from dxmi.training.costs import RunningCost
from dxmi.training.optimisers import Learner

# VGS's, and more than any set of features here asks for: points that lie on a curve have no error to scale by.
MAX_SCALE = 10.0


class DxMIDetectionConfig(Config):
    """Settings of DxMI on feature vectors."""

    features: FeatureKind = "mahalanobis"
    neighbours: PositiveInt = Field(default=5, description="of features=whitened, and of interpolation")
    interpolation: float = Field(
        default=0.0, ge=0, le=1, description="data lie up to this share of the way to a near training point"
    )
    latent: PositiveInt = 64
    hidden: PositiveInt = 1024
    depth: PositiveInt = 1
    start_energy: PositiveFloat = Field(
        default=0.05, description="mean energy of the training points at DxMI's start; tau / 2 is a quadratic well's"
    )
    pretrain_iterations: PositiveInt = 1600
    pretrain_lr: PositiveFloat = 1e-3
    iterations: NonNegativeInt = Field(default=300, description="of DxMI; 0 leaves the pretrained autoencoder")
    batch_size: PositiveInt = 64
    num_steps: PositiveInt = Field(default=5, description="sampling steps T")
    tau: NonNegativeFloat = Field(default=0.1, description="temperature per dimension, of entropy and velocity alike")
    gamma: NonNegativeFloat = Field(default=6.0, description="weight of the squared energies")
    latent_noise: PositiveFloat = Field(
        default=1.0, description="largest std of the start's latent perturbation; drawn uniformly per point"
    )
    step_angle: PositiveFloat = Field(default=0.2, description="typical length of the noise of a step at first")
    avr_decay: float = Field(default=0.99, ge=0, le=1)
    policy_hidden: PositiveInt = 128
    value_hidden: PositiveInt = 128
    policy_lr: PositiveFloat = 1e-3
    value_lr: PositiveFloat = 1e-3
    energy_lr: PositiveFloat = 3e-4
    std_lr_ratio: PositiveFloat = Field(default=10.0, description="log-std's learning rate over the sampler's")
    ema_decay: float = Field(default=0.97, ge=0, lt=1, description="of the energy that is scored")

    def rates(self) -> Rates:
        """Rates and betas of the sampler and the correction."""
        return Rates(
            policy_lr=self.policy_lr,
            value_lr=self.value_lr,
            std_lr_ratio=self.std_lr_ratio,
            iterations=max(self.iterations, 1),
            betas=(0.9, 0.999),
            ema_decay=self.ema_decay,
        )


class DxMIDetection(Method):
    """The energy of an autoencoder on the sphere, trained by DxMI against a five-step sampler, without MCMC."""

    name = "dxmi_detection"
    version = 3
    family = "energy-based"
    citation = "Yoon et al. 2024, arXiv:2407.00626"
    recipes = ".recipes.dxmi_detection"
    Config = DxMIDetectionConfig
    needs = frozenset({Need.TRAINING_DATA, Need.FINITE_DATA})

    def start(self, problem: Problem, config: DxMIDetectionConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return DxMIDetectionTraining(problem, config, compute, rng)


class Networks:
    """Energy, sampler and value before training."""

    def __init__(self, config: DxMIDetectionConfig, dim: int, rng: RandomStreams, device: str) -> None:
        self.energy = SphereAutoencoder(
            dim=dim,
            latent=config.latent,
            hidden=config.hidden,
            depth=config.depth,
            generator=rng.torch("init energy"),
        ).to(device)

        def step_mlp(dim_out: int, hidden: int, stream: str) -> StepMLP:
            return StepMLP(
                dim_in=dim,
                dim_out=dim_out,
                num_levels=config.num_steps,
                hidden=hidden,
                depth=config.depth,
                zero_output=True,
                generator=rng.torch(stream),
            )

        self.policy = SpherePolicy.from_scratch(
            step_mlp(dim, config.policy_hidden, "init policy"),
            event_shape=(dim,),
            std=torch.full((config.num_steps,), config.step_angle / math.sqrt(dim - 1)),
            trainable_std=[True] * config.num_steps,
        ).to(device)
        self.value = CorrectedEnergy(
            self.energy, step_mlp(1, config.value_hidden, "init value"), num_steps=config.num_steps
        ).to(device)


class DxMIDetectionTraining(Training):
    """The autoencoder first, then DxMI from a frozen copy of it."""

    def __init__(self, problem: Problem, config: DxMIDetectionConfig, compute: Compute, rng: RandomStreams) -> None:
        assert isinstance(problem.data, FiniteData)
        self.config, self.device = config, compute.device
        points = problem.data.points.flatten(1)
        self.features = fit_features(config.features, points, neighbours=config.neighbours).to(self.device)
        self.points = self.features(points.to(self.device))
        self.data = NeighbourInterpolation(self.points, share=config.interpolation, neighbours=config.neighbours)
        self.nets = Networks(config, self.points.shape[1], rng, self.device)
        self.pretraining = Learner(
            self.nets.energy, lr=config.pretrain_lr, iterations=config.pretrain_iterations, ema_decay=0.0
        )
        self.frozen = copy.deepcopy(self.nets.energy)
        cost = RunningCost(tau_entropy=config.tau, tau_velocity=config.tau, num_steps=config.num_steps)
        self.learner = DxMILearner(
            self.nets.policy,
            self.nets.value,
            config.rates(),
            policy_cost=cost,
            value_cost=cost,
            gamma=config.gamma,
            avr_decay=config.avr_decay,
            sweep=batched_sweep(config.num_steps),
            own_rates={self.nets.energy: config.energy_lr},
        )
        self.gap = GapWatch(config.iterations)
        self.data_rng = rng.numpy("data")
        self.generator = rng.torch("noise", device=self.device)
        self.steps_done = 0

    @property
    def total_steps(self) -> int:
        return self.config.pretrain_iterations + self.config.iterations

    def step(self) -> dict[str, float | Tensor]:
        rows = torch.from_numpy(self.data_rng.integers(len(self.points), size=self.config.batch_size))
        data = self.data.draw(rows.to(self.device), self.generator)
        self.steps_done += 1
        if self.steps_done <= self.config.pretrain_iterations:
            return self._pretrain(data)
        scalars = self.learner.step(data, self._noise(1), self._noise(self.config.num_steps), start=self._start(data))
        gap = scalars["energy_samples"] - scalars["energy_data"]
        self.gap.add(float(gap))
        if self.steps_done == self.total_steps and (complaint := self.gap.complaint()):
            warnings.warn(complaint, stacklevel=1)
        return {**scalars, "energy_gap": gap, "mean_std": self.nets.policy.step_log_stds().detach().exp().mean()}

    def _pretrain(self, data: Tensor) -> dict[str, float | Tensor]:
        loss = self.pretraining.descend(self.nets.energy(data).mean())
        if self.steps_done == self.config.pretrain_iterations:
            self.nets.energy.rescale(self.points, mean=self.config.start_energy, at_most=MAX_SCALE)
            self.frozen.load_state_dict(self.nets.energy.state_dict())
            self.learner.begin()
        return {"reconstruction": loss}

    @torch.no_grad()
    def _start(self, data: Tensor) -> Tensor:
        """x_0: the data with perturbed latent codes, decoded by the frozen autoencoder."""
        eps = torch.randn((len(data), self.config.latent), generator=self.generator, device=self.device)
        std = self.config.latent_noise * torch.rand(len(data), generator=self.generator, device=self.device)
        return self.frozen.perturbed(data, std=std, eps=eps)

    def _noise(self, chains: int) -> StreamNoise:
        return StreamNoise(
            batch_size=chains * self.config.batch_size,
            event_shape=self.nets.policy.event_shape,
            generator=self.generator,
        )

    def _parts(self) -> dict[str, Any]:
        return {"pretraining": self.pretraining, "frozen": self.frozen, "learner": self.learner, "gap": self.gap}

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()} | {"steps_done": self.steps_done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.steps_done = state["steps_done"]

    def model(self) -> Model:
        (dim,) = self.nets.policy.event_shape
        tau = self.config.tau
        pretraining = self.steps_done < self.config.pretrain_iterations
        average = self.learner.value_average
        assert isinstance(average, CorrectedEnergy)
        energy = FeatureEnergy(self.features, self.nets.energy if pretraining else average.energy_net)
        return Model(networks=energy.networks, energy=energy.energy, temperature=tau / dim if tau > 0 else None)
