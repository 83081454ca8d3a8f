"""The value gradient sampler where its values are known: linear dynamics, quadratic costs."""

import math

import torch
from dxbench_baselines.vgs import ValueGradientSampler
from flat import Flat
from torch.distributions import Normal

STD, TAU, K = 0.3, 0.7, 5
CENTRE = torch.tensor([0.5, -1.0], dtype=torch.float64)
CURVATURE = 2.0


class Quadratic:
    """E = a |x - c|^2 / 2 and the values that the sampler's own steps give it.

    With mu = (s^2 / tau) a (x - c): a_k = a (1 - s^2 a / tau)^2 + s^2 a^2 / tau at a = a_{k+1}, and every step's noise
    adds a_{k+1} s^2 D / 2.
    """

    def __init__(self) -> None:
        curvature, constant = [CURVATURE], [0.0]
        for _ in range(K):
            a = curvature[0]
            curvature.insert(0, a * (1 - STD**2 * a / TAU) ** 2 + STD**2 * a**2 / TAU)
            constant.insert(0, constant[0] + a * STD**2 * len(CENTRE) / 2)
        self.curvature, self.constant = torch.tensor(curvature).double(), torch.tensor(constant).double()

    def value(self, x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return self.curvature[k] * (x - CENTRE).square().sum(1) / 2 + self.constant[k]

    def energy(self, x: torch.Tensor) -> torch.Tensor:
        return self.value(x, torch.full((len(x),), K))


def sampler() -> ValueGradientSampler:
    return ValueGradientSampler(Quadratic(), num_steps=K, std=STD, tau=TAU, space=Flat())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_value_is_the_expected_cost_to_go_of_its_own_chains() -> None:
    n = 40_000
    start = torch.tensor([[1.5, 0.5]], dtype=torch.float64).expand(n, 2)
    states, costs = sampler().chain(start, generator())
    total = Quadratic().energy(states[-1]) + costs.sum(0)
    wanted = Quadratic().value(start[:1], torch.zeros(1, dtype=torch.int64))
    assert abs(float(total.mean() - wanted)) < 5 * float(total.std()) / math.sqrt(n)


def test_the_bellman_residual_of_the_exact_value_has_mean_zero() -> None:
    n, exact = 40_000, Quadratic()
    states, costs = sampler().chain(torch.zeros(n, 2, dtype=torch.float64), generator())
    for k in range(K):
        step = torch.full((n,), k)
        residual = exact.value(states[k + 1], step + 1) + costs[k] - exact.value(states[k], step)
        assert abs(float(residual.mean())) < 5 * float(residual.std()) / math.sqrt(n)


def test_the_cost_of_a_step_is_its_mean_log_ratio_to_the_auxiliary_noise() -> None:
    n = 200_000
    x = torch.tensor([[1.5, 0.5]], dtype=torch.float64).expand(n, 2)
    mu = sampler().drift(x, 2)
    moved = x - mu + STD * torch.randn(n, 2, generator=generator(), dtype=torch.float64)
    ratio = TAU * (Normal(x - mu, STD).log_prob(moved) - Normal(moved, STD).log_prob(x)).sum(1)
    wanted = TAU * float(mu[0].square().sum()) / (2 * STD**2)
    assert abs(float(ratio.mean()) - wanted) < 5 * float(ratio.std()) / math.sqrt(n)


def test_no_other_step_along_the_slope_costs_less() -> None:
    """Of V_{k+1} linearised at x, plus the step's cost, mu is the minimum."""
    x = torch.tensor([[1.5, 0.5]], dtype=torch.float64)
    mu = sampler().drift(x, K - 1)
    slope = CURVATURE * (x - CENTRE)

    def cost(step: torch.Tensor) -> float:
        return float((-slope * step).sum() + TAU * step.square().sum() / (2 * STD**2))

    assert cost(mu) < min(cost(0.9 * mu), cost(1.1 * mu), cost(mu + torch.tensor([[0.01, -0.01]])))


def test_the_start_is_the_data_after_as_much_noise_as_the_chain_has_steps() -> None:
    n = 40_000
    x = sampler().diffused(torch.zeros(n, 2, dtype=torch.float64), generator())
    assert abs(float(x.var()) - K * STD**2) < 5 * K * STD**2 * math.sqrt(1 / n)


def test_the_loss_is_least_at_the_exact_value() -> None:
    states, costs = sampler().chain(torch.randn(5000, 2, generator=generator(1), dtype=torch.float64), generator())
    exact = float(sampler().value_loss(states, costs))
    for shift in (-0.5, 0.5):
        other = Quadratic()
        other.constant = other.constant + torch.tensor([shift] * K + [0.0])
        wrong = ValueGradientSampler(other, num_steps=K, std=STD, tau=TAU, space=Flat())
        assert float(wrong.value_loss(states, costs)) > exact
