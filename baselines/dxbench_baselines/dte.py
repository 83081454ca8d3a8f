"""Diffusion time estimation: how much noise a point seems to have had added is how anomalous it is.

Livernoche et al. 2024, arXiv:2305.18593. Points are noised, x_t = x_0 + sigma_t eps, sigma_t^2 = 1 - prod(1 - beta_s),
beta from 1e-4 to 1e-2 in 400 steps, and one of three estimators reads the noise off x_t (derived from the paper; the
public code has no licence):

* `nonparametric` (DTE-NP): for the mean squared distance m^2 to the k nearest training points the posterior of sigma^2
  is inverse gamma with shape a = D/2 - 1 and scale b = m^2 / 2; the energy is its mode b / (a + 1) = m^2 / D.
* `inverse_gamma` (DTE-IG): a net predicts b(x_t) by maximum likelihood, minimising -(a log b - b / sigma_t^2). Divided
  by a, with beta = b / a: beta / sigma_t^2 - log beta, which has a minimum for every D; the energy is beta.
* `categorical` (DTE-C): a net tells in which of 7 equal ranges of t the point is; the energy is the expected range.

Deviations: the mode of DTE-NP is continuous, where the code takes the most likely of 400 t; rows are standardised here
on every task; training ends after `iterations` steps where 400 epochs would be more. `double_softmax` repeats what the
released DTE-C does, a softmax before a loss that has its own (annthyroid 97 with it, 93 without).
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn
from torch.nn import functional

from dxbench.api import (
    Compute,
    Config,
    FiniteData,
    Method,
    Model,
    Need,
    NoTraining,
    Problem,
    RandomStreams,
    Training,
    array_energy,
)
from dxmi.arrays import PerSample, Points
from dxmi.nets.mlp import linear

Rows = NDArray[Any]


class DTEConfig(Config):
    """Settings of diffusion time estimation."""

    variant: Literal["categorical", "inverse_gamma", "nonparametric"] = "categorical"
    double_softmax: bool = False
    k: PositiveInt = 5
    num_times: PositiveInt = 400
    ranges: PositiveInt = 7
    widths: tuple[PositiveInt, ...] = (256, 512, 256)
    dropout: float = 0.5
    epochs: PositiveInt = 400
    iterations: PositiveInt = 12_000
    batch_size: PositiveInt = 64
    lr: PositiveFloat = 1e-4
    weight_decay: float = 5e-4


class DTE(Method):
    """Diffusion time estimation, categorical, inverse gamma or nonparametric."""

    name = "dte"
    version = 1
    family = "detector"
    citation = "Livernoche, Jain, Hezaveh, Ravanbakhsh 2024, arXiv:2305.18593"
    Config = DTEConfig
    recipes = ".recipes.dte"
    needs = frozenset({Need.TRAINING_DATA, Need.FINITE_DATA})

    def start(self, problem: Problem, config: DTEConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        assert isinstance(problem.data, FiniteData)
        if config.variant == "nonparametric":
            rows = problem.data.points.flatten(1).double().numpy()
            return NoTraining(array_energy(noise_of_neighbours(rows, config.k)))
        return DTETraining(problem.data.points.flatten(1), config, compute, rng)


def noise_of_neighbours(rows: Rows, k: int) -> Callable[[Rows], Rows]:
    """DTE-NP: from training rows [n, D] to the energy m^2 / D of rows, standardised like them."""
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(rows)
    index = NearestNeighbors(n_neighbors=min(k, len(rows))).fit(scaler.transform(rows))
    return lambda x: np.square(index.kneighbors(scaler.transform(x))[0]).mean(axis=1) / rows.shape[1]


def noise_variances(num_times: int, *, first: float = 1e-4, last: float = 1e-2) -> Tensor:
    """sigma_t^2 = 1 - prod_{s <= t} (1 - beta_s) of t = 0 ... num_times - 1, beta linear in t."""
    betas = torch.linspace(first, last, num_times, dtype=torch.float64)
    return (1 - (1 - betas).cumprod(0)).float()


class Standardised(nn.Module):
    """A net behind the standardisation of its training rows, with dropout after all hidden layers but the first."""

    mean: Tensor
    std: Tensor

    def __init__(self, rows: Points, widths: tuple[int, ...], *, outputs: int, dropout: float, init: Generator) -> None:
        super().__init__()
        std = rows.std(dim=0, correction=0)
        self.register_buffer("mean", rows.mean(dim=0))
        self.register_buffer("std", torch.where(std > 1e-6 * rows.abs().amax(dim=0), std, torch.ones_like(std)))
        self.dropout = dropout
        self.hidden = nn.ModuleList(linear(a, b, init) for a, b in pairwise((rows.shape[1], *widths)))
        self.output = linear(widths[-1], outputs, init)

    def standardise(self, x: Points) -> Points:
        return (x - self.mean) / self.std

    def of_standardised(self, x: Points, dropping: Generator | None = None) -> Tensor:
        """Outputs [b, outputs]; units are dropped where a generator for it is given."""
        for i, layer in enumerate(self.hidden):
            x = layer(x).relu()
            if dropping is not None and i > 0:
                kept = torch.rand(x.shape, generator=dropping, device=x.device) >= self.dropout
                x = x * kept / (1 - self.dropout)
        return self.output(x)

    def forward(self, x: Points) -> Tensor:
        return self.of_standardised(self.standardise(x))


def inverse_gamma_loss(beta: PerSample, var: PerSample) -> PerSample:
    """beta / sigma^2 - log beta, least at beta = sigma^2: the likelihood of DTE-IG over its shape, less constants."""
    return beta / var - beta.log()


def predicted_variance(outputs: Tensor) -> PerSample:
    """beta > 0 of a net with one output."""
    return functional.softplus(outputs.squeeze(1)) + torch.finfo(outputs.dtype).tiny


def expected_range(logits: Tensor) -> PerSample:
    """Mean of the predicted ranges 0 ... C - 1."""
    return logits.softmax(dim=1) @ torch.arange(logits.shape[1], dtype=logits.dtype, device=logits.device)


class DTETraining(Training):
    """Adam on freshly noised rows."""

    def __init__(self, rows: Points, config: DTEConfig, compute: Compute, rng: RandomStreams) -> None:
        self.config, self.device = config, compute.device
        self.categorical = config.variant == "categorical"
        self.net = Standardised(
            rows,
            config.widths,
            outputs=config.ranges if self.categorical else 1,
            dropout=config.dropout,
            init=rng.torch("init"),
        ).to(self.device)
        self.rows = self.net.standardise(rows.to(self.device))
        self.var = noise_variances(config.num_times).to(self.device)
        self.optimiser = torch.optim.Adam(
            self.net.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
        self.rng = rng.numpy("data")
        self.generator = rng.torch("noise", device=self.device)

    @property
    def total_steps(self) -> int:
        batches = -(-len(self.rows) // self.config.batch_size)
        return min(self.config.iterations, self.config.epochs * batches)

    def step(self) -> dict[str, float | Tensor]:
        n = self.config.batch_size
        x = self.rows[torch.from_numpy(self.rng.integers(len(self.rows), size=n)).to(self.device)]
        t = torch.randint(self.config.num_times, (n,), generator=self.generator, device=self.device)
        var = self.var[t]
        eps = torch.randn(x.shape, generator=self.generator, device=self.device)
        outputs = self.net.of_standardised(x + var.sqrt()[:, None] * eps, dropping=self.generator)
        loss = self._loss(outputs, t, var).mean()
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        return {"loss": loss.detach()}

    def _loss(self, outputs: Tensor, t: Tensor, var: Tensor) -> PerSample:
        if not self.categorical:
            return inverse_gamma_loss(predicted_variance(outputs), var)
        logits = outputs.softmax(dim=1) if self.config.double_softmax else outputs
        wanted = self.config.ranges * t // self.config.num_times
        return functional.cross_entropy(logits, wanted, reduction="none")

    def state_dict(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])

    def model(self) -> Model:
        head = expected_range if self.categorical else predicted_variance
        return Model(networks=(self.net,), energy=lambda x: head(self.net(x.flatten(1))))
