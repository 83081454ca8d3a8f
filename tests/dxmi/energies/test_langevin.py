"""Langevin chains against laws that are known in closed form, and the buffer that keeps their ends."""

import math

import pytest
import torch
from flat import Flat

from dxmi.energies.langevin import Langevin, ReplayBuffer, clipped, harmonic, normalised
from dxmi.geometry.spaces import UnitSphere
from dxmi.geometry.sphere import project


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


MEAN = torch.tensor([1.0, -2.0], dtype=torch.float64)
VAR = torch.tensor([0.5, 2.0], dtype=torch.float64)


def gaussian(x: torch.Tensor) -> torch.Tensor:
    return ((x - MEAN).square() / (2 * VAR)).sum(dim=1)


def test_on_a_gaussian_the_stationary_moments_are_those_of_the_autoregression() -> None:
    """x' = (1 - h / v) x + s eps has variance s^2 / (1 - (1 - h / v)^2), whatever h and s."""
    step, std, n = 0.2, 0.3, 20_000
    chain = Langevin(step_size=step, stds=(std,) * 120, space=Flat())
    x = chain(gaussian, torch.zeros(n, 2, dtype=torch.float64), generator=generator())
    wanted = std**2 / (1 - (1 - step / VAR) ** 2)
    error = 5 * (wanted / n).sqrt()
    assert ((x.mean(0) - MEAN).abs() < error).all()
    assert ((x.var(0) - wanted).abs() < 5 * wanted * math.sqrt(2 / n)).all()


def test_on_the_sphere_small_steps_reach_von_mises_and_fisher() -> None:
    kappa, std, n = 2.0, 0.2, 2000
    axis = torch.tensor([0.0, 0.6, 0.8])
    chain = Langevin(step_size=std**2 / 2, stds=(std,) * 100, space=UnitSphere())
    start = project(torch.randn(n, 3, generator=generator(1)))
    x = chain(lambda x: -kappa * x @ axis, start, generator=generator())
    torch.testing.assert_close(x.norm(dim=1), torch.ones(n))
    wanted = 1 / math.tanh(kappa) - 1 / kappa
    assert float((x @ axis).mean()) == pytest.approx(wanted, abs=5 * float((x @ axis).std()) / math.sqrt(n) + 0.01)


def test_without_noise_a_chain_descends_and_leaves_no_gradient_behind() -> None:
    start = torch.zeros(5, 2, dtype=torch.float64)
    x = Langevin(step_size=0.1, stds=(0.0,) * 500, space=Flat())(gaussian, start, generator=generator())
    torch.testing.assert_close(x, MEAN.expand(5, 2))
    assert not x.requires_grad
    assert not start.requires_grad


def test_chains_work_where_gradients_are_off_and_depend_on_their_generator_alone() -> None:
    chain = Langevin(step_size=0.1, stds=harmonic(0.5, 4), space=Flat())
    start = torch.zeros(3, 2, dtype=torch.float64)
    torch.manual_seed(7)
    first = chain(gaussian, start, generator=generator(3))
    with torch.no_grad():
        assert torch.equal(first, chain(gaussian, start, generator=generator(3)))
    assert not torch.equal(first, chain(gaussian, start, generator=generator(4)))


def test_rules_shorten_or_level_gradients_row_by_row() -> None:
    gradient = torch.tensor([[3.0, 4.0], [0.03, 0.04], [0.0, 0.0]])
    torch.testing.assert_close(clipped(1.0)(gradient), torch.tensor([[0.6, 0.8], [0.03, 0.04], [0.0, 0.0]]))
    torch.testing.assert_close(normalised(gradient), torch.tensor([[0.6, 0.8], [0.6, 0.8], [0.0, 0.0]]))
    assert harmonic(0.6, 3) == pytest.approx((0.6, 0.3, 0.2))


def test_the_buffer_replaces_its_oldest_and_mixes_by_probability() -> None:
    buffer = ReplayBuffer(4, (1,))
    fresh = -torch.ones(1000, 1)
    assert torch.equal(buffer.mix(fresh, reuse=1.0, generator=generator()), fresh)  # nothing kept yet
    for end in range(6):
        buffer.push(torch.full((1, 1), float(end)))
    mixed = buffer.mix(fresh, reuse=1.0, generator=generator())
    assert set(mixed.flatten().tolist()) == {2.0, 3.0, 4.0, 5.0}
    assert torch.equal(buffer.mix(fresh, reuse=0.0, generator=generator()), fresh)
    share = float((buffer.mix(fresh, reuse=0.3, generator=generator()) >= 0).float().mean())
    assert share == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / 1000))
    buffer.push(torch.arange(10.0)[:, None])  # more than it holds: the last stay
    assert set(buffer.kept.flatten().tolist()) == {6.0, 7.0, 8.0, 9.0}


def test_the_buffer_resumes() -> None:
    first, second = ReplayBuffer(5, (2,)), ReplayBuffer(5, (2,))
    first.push(torch.randn(7, 2, generator=generator()))
    second.load_state_dict(first.state_dict())
    fresh = torch.zeros(9, 2)
    mixed = [buffer.mix(fresh, reuse=0.5, generator=generator(1)) for buffer in (first, second)]
    assert torch.equal(*mixed)


def test_drawn_rows_are_those_that_are_kept() -> None:
    buffer = ReplayBuffer(5, (2,))
    buffer.push(torch.arange(6.0).reshape(3, 2))
    drawn = buffer.draw(400, generator=generator())
    assert {tuple(row) for row in drawn.tolist()} == {(0.0, 1.0), (2.0, 3.0), (4.0, 5.0)}
