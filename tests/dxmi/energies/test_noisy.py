"""Energies under noise: the gradient's denoiser and both losses against a Gaussian's closed forms."""

import math

import pytest
import torch
from torch import Tensor, nn

from dxmi.energies.noisy import GradientDenoiser, GuidedDenoiser, classification_loss, score_matching_loss
from dxmi.nets.potentials import NoisyPotential

STD = 0.7
SIGMAS = torch.tensor([0.1, 0.5, 2.0, 8.0], dtype=torch.float64)


class GaussianPotential(nn.Module):
    """-ln of N(0, std^2 + sigma^2) in one dimension, up to a constant; `tilt` times ln sigma is added."""

    sigma_data = 0.5

    def __init__(self, *, std: float = STD, tilt: float = 0.0) -> None:
        super().__init__()
        self.std, self.tilt = nn.Parameter(torch.tensor(std, dtype=torch.float64)), tilt

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        variance = sigma.square() + self.std.square()
        return (x.flatten(1).square().sum(1) / variance + variance.log()) / 2 + self.tilt * sigma.log()


def draws(n: int, seed: int) -> tuple[Tensor, Tensor]:
    data, eps = torch.randn(2, n, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return STD * data, eps


def test_the_denoiser_of_a_gaussians_energy_is_its_posterior_mean() -> None:
    x, _ = draws(5, 0)
    sigma = torch.full((5,), 0.4, dtype=torch.float64)
    expected = STD**2 / (STD**2 + 0.4**2) * x
    with torch.no_grad():
        torch.testing.assert_close(GradientDenoiser(GaussianPotential())(x, sigma), expected)


def test_score_matching_is_least_at_the_data_and_its_gradient_is_that_of_finite_differences() -> None:
    data, eps = draws(200_000, 1)
    sigma = torch.full((len(data),), 0.5, dtype=torch.float64)

    def loss(std: float) -> float:
        return score_matching_loss(GaussianPotential(std=std), data, sigma, eps).mean().item()

    assert loss(STD) < min(loss(0.9 * STD), loss(1.1 * STD))
    potential = GaussianPotential(std=0.6)
    mean = score_matching_loss(potential, data, sigma, eps).mean()
    (slope,) = torch.autograd.grad(mean, potential.std)
    assert slope.item() == pytest.approx((loss(0.6 + 1e-5) - loss(0.6 - 1e-5)) / 2e-5, rel=1e-5)


def test_telling_levels_is_least_at_the_true_energies_and_sees_their_constants() -> None:
    data, eps = draws(100_000, 2)

    def loss(potential: nn.Module) -> float:
        return classification_loss(potential, data, eps, SIGMAS).mean().item()

    least = loss(GaussianPotential())
    assert least < min(loss(GaussianPotential(std=0.8)), loss(GaussianPotential(std=0.6)))
    assert least < min(loss(GaussianPotential(tilt=0.1)), loss(GaussianPotential(tilt=-0.1)))


def test_the_cross_entropy_is_that_of_bayes_rule() -> None:
    data, eps = draws(4, 3)
    found = classification_loss(GaussianPotential(), data, eps, SIGMAS)
    for row in range(4):
        x = data[row] + SIGMAS[row] * eps[row]
        densities = [torch.exp(-(x**2) / (2 * (STD**2 + s**2))) / torch.sqrt(STD**2 + s**2) for s in SIGMAS]
        expected = -torch.log(densities[row] / torch.stack(densities).sum())
        assert found[row].item() == pytest.approx(expected.item())


def test_score_matching_does_not_see_the_weights_of_far_modes_and_telling_levels_does() -> None:
    """Two modes at -10 and 10, of weights 0.8 and 0.2, and a model that has them the other way round at all levels."""

    def mixture(first: float) -> nn.Module:
        class Mixture(nn.Module):
            sigma_data = 0.5

            def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
                variance = sigma.square() + 1
                parts = [
                    math.log(weight) - ((x.flatten(1)[:, 0] - centre).square() / variance + variance.log()) / 2
                    for weight, centre in ((first, -10.0), (1 - first, 10.0))
                ]
                return -torch.logsumexp(torch.stack(parts), dim=0)

        return Mixture()

    generator = torch.Generator().manual_seed(4)
    data = torch.randn(40_000, 1, generator=generator, dtype=torch.float64)
    sides = torch.rand(40_000, 1, generator=generator, dtype=torch.float64) < 0.8
    data = data + torch.where(sides, -10.0, 10.0)
    eps = torch.randn(40_000, 1, generator=generator, dtype=torch.float64)
    low = torch.full((len(data),), 0.5, dtype=torch.float64)
    right, wrong = mixture(0.8), mixture(0.2)
    matching = [score_matching_loss(one, data, low, eps).mean().item() for one in (right, wrong)]
    assert matching[1] == pytest.approx(matching[0], rel=1e-6)
    levels = torch.tensor([0.5, 5.0, 20.0, 80.0], dtype=torch.float64)
    telling = [classification_loss(one, data, eps, levels).mean().item() for one in (right, wrong)]
    assert telling[0] < telling[1] - 0.01


def test_without_its_perceptron_the_energy_is_that_of_a_gaussian_under_noise() -> None:
    net = NoisyPotential(2, hidden=8, depth=1, octaves=1, sigma_data=0.5, generator=torch.Generator().manual_seed(0))
    nn.init.zeros_(net.net.output.weight)
    nn.init.zeros_(net.net.output.bias)
    x, sigma = torch.randn(3, 2, generator=torch.Generator().manual_seed(1)), torch.tensor([0.1, 1.0, 10.0])
    variance = sigma**2 + 0.25
    normal = torch.distributions.Normal(0.0, variance.sqrt()[:, None])
    torch.testing.assert_close(net(x, sigma), -normal.log_prob(x).sum(1) - math.log(2 * math.pi))


def test_the_ratio_of_two_gaussians_turns_the_denoiser_of_one_into_that_of_the_other() -> None:
    own, data = GaussianPotential(std=0.9), GaussianPotential()
    x, _ = draws(5, 4)
    sigma = torch.full((5,), 0.4, dtype=torch.float64)
    with torch.no_grad():
        guided = GuidedDenoiser(GradientDenoiser(own), lambda x, sigma: data(x, sigma) - own(x, sigma), weight=1.0)
        torch.testing.assert_close(guided(x, sigma), GradientDenoiser(data)(x, sigma))
