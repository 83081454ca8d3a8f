"""The whole of DxMI on a small Gaussian task."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from dxmi.algorithms.dxmi import DxMIUpdate
from dxmi.algorithms.sweeps import batched_sweep, sequential_sweep
from dxmi.energies.values import SeparateEnergy, SharedValue, TimeIndependentValue
from dxmi.nets.mlp import StepMLP, Unconditional
from dxmi.sampling.noise import SeededNoise, StreamNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.rollouts import sample
from dxmi.training.costs import RunningCost, VelocityVariance, sigmoid_time_cost, velocity_of_noise
from dxmi.training.optimisers import OptimizedModule, make_optimizer

STEPS, BATCH = 3, 128
MEAN = torch.tensor([1.5, -1.0])
COVARIANCE = torch.tensor([[0.36, 0.15], [0.15, 0.25]])
TRUTH = torch.distributions.MultivariateNormal(MEAN, COVARIANCE)


def net(dim_out: int, levels: int, seed: int) -> StepMLP:
    generator = torch.Generator().manual_seed(seed)
    return StepMLP(dim_in=2, dim_out=dim_out, num_levels=levels, hidden=48, depth=2, generator=generator)


def shared() -> SharedValue:
    return SharedValue(net(1, STEPS + 1, seed=1), num_steps=STEPS)


def time_independent() -> TimeIndependentValue:
    return TimeIndependentValue(Unconditional(net(1, 1, seed=1)))


def separate() -> SeparateEnergy:
    return SeparateEnergy(Unconditional(net(1, 1, seed=1)), net(1, STEPS, seed=2), num_steps=STEPS)


class Fit:
    """DxMI from scratch with fixed streams."""

    def __init__(self, value, *, iterations: int, tau: float = 0.05, sweep=batched_sweep, value_cost=None) -> None:
        self.value = value
        self.policy = GaussianPolicy.from_scratch(
            net(2, STEPS, seed=0), event_shape=(2,), std=torch.full((STEPS,), 0.5), trainable_std=[True] * STEPS
        )
        policy_groups = [
            {"params": self.policy.net.parameters(), "lr": 2e-3},
            {"params": [self.policy.learned_log_std], "lr": 2e-2},
        ]
        policy_optimiser, self.policy_decay = make_optimizer(policy_groups, iterations)
        value_optimiser, self.value_decay = make_optimizer([{"params": value.parameters(), "lr": 3e-3}], iterations)
        cost = RunningCost(tau_entropy=tau, tau_velocity=tau, num_steps=STEPS)
        self.update = DxMIUpdate(
            policy=OptimizedModule(module=self.policy, optimizer=policy_optimiser),
            value=OptimizedModule(module=value, optimizer=value_optimiser),
            policy_cost=cost,
            value_cost=value_cost or cost,
            gamma=1.0,
            velocity=VelocityVariance(velocity_of_noise(self.policy)),
            sweep=sweep(STEPS),
        )
        self.generator = torch.Generator().manual_seed(3)
        self.factor = torch.linalg.cholesky(COVARIANCE)

    def noise(self, rows: int) -> StreamNoise:
        return StreamNoise(batch_size=rows, event_shape=(2,), generator=self.generator)

    def step(self) -> dict[str, Tensor]:
        data = MEAN + self.noise(BATCH).normal(0) @ self.factor.T
        scalars = self.update(data, self.noise(BATCH), self.noise(STEPS * BATCH))
        self.policy_decay.step()
        self.value_decay.step()
        return scalars

    def samples(self, n: int) -> Tensor:
        return sample(self.policy, SeededNoise(seeds=torch.arange(n), event_shape=(2,)))


@pytest.mark.parametrize(("sweep", "iterations"), [(batched_sweep, 800), (sequential_sweep, 500)])
def test_dxmi_fits_a_correlated_gaussian_and_its_energy(sweep, iterations):
    fit = Fit(shared(), iterations=iterations, sweep=sweep)
    start = fit.samples(10_000)
    assert (start.mean(0) - MEAN).abs().max() > 0.5
    assert (start.T.cov() - COVARIANCE).abs().max() > 0.5
    for _ in range(iterations):
        fit.step()
    x = fit.samples(10_000)
    # tau, gamma and so few iterations leave about 0.05 of either.
    torch.testing.assert_close(x.mean(0), MEAN, rtol=0, atol=0.12)
    torch.testing.assert_close(x.T.cov(), COVARIANCE, rtol=0, atol=0.1)
    assert x.T.corrcoef()[0, 1] > 0.25  # 0.5 of the truth

    circle = torch.tensor([[math.cos(a), math.sin(a)] for a in torch.arange(16) * math.pi / 8])
    rings = [fit.value.energy(MEAN + radius * circle @ fit.factor.T).mean().item() for radius in (0, 1.5, 3)]
    assert rings == sorted(rings)
    around = MEAN + 1.25 * torch.randn(2000, 2, generator=torch.Generator().manual_seed(4))
    assert stats.spearmanr(-fit.value.energy(around).detach(), TRUTH.log_prob(around)).statistic > 0.8


VALUES = {"shared": shared, "time independent": time_independent, "separate": separate}


@pytest.mark.parametrize("sweep", [batched_sweep, sequential_sweep])
@pytest.mark.parametrize("build", VALUES.values(), ids=VALUES.keys())
def test_every_kind_of_value_takes_part_in_an_iteration(build, sweep):
    fit = Fit(build(), iterations=10, sweep=sweep, value_cost=sigmoid_time_cost(STEPS))
    modules = (fit.policy, fit.value)
    before = [p.detach().clone() for module in modules for p in module.parameters()]
    scalars = fit.step()
    assert all(torch.isfinite(scalar) for scalar in scalars.values())
    after = [p.detach() for module in modules for p in module.parameters()]
    assert all(torch.isfinite(p).all() for p in after)
    assert all((p != q).any() for p, q in zip(before, after, strict=True))
    x = fit.samples(8)
    torch.testing.assert_close(fit.value.value(x, torch.full((8,), STEPS)), fit.value.energy(x), rtol=0, atol=0)
