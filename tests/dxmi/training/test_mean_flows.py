"""Average velocities against a Gaussian's closed form, and their derivative against finite differences."""

import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from dxmi.arrays import PerSample, Points
from dxmi.backbones.flows import MeanFlowMLP, MeanFlowUNet
from dxmi.sampling.flows import MeanSteps, straight_path
from dxmi.sampling.noise import StreamNoise
from dxmi.training.denoising import Batch
from dxmi.training.flows import IndependentCoupling
from dxmi.training.mean_flows import (
    AlphaFlowTarget,
    DyadicTimes,
    ImprovedTarget,
    MeanFlowLoss,
    MeanFlowTarget,
    MeanTarget,
    ShortcutTarget,
    SortedTimes,
    along_the_path,
)

MEAN, STD = torch.tensor([1.5, -0.5], dtype=torch.float64), 0.4


def stream(seed: int, n: int) -> StreamNoise:
    generator = torch.Generator().manual_seed(seed)
    return StreamNoise(batch_size=n, event_shape=(2,), generator=generator, dtype=torch.float64)


def spread(t: PerSample) -> Tensor:
    return (((1 - t) * STD) ** 2 + t**2).sqrt()[:, None]


def velocity(x: Points, t: PerSample) -> Points:
    share = t[:, None]
    return (share - (1 - share) * STD**2) / spread(t) ** 2 * (x - (1 - share) * MEAN) - MEAN


def average(x: Points, t: PerSample, r: PerSample) -> Points:
    """The Gaussian's flow keeps (x - mean) / std; over no time, the velocity."""
    arrived = (1 - r[:, None]) * MEAN + spread(r) / spread(t) * (x - (1 - t[:, None]) * MEAN)
    length = (t - r)[:, None]
    apart = length > 0
    return torch.where(apart, (x - arrived) / length.where(apart, torch.ones_like(length)), velocity(x, t))


