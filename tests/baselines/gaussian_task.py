"""A correlated Gaussian in the plane as a problem, for methods to solve in seconds."""

from typing import Any

import numpy as np
import torch
from dxbench_baselines.starts.backbone import Backbone, N, Pretraining
from torch import Tensor

from dxbench.api import Compute, Config, Method, Problem, RandomStreams, Training
from dxmi.energies.critics import MLPCritic

MEAN = torch.tensor([1.5, -1.0])
COVARIANCE = torch.tensor([[0.36, 0.15], [0.15, 0.25]])
NET = {"hidden": 48, "depth": 2}
CRITIC = {"critic": MLPCritic(hidden=48, depth=2), "batch_size": 128}


def small(kind: type[N], **pretraining: Any) -> Backbone[N]:
    """A backbone of a small network of this kind, so pretrained."""
    return Backbone(network=kind(**NET), pretraining=Pretraining(batch_size=128, **pretraining))


class GaussianData:
    """Fresh draws."""

    def batch(self, n: int, *, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(rng.multivariate_normal(MEAN.numpy(), COVARIANCE.numpy(), size=n)).float()


def start(method: type[Method], config: Config, *, seed: int = 0) -> Training:
    problem = Problem(
        task="gaussian",
        event_shape=(2,),
        data=GaussianData(),
        # About the mean, which no method is told, the std is 0.55; about 0 it is 1.4.
        data_std=1.4,
    )
    return method().start(
        problem, config, compute=Compute(device="cpu", threads=1), rng=RandomStreams(method.name, seed)
    )


def samples(training: Training, n: int = 10_000) -> Tensor:
    return training.model().sample(torch.arange(n)).detach()


def errors(x: Tensor) -> tuple[float, float]:
    """Largest error of the mean and of the covariance."""
    return (x.mean(0) - MEAN).abs().max().item(), (x.T.cov() - COVARIANCE).abs().max().item()


def solve(method: type[Method], config: Config) -> Tensor:
    """Samples after the whole training."""
    training = start(method, config)
    for _ in range(training.total_steps):
        training.step()
    return samples(training)
