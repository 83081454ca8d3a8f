"""DDPM: denoising diffusion, ancestral sampling (Ho et al. 2020, arXiv:2006.11239).

Loss: their Algorithm 1 (noise prediction, steps uniform). Sampling: their Algorithm 2 with the posterior std.
Deviations: the last step's std is `last_std`, not 0, as in SFT-PG and DxMI, so that log pi exists at every step;
one model is trained per number of steps, as in Table 1 of DxMI.
"""

from typing import Any, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from dxbench.api import Compute, Config, Method, Problem, RandomStreams, Training
from dxmi.denoising import denoising_loss
from dxmi.nets.mlp import StepMLP
from dxmi.noise import SeededNoise, StreamNoise
from dxmi.optimisers import cosine_adam, ema
from dxmi.policies import GaussianPolicy
from dxmi.rollout import sample
from dxmi.schedules import VPSchedule


class DDPMConfig(Config):
    """Of a DDPM on points in the plane."""

    num_steps: PositiveInt = Field(default=10, description="sampling steps T = NFE")
    schedule: Literal["linear", "cosine"] = "linear"
    iterations: PositiveInt = 6000
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 1e-3
    ema_decay: float = Field(default=0.995, ge=0, lt=1)
    hidden: PositiveInt = 128
    depth: PositiveInt = 3
    last_std: PositiveFloat = 1e-3


SCHEDULES = {"linear": VPSchedule.linear, "cosine": VPSchedule.cosine}


class DDPM(Method):
    """Denoising diffusion with ancestral sampling, one model per number of steps."""

    name = "ddpm"
    version = 1
    family = "diffusion"
    citation = "Ho et al. 2020, arXiv:2006.11239"
    Config = DDPMConfig

    def start(self, problem: Problem, config: DDPMConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return DDPMTraining(problem, config, compute, rng)


class DDPMTraining(Training):
    """Adam with cosine decay on the noise-prediction loss; the EMA weights sample."""

    def __init__(self, problem: Problem, config: DDPMConfig, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device = problem, config, compute.device
        self.schedule = SCHEDULES[config.schedule](config.num_steps)
        (dim,) = problem.event_shape
        self.net = StepMLP(
            dim_in=dim,
            dim_out=dim,
            num_levels=config.num_steps,
            hidden=config.hidden,
            depth=config.depth,
            generator=rng.torch("init"),
        ).to(self.device)
        self.optimiser, self.lr = cosine_adam([{"params": self.net.parameters(), "lr": config.lr}], config.iterations)
        self.ema = ema(self.net, config.ema_decay)
        self.data_rng = rng.numpy("data")
        self.noise = StreamNoise(
            batch_size=config.batch_size,
            event_shape=problem.event_shape,
            generator=rng.torch("noise", device=self.device),
        )

    @property
    def total_steps(self) -> int:
        return self.config.iterations

    def step(self) -> dict[str, float | Tensor]:
        data = self.problem.data.batch(self.config.batch_size, rng=self.data_rng).to(self.device)
        loss = denoising_loss(self.net, self.schedule, data, self.noise).mean()
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.lr.step()
        self.ema.update_parameters(self.net)
        return {"denoising_loss": loss.detach()}

    def _parts(self) -> dict[str, Any]:
        return {"net": self.net, "optimiser": self.optimiser, "lr": self.lr, "ema": self.ema}

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def model(self) -> "DDPMModel":
        policy = GaussianPolicy.from_noise_predictor(
            self.ema.module,
            self.schedule,
            event_shape=self.problem.event_shape,
            last_std=self.config.last_std,
            trainable_std=[False] * self.config.num_steps,
        )
        return DDPMModel(policy.to(self.device))


class DDPMModel:
    """Ancestral sampling."""

    def __init__(self, policy: GaussianPolicy) -> None:
        self.policy = policy
        self.networks = (policy.net,)

    def sample(self, seeds: Tensor) -> Tensor:
        device = next(self.policy.net.parameters()).device
        with torch.no_grad():
            return sample(self.policy, SeededNoise(seeds=seeds.to(device), event_shape=self.policy.event_shape))
