"""mmd: the discrepancy against closed forms of Gaussians, its gradient through the chain, and what is refused."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from dxbench_baselines.mmd import MMD, MMDConfig
from dxbench_baselines.starts.presets import DDPM
from gaussian_task import errors, small, start
from pydantic import ValidationError
from torch import Tensor

from dxmi.backbones.small import DDPMMLP
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.samplers import euler
from dxmi.training.kernels import GaussianKernel, LaplaceKernel, PolynomialKernel, distances, unbiased_mmd2

KERNELS = [GaussianKernel(width=0.5), LaplaceKernel(width=0.5), PolynomialKernel()]


def cloud(n: int, seed: int, *shape: int) -> Tensor:
    return torch.randn(n, *(shape or (2,)), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian_mmd2(m: float, s: float, mu: float, t: float, width: float) -> float:
    """MMD^2 of N(m, s^2) and N(mu, t^2) on the line under a Gaussian kernel."""

    def mean(apart: float, variance: float) -> float:
        total = width**2 + variance
        return width / math.sqrt(total) * math.exp(-(apart**2) / (2 * total))

    return mean(0, 2 * s**2) + mean(0, 2 * t**2) - 2 * mean(m - mu, s**2 + t**2)


def test_the_discrepancy_of_gaussians_is_the_closed_form_and_without_bias() -> None:
    m, s, mu, t, width = 0.4, 0.7, -0.1, 1.1, 0.6
    found = [
        unbiased_mmd2(m + s * cloud(60, 2 * i, 1), mu + t * cloud(80, 2 * i + 1, 1), GaussianKernel(width=width)).item()
        for i in range(600)
    ]
    error = np.std(found) / math.sqrt(len(found))
    assert np.mean(found) == pytest.approx(gaussian_mmd2(m, s, mu, t, width), abs=4 * error)
    assert error < 0.002


@pytest.mark.parametrize("kernel", KERNELS, ids=["gaussian", "laplace", "polynomial"])
def test_the_discrepancy_of_one_law_is_zero_on_average_and_not_always_positive(kernel: Any) -> None:
    found = [unbiased_mmd2(cloud(30, 2 * i), cloud(30, 2 * i + 1), kernel).item() for i in range(400)]
    assert np.mean(found) == pytest.approx(0, abs=4 * np.std(found) / 20)
    assert min(found) < 0 < max(found)


@pytest.mark.parametrize("kernel", KERNELS, ids=["gaussian", "laplace", "polynomial"])
def test_the_gradient_of_the_discrepancy_is_that_of_finite_differences(kernel: Any) -> None:
    data = cloud(7, 1)
    samples = cloud(5, 0).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: unbiased_mmd2(x, data, kernel), samples)


def test_equal_points_leave_a_finite_gradient() -> None:
    samples = torch.zeros(4, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(unbiased_mmd2(samples, cloud(4, 0).float(), LaplaceKernel(width=1.0)), samples)
    assert gradient.isfinite().all()


def test_the_polynomial_kernel_is_kids() -> None:
    x, y = cloud(4, 0, 1, 2, 2), cloud(3, 1, 1, 2, 2)
    torch.testing.assert_close(PolynomialKernel()(x, y), (x.flatten(1) @ y.flatten(1).T / 4 + 1) ** 3)


def test_a_cubic_kernel_does_not_see_a_fourth_moment_and_a_gaussian_one_does() -> None:
    """Two laws of equal moments up to the third: +-1, and a three-point law of variance 1."""
    two = torch.tensor([-1.0, 1.0]).repeat(300)[:, None]
    three = torch.tensor([-(2.0**0.5), 0.0, 0.0, 2.0**0.5]).repeat(150)[:, None]
    assert abs(unbiased_mmd2(two, three, PolynomialKernel()).item()) < 0.05
    assert unbiased_mmd2(two, three, GaussianKernel(width=0.3)).item() > 0.2


def test_a_lost_sample_is_not_pulled_back() -> None:
    """The discrepancy is quadratic in what is out of place: a sample far from all others feels nothing."""
    samples = torch.cat([cloud(39, 1), torch.tensor([[30.0, 0.0]], dtype=torch.float64)]).requires_grad_(True)
    (gradient,) = torch.autograd.grad(unbiased_mmd2(samples, cloud(40, 0), GaussianKernel(width=1.0)), samples)
    assert gradient[-1].abs().max() < 1e-12 < gradient[:-1].abs().min()


def test_distances_are_those_of_numpy() -> None:
    x, y = cloud(6, 0, 3), cloud(4, 1, 3)
    torch.testing.assert_close(distances(x, y), torch.from_numpy(np.linalg.norm(x[:, None] - y[None], axis=2)))


BRIEF: dict[str, Any] = {"batch_size": 16, "iterations": 3, "backbone": small(DDPMMLP, iterations=20, ema_decay=0.9)}


def tuned_start(**settings: Any) -> Any:
    training: Any = start(MMD, MMDConfig(**BRIEF | settings))
    for _ in range(training.total_steps - training.config.iterations):
        training.step()
    return training


def test_the_gradient_runs_back_through_every_step_of_the_chain() -> None:
    """The derivative along a direction of the weights is that of the whole sampler's discrepancy."""
    training = tuned_start(num_steps=3)
    training.begin()
    denoiser = training.denoiser.double()
    data = cloud(16, 5)

    def discrepancy() -> Tensor:
        noise = StreamNoise(
            batch_size=16, event_shape=(2,), generator=torch.Generator().manual_seed(1), dtype=torch.float64
        )
        return unbiased_mmd2(euler()(denoiser, training.levels, noise), data, GaussianKernel(width=0.5))

    weights = list(denoiser.parameters())
    gradients = torch.autograd.grad(discrepancy(), weights)
    draws = torch.Generator().manual_seed(2)
    direction = [torch.randn(w.shape, generator=draws, dtype=torch.float64) for w in weights]
    expected, step, ends = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True)), 1e-6, []
    for sign in (1, -2):
        with torch.no_grad():
            for weight, along in zip(weights, direction, strict=True):
                weight += sign * step * along
            ends.append(discrepancy())
    torch.testing.assert_close((ends[0] - ends[1]) / (2 * step), expected, rtol=1e-4, atol=1e-7)


