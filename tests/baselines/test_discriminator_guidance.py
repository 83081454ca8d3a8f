"""discriminator_guidance: its discriminator against a ratio of Gaussians, its samples, and what they cost."""

from typing import Any

import pytest
import torch
from dxbench_baselines.discriminator_guidance import DiscriminatorGuidance, DiscriminatorGuidanceConfig
from gaussian_task import COVARIANCE, MEAN, errors, small, start
from pydantic import ValidationError
from torch import Tensor

from dxbench.drawing.draw import draw_samples
from dxmi.backbones.small import EDMMLP

BRIEF: dict[str, Any] = {
    "backbone": small(EDMMLP, iterations=20, ema_decay=0.9),
    "nfe": 3,
    "synthetic": 40,
    "iterations": 4,
    "batch_size": 16,
}


def guided(**settings: Any) -> Any:
    training: Any = start(DiscriminatorGuidance, DiscriminatorGuidanceConfig(**BRIEF | settings))
    for _ in range(training.total_steps - training.config.iterations):
        training.step()
    return training


def finish(training: Any) -> Any:
    while training.done < training.iterations:
        training.step()
    return training.model()


def test_the_discriminator_learns_the_ratio_of_noisy_data_and_noisy_samples() -> None:
    """Data and samples are Gaussians, so that the gradient of the ratio is known at every noise level."""
    training = guided(iterations=1000, batch_size=256, lr=3e-3, ema_decay=0.99, synthetic=20_000)
    scale = training.begun.data.scale
    mean, covariance = scale * MEAN, scale**2 * COVARIANCE
    wrong_mean, wrong = mean + 0.2, 1.5 * covariance
    draws = torch.distributions.MultivariateNormal(wrong_mean, wrong)
    torch.manual_seed(0)
    training.synthetic = (draws.sample((20_000,)),)
    finish(training)
    for level in (0.1, 0.3, 1.0):
        noise = level**2 * torch.eye(2)
        x = torch.distributions.MultivariateNormal(mean, covariance + noise).sample((2000,)).requires_grad_()
        energy = training.critic.average.energy(x, torch.full((2000,), level))
        (slope,) = torch.autograd.grad(energy.sum(), x)
        expected = score(x, wrong_mean, wrong + noise) - score(x, mean, covariance + noise)
        assert (slope - expected).square().mean() < 0.25 * expected.square().mean()


def score(x: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    return (mean - x.detach()) @ covariance.inverse()


def test_guidance_mends_a_denoiser_that_was_trained_too_briefly() -> None:
    settings: dict[str, Any] = {
        "nfe": 25,
        "synthetic": 10_000,
        "iterations": 600,
        "batch_size": 256,
        "lr": 3e-3,
        "ema_decay": 0.99,
    }
    model = finish(guided(backbone=small(EDMMLP, iterations=100, ema_decay=0.9), **settings))
    seeds = torch.arange(8000)
    (_, before), (_, after) = (errors(one.sample(seeds)) for one in (model.start, model))
    assert before > 0.5
    assert after < 0.2 * before


def test_without_weight_the_start_is_sampled_and_with_it_something_else() -> None:
    training, seeds = guided(weight=0.0), torch.arange(6)
    model = finish(training)
    assert torch.equal(model.sample(seeds), model.start.sample(seeds))
    training.config = training.config.model_copy(update={"weight": 1.0})
    assert not torch.equal(training.model().sample(seeds), model.sample(seeds))


def test_a_guided_pass_counts_three_times() -> None:
    model = finish(guided(nfe=5))
    for one, passes in ((model, 3), (model.start, 1)):
        _, nfe = draw_samples(one, 6, event_shape=(2,), first_seed=0, batch_size=4, progress=lambda text: None)
        assert nfe == 5 * passes


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        DiscriminatorGuidanceConfig(**BRIEF | {"weight": -1.0})