def points(n: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    """Points with r < t."""
    t = torch.linspace(0.2, 1, n, dtype=torch.float64)
    return stream(3, n).normal(0), t, t * torch.linspace(0.05, 0.9, n, dtype=torch.float64)


def alphas(n: int, alpha: float) -> Tensor:
    return torch.full((n,), alpha, dtype=torch.float64)


@pytest.mark.parametrize("kind", ["mlp", "unet"])
def test_the_derivative_along_the_path_is_that_of_finite_differences(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (2, 8, 8) if kind == "unet" else (2,)
    network: Any = MeanFlowMLP(hidden=16, depth=2)
    if kind == "unet":
        network = MeanFlowUNet(width=8, multipliers=(1, 2), blocks_per_level=1, attention_levels=(1,))
    net = network.network(shape, generator).double()
    for parameter in net.parameters():  # the last layers of a UNet begin near 0
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    field = network.field(net).double()
    x, direction = (torch.randn(5, *shape, generator=generator, dtype=torch.float64) for _ in range(2))
    t, r = torch.linspace(0.3, 1, 5).double(), torch.linspace(0, 0.3, 5).double()
    found = along_the_path(field, x, t, r, direction)
    step = 1e-6
    ahead, behind = field(x + step * direction, t + step, r), field(x - step * direction, t - step, r)
    torch.testing.assert_close(found, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-6)
    assert found.abs().max() > 0.01


@pytest.mark.parametrize(
    ("target", "alpha"),
    [(MeanFlowTarget(), 0.0), (ImprovedTarget(), 0.0), (AlphaFlowTarget(), 0.0), (ShortcutTarget(), 0.5)],
    ids=["meanflow", "improved", "alpha", "shortcut"],
)
def test_the_average_velocity_of_a_gaussian_is_its_own_target(target: MeanTarget, alpha: float) -> None:
    x, t, r = points()
    found = target(average, x, velocity(x, t), t, r, alphas(len(t), alpha))
    torch.testing.assert_close(found, average(x, t, r))


def wrong(x: Points, t: PerSample, r: PerSample) -> Points:
    """A field that is no average velocity."""
    return average(x, t, r) + (0.3 * x * (t * r).cos()[:, None]).sin()


def test_alpha_flows_residual_is_alpha_times_meanflows_in_the_limit() -> None:
    x, t, r = points()
    target = AlphaFlowTarget()
    limit = wrong(x, t, r) - target(wrong, x, velocity(x, t), t, r, alphas(len(t), 0.0))
    errors = []
    for alpha in (0.02, 0.01):
        residual = wrong(x, t, r) - target(wrong, x, velocity(x, t), t, r, alphas(len(t), alpha))
        errors.append((residual / alpha - limit).abs().max().item())
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)
    assert errors[1] < 0.1 * limit.abs().max().item()


def test_alpha_is_1_at_first_and_then_0_and_weighs_the_loss_between() -> None:
    target = AlphaFlowTarget()
    assert target.alpha(0.0) == 1.0
    assert target.alpha(0.5) == 0.5
    assert target.alpha(1.0) == 0.0
    x, t, r = points()
    pair = velocity(x, t) + 1
    torch.testing.assert_close(target(wrong, x, pair, t, r, alphas(len(t), 1.0)), pair)
    assert target.weight(torch.tensor([0.0, 0.25, 1.0])).tolist() == [1.0, 0.25, 1.0]


def test_a_shortcut_is_the_mean_of_two_halves() -> None:
    x, t, r = points()
    middle = (t + r) / 2
    first = wrong(x, t, middle)
    expected = (first + wrong(x - (t - middle)[:, None] * first, middle, r)) / 2
    target = ShortcutTarget(shortest=1e-6)
    torch.testing.assert_close(target(wrong, x, velocity(x, t), t, r, alphas(len(t), 0.5)), expected)


@pytest.mark.parametrize("target", [MeanFlowTarget(), ImprovedTarget(), ShortcutTarget()], ids=lambda t: t.kind)
def test_the_loss_is_stationary_at_the_average_velocity(target: MeanTarget) -> None:
    """Its gradient in a shift of u is the mean of u - target over pairs, which is 0."""
    n = 100_000
    noise = stream(1, n)
    batch = Batch(data=MEAN + STD * stream(0, n).normal(0), labels=(), noise=noise, progress=0.3)
    loss = MeanFlowLoss(
        field=lambda net: net, target=target, coupling=IndependentCoupling(), pairs=SortedTimes(), power=0.0
    )
    t, r, alpha, z = loss.draw(batch)
    x, pair = straight_path(batch.data, z, t)
    residual = average(x, t, r) - torch.where((r < t)[:, None], target(average, x, pair, t, r, alpha), pair)
    assert (residual.mean(0).abs() < 5 * residual.std(0) / math.sqrt(n)).all()
    torch.testing.assert_close(loss(average, batch.data, t, r, alpha, z), residual.square().sum(1))


def test_the_adaptive_weight_divides_by_the_error_and_has_no_gradient() -> None:
    n, shift = 50, torch.zeros(2, dtype=torch.float64, requires_grad=True)
    batch = Batch(data=stream(0, n).normal(0), labels=(), noise=stream(1, n), progress=0.0)
    plain, weighted = (
        MeanFlowLoss(
            field=lambda net: lambda x, t, r: average(x, t, r) + shift,
            target=MeanFlowTarget(),
            coupling=IndependentCoupling(),
            pairs=SortedTimes(),
            power=power,
        )
        for power in (0.0, 0.75)
    )
    drawn = plain.draw(batch)
    error, found = plain(None, batch.data, *drawn), weighted(None, batch.data, *drawn)
    torch.testing.assert_close(found, error / (error + 1e-3) ** 0.75)
    (gradient,) = torch.autograd.grad(found.sum(), shift, retain_graph=True)
    (expected,) = torch.autograd.grad((error / (error.detach() + 1e-3) ** 0.75).sum(), shift)
    torch.testing.assert_close(gradient, expected)


def test_nobody_is_warned_of_what_torch_does_inside() -> None:
    code = """
import torch
from dxmi.training.mean_flows import along_the_path
x, t = torch.ones(3, 2), torch.ones(3)
print(along_the_path(lambda x, t, r: x.square() * t[:, None], x, t, t, x)[0, 0].item())
"""
    ended = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=True)
    assert (float(ended.stdout), ended.stderr) == (3.0, "")


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_steps_along_the_average_velocity_are_exact(num_steps: int) -> None:
    z = stream(4, 30).normal(0)
    *_, x = MeanSteps(num_steps=num_steps).states(average, z)
    torch.testing.assert_close(x, MEAN + STD * z)


def test_sorted_times_are_apart_in_their_share() -> None:
    n = 20_000
    t, r = SortedTimes(apart=0.6).draw(stream(5, n))
    assert (r <= t).all()
    assert float((r < t).double().mean()) == pytest.approx(0.6, abs=5 * 0.5 / math.sqrt(n))


def test_dyadic_times_are_multiples_of_their_distance() -> None:
    n = 20_000
    t, r = DyadicTimes(levels=4).draw(stream(6, n))
    apart = r < t
    assert float(apart.double().mean()) == pytest.approx(0.25, abs=5 * 0.5 / math.sqrt(n))
    length = (t - r)[apart]
    assert sorted(length.unique().tolist()) == [0.125, 0.25, 0.5, 1.0]
    assert (t[apart] % length == 0).all()
    assert (r >= 0).all()
    assert (t <= 1).all()