def test_the_start_is_ddim_in_as_many_steps() -> None:
    training = tuned_start()
    training.begin()
    model, seeds = training.model(), torch.arange(5)
    assert model.start is not None
    assert torch.equal(model.sample(seeds), model.start.sample(seeds))
    training.step()
    training.student.average.load_state_dict(training.student.module.state_dict())
    assert not torch.equal(training.model().sample(seeds), model.start.sample(seeds))


def test_a_gaussian_is_drawn_better_than_by_the_start() -> None:
    config = MMDConfig(
        num_steps=3, batch_size=128, iterations=300, lr=5e-4, ema_decay=0.97,
        kernels=(GaussianKernel(width=0.2), GaussianKernel(width=1.0)),
        backbone=small(DDPMMLP, lr=3e-3, ema_decay=0.98, iterations=300),
    )  # fmt: skip
    training = start(MMD, config)
    for _ in range(training.total_steps):
        training.step()
    model, seeds = training.model(), torch.arange(10_000)
    assert model.start is not None
    (mean, covariance), (mean_before, covariance_before) = (errors(of.sample(seeds)) for of in (model, model.start))
    assert mean < 0.5 * mean_before
    assert covariance < 0.5 * covariance_before


def test_data_are_used_even_from_official_weights() -> None:
    assert MMDConfig(backbone=DDPM, init="official").uses_data()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_steps": 1}, "greater than or equal to 2"),
        ({"num_steps": 2000}, "steps"),
        ({"batch_size": 1}, "greater than or equal to 2"),
        ({"kernels": []}, "at least 1 item"),
        ({"backbone": {"network": {"kind": "edm_mlp"}}}, "edm_mlp"),
    ],
    ids=["one step", "more steps than the chain has", "one sample", "no kernel", "a denoiser of another kind"],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        MMDConfig.model_validate(settings)
