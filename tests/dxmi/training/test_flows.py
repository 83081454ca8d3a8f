"""Flow matching against the closed form of a Gaussian, and optimal pairs against POT."""

import math

import numpy as np
import ot
import pytest
import torch
from torch import Tensor

from dxmi.arrays import PerSample, Points
from dxmi.sampling.denoisers import FlowDenoiser
from dxmi.sampling.flows import EulerFlow, FlowSteps, HeunFlow, straight_path
from dxmi.sampling.noise import StreamNoise
from dxmi.training.denoising import Batch
from dxmi.training.flows import FlowLoss, IndependentCoupling, LogitNormalTimes, OptimalCoupling, UniformTimes

MEAN, STD, BATCH = torch.tensor([1.5, -0.5, 2.0], dtype=torch.float64), 0.4, 50_000


def stream(seed: int, n: int = BATCH) -> StreamNoise:
    generator = torch.Generator().manual_seed(seed)
    return StreamNoise(batch_size=n, event_shape=(3,), generator=generator, dtype=torch.float64)


def batch(n: int = BATCH, *labels: Tensor) -> Batch:
    data = MEAN + STD * stream(0, n).normal(0)
    return Batch(data=data, labels=labels, noise=stream(1, n), progress=0.0)


def variance(t: Tensor) -> Tensor:
    return ((1 - t) * STD) ** 2 + t**2


def exact(x: Points, t: PerSample) -> Points:
    """E[z - data | x_t = x] of the Gaussian."""
    t = t[:, None]
    return (t - (1 - t) * STD**2) / variance(t) * (x - (1 - t) * MEAN) - MEAN


class Exact(torch.nn.Module):
    def forward(self, x: Points, t: PerSample) -> Points:
        return exact(x, t)


@pytest.mark.parametrize("times", [UniformTimes(), LogitNormalTimes(mean=-0.4)], ids=["uniform", "logit-normal"])
def test_the_loss_of_the_exact_velocity_is_the_variance_of_what_is_left(times: UniformTimes | LogitNormalTimes) -> None:
    loss = FlowLoss(velocity=lambda net: net, coupling=IndependentCoupling(), times=times)
    drawn = loss.draw(batch())
    t = drawn[0]
    left = 1 + STD**2 - (t - (1 - t) * STD**2) ** 2 / variance(t)
    losses = loss(exact, batch().data, *drawn)
    assert abs((losses - left).mean().item()) < 5 * (losses - left).std().item() / math.sqrt(BATCH)


@pytest.mark.parametrize(("kind", "order"), [(EulerFlow, 1), (HeunFlow, 2)])
def test_steps_along_the_exact_velocity_end_at_the_data_with_their_order(kind: type[FlowSteps], order: int) -> None:
    """The flow goes from z to MEAN + STD z, and the error falls by 2^order where steps are halved."""
    z = stream(3, 50).normal(0)
    errors = []
    for num_steps in (40, 80):
        *_, x = kind(num_steps=num_steps).states(exact, z)
        errors.append((x - (MEAN + STD * z)).abs().max().item())
    assert errors[0] < 0.1
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.1)


@pytest.mark.parametrize("kind", [EulerFlow, HeunFlow])
def test_passes_are_as_many_as_said(kind: type[FlowSteps]) -> None:
    calls: list[int] = []

    def counted(x: Points, t: PerSample) -> Points:
        calls.append(len(x))
        return exact(x, t)

    steps = kind(num_steps=3)
    assert len(list(steps.states(counted, stream(3, 5).normal(0)))) == 4
    assert len(calls) == steps.nfe == 3 * kind.passes


def test_a_velocity_is_a_denoiser_of_every_noise_level() -> None:
    sigma = torch.linspace(0.01, 5, 20, dtype=torch.float64)
    x = MEAN + (STD**2 + sigma[:, None] ** 2).sqrt() * stream(4, 20).normal(0)
    expected = MEAN + STD**2 / (STD**2 + sigma[:, None] ** 2) * (x - MEAN)
    torch.testing.assert_close(FlowDenoiser(Exact())(x, sigma), expected)


def test_the_path_goes_from_the_data_to_the_noise() -> None:
    data, z = stream(5, 4).normal(0), stream(6, 4).normal(0)
    t = torch.tensor([0.0, 1.0, 0.5, 0.25], dtype=torch.float64)
    x, velocity = straight_path(data, z, t)
    assert torch.equal(x[0], data[0])
    assert torch.equal(x[1], z[1])
    torch.testing.assert_close(x + (1 - t)[:, None] * velocity, z)


def cost(data: Tensor, z: Tensor) -> float:
    return float((data - z).square().sum())


def test_optimal_pairs_are_those_of_pot_and_keep_every_noise() -> None:
    whole = batch(64)
    z = stream(7, 64).normal(0)
    paired = OptimalCoupling()(whole, z)
    assert sorted(paired[:, 0].tolist()) == sorted(z[:, 0].tolist())
    uniform = np.full(64, 1 / 64)
    least = ot.emd2(uniform, uniform, ot.dist(whole.data.numpy(), z.numpy()))
    assert cost(whole.data, paired) / 64 == pytest.approx(float(least))
    assert cost(whole.data, paired) < cost(whole.data, z)


def test_optimal_pairs_stay_within_a_class() -> None:
    """Across classes, the noise of a class would no longer be N(0, I)."""
    labels = torch.arange(60) % 3
    whole = batch(60, labels)
    z = stream(8, 60).normal(0)
    paired = OptimalCoupling()(whole, z)
    for label in range(3):
        rows = labels == label
        assert sorted(paired[rows, 0].tolist()) == sorted(z[rows, 0].tolist())
        one = Batch(data=whole.data[rows], labels=(), noise=whole.noise, progress=0.0)
        torch.testing.assert_close(paired[rows], OptimalCoupling()(one, z[rows]))
