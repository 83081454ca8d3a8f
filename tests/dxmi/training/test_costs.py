import math

import pytest
import torch
from torch.distributions import Independent, Normal

from dxmi.training.costs import RunningCost, linear_time_cost, no_time_cost, sigmoid_time_cost


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian(mean: torch.Tensor, std: torch.Tensor) -> Independent:
    """N(mean, std^2 I) row by row."""
    return Independent(Normal(mean, std[:, None].expand_as(mean)), 1)


@pytest.mark.parametrize("dim", [2, 5])
def test_entropy_cost_is_the_negative_entropy_per_dimension_up_to_its_constant(dim):
    log_std = normal(6, seed=0)
    x, x_next = normal(6, dim, seed=1), normal(6, dim, seed=2)
    cost = RunningCost(tau_entropy=0.3, tau_velocity=0.0, num_steps=4)
    got = cost(x, x_next, torch.zeros(6, dtype=torch.int64), log_std, torch.ones(6, dtype=torch.float64))
    entropy = gaussian(x, log_std.exp()).entropy()
    constant = dim / 2 * math.log(2 * math.pi * math.e)
    torch.testing.assert_close(got, -0.3 * (entropy - constant) / dim)


@pytest.mark.parametrize("dim", [2, 5])
def test_velocity_cost_is_the_negative_log_density_of_the_auxiliary_chain_per_dimension(dim):
    avr_var = normal(6, seed=0).exp()
    x, x_next = normal(6, dim, seed=1), normal(6, dim, seed=2)
    cost = RunningCost(tau_entropy=0.0, tau_velocity=0.7, num_steps=4)
    got = cost(x, x_next, torch.zeros(6, dtype=torch.int64), torch.zeros(6, dtype=torch.float64), avr_var)
    std = avr_var.sqrt()
    constant = dim / 2 * math.log(2 * math.pi) + dim * std.log()
    torch.testing.assert_close(got, 0.7 * (-gaussian(x_next, std).log_prob(x) - constant) / dim)


def test_running_cost_is_the_sum_of_both_with_their_own_coefficients():
    x, x_next = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    cost = RunningCost(tau_entropy=0.1, tau_velocity=0.01, num_steps=4)
    log_std, avr_var = torch.tensor([math.log(0.5)], dtype=torch.float64), torch.tensor([2.0], dtype=torch.float64)
    got = cost(x, x_next, torch.tensor([3]), log_std, avr_var)
    assert got.item() == pytest.approx(0.1 * math.log(2) + 0.01 * 25 / (2 * 2 * 2.0), rel=1e-12)


def test_running_cost_averages_over_all_axes_of_the_event():
    cost = RunningCost(tau_entropy=0.2, tau_velocity=0.5, num_steps=3)
    x, x_next = normal(4, 2, 3, 5, seed=0), normal(4, 2, 3, 5, seed=1)
    k, log_std, avr_var = torch.tensor([0, 1, 2, 0]), normal(4, seed=2), normal(4, seed=3).exp()
    flat = cost(x.flatten(1), x_next.flatten(1), k, log_std, avr_var)
    torch.testing.assert_close(cost(x, x_next, k, log_std, avr_var), flat)


def test_last_steps_can_be_free():
    x, x_next, k = normal(5, 2, seed=0), normal(5, 2, seed=1), torch.arange(5)
    log_std, avr_var = normal(5, seed=2), normal(5, seed=3).exp()
    everywhere = RunningCost(tau_entropy=0.1, tau_velocity=0.1, num_steps=5)(x, x_next, k, log_std, avr_var)
    skipping = RunningCost(tau_entropy=0.1, tau_velocity=0.1, num_steps=5, skip_last=2)
    expected = everywhere * torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0])
    torch.testing.assert_close(skipping(x, x_next, k, log_std, avr_var), expected)
    assert (everywhere != 0).all()


def test_running_cost_pulls_std_up_and_steps_together():
    cost = RunningCost(tau_entropy=0.1, tau_velocity=0.2, num_steps=1)
    x, x_next = torch.zeros(1, 2), torch.tensor([[2.0, -1.0]], requires_grad=True)
    log_std, avr_var = torch.zeros(1, requires_grad=True), torch.tensor([0.5])
    cost(x, x_next, torch.tensor([0]), log_std, avr_var).sum().backward()
    assert log_std.grad.item() == pytest.approx(-0.1)
    torch.testing.assert_close(x_next.grad, 0.2 * x_next.detach() / (2 * 0.5))


def total(cost, num_steps: int) -> float:
    rows = torch.zeros(num_steps)
    points = torch.zeros(num_steps, 2)
    return cost(points, points, torch.arange(num_steps), rows, rows).double().sum().item()


@pytest.mark.parametrize(("num_steps", "expected"), [(10, 0.987), (4, 0.762)])
def test_sigmoid_time_cost_telescopes(num_steps, expected):
    got = total(sigmoid_time_cost(num_steps), num_steps)
    assert got == pytest.approx(math.tanh(num_steps / 4), abs=1e-6)  # 2 S(K / 2) - 1
    assert got == pytest.approx(expected, abs=5e-4)


def test_sigmoid_time_cost_is_the_equation_step_by_step():
    def logistic(z: float) -> float:
        return 1 / (1 + math.exp(-z))

    expected = [logistic(5 - k) - logistic(5 - k - 1) for k in range(10)]
    assert sigmoid_time_cost(10).per_step.tolist() == pytest.approx(expected, abs=1e-6)
    assert (sigmoid_time_cost(10).per_step > 0).all()


@pytest.mark.parametrize("num_steps", [1, 4, 10])
def test_linear_time_cost_totals_rate_times_steps(num_steps):
    assert total(linear_time_cost(num_steps), num_steps) == pytest.approx(0.05 * num_steps, rel=1e-6)
    assert total(linear_time_cost(num_steps, rate=0.3), num_steps) == pytest.approx(0.3 * num_steps, rel=1e-6)
    assert total(no_time_cost(num_steps), num_steps) == 0.0


def test_time_cost_depends_on_the_step_alone():
    k = torch.tensor([3, 0, 3, 1])
    cost = sigmoid_time_cost(4)
    got = cost(normal(4, 2, seed=0), normal(4, 2, seed=1), k, normal(4, seed=2), normal(4, seed=3).exp())
    assert torch.equal(got, cost.per_step[k])
