"""Geometry of the sphere, and a policy that stays on it."""

import math

import pytest
import torch

from dxmi.geometry.sphere import exponential_map, project, tangent
from dxmi.nets.mlp import StepMLP
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.rollouts import rollout
from dxmi.sampling.sphere_policy import SpherePolicy


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_exponential_map_stays_on_the_sphere_and_goes_as_far_as_the_tangent_is_long() -> None:
    x = project(draws(20, 7))
    v = tangent(x, 0.3 * draws(20, 7, seed=1))
    torch.testing.assert_close((v * x).sum(1), torch.zeros(20, dtype=torch.float64), atol=1e-12, rtol=0)
    y = exponential_map(x, v)
    torch.testing.assert_close(y.norm(dim=1), torch.ones(20, dtype=torch.float64))
    torch.testing.assert_close(torch.acos((x * y).sum(1)), v.norm(dim=1))


def test_a_tangent_of_length_pi_arrives_at_the_antipode_and_of_length_0_stays() -> None:
    x = project(draws(5, 4))
    v = project(tangent(x, draws(5, 4, seed=1)))
    torch.testing.assert_close(exponential_map(x, math.pi * v), -x)
    torch.testing.assert_close(exponential_map(x, 0 * v), x)


def test_the_exponential_map_has_a_gradient_at_length_0() -> None:
    x = project(draws(3, 4))
    v = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    exponential_map(x, v).sum().backward()
    assert v.grad is not None
    torch.testing.assert_close(v.grad, torch.ones(3, 4, dtype=torch.float64))


def policy(std: float, dim: int = 50) -> SpherePolicy:
    net = StepMLP(dim_in=dim, dim_out=dim, num_levels=3, hidden=16, depth=1, generator=torch.Generator().manual_seed(0))
    return SpherePolicy.from_scratch(net, event_shape=(dim,), std=torch.full((3,), std), trainable_std=[True] * 3)


@pytest.mark.parametrize("std", [1e-6, 0.05, 1.0])
def test_every_state_of_a_chain_is_on_the_sphere(std: float) -> None:
    noise = StreamNoise(batch_size=8, event_shape=(50,), generator=torch.Generator().manual_seed(1))
    start = project(torch.randn(8, 50, generator=torch.Generator().manual_seed(2)))
    states = rollout(policy(std), noise, start=start).states
    assert torch.equal(states[0], start)
    torch.testing.assert_close(states.norm(dim=2), torch.ones(4, 8))


def test_small_steps_leave_the_mean_by_std_times_the_root_of_the_tangent_dimension() -> None:
    step = policy(0.01)
    x = project(torch.randn(4000, 50, generator=torch.Generator().manual_seed(3)))
    k = torch.zeros(4000, dtype=torch.int64)
    eps = torch.randn(4000, 50, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        moved = (step.draw(x, k, eps) - step.mean(x, k)).square().sum(1).mean()
    assert float(moved) == pytest.approx(0.01**2 * 49, rel=0.03)  # 49, not 50: none goes off the sphere
