"""diffclf: its levels, a Gaussian's energy and samples, and what is refused."""

from typing import Any

import pytest
import torch
from dxbench_baselines.diffclf import DiffCLF, DiffCLFConfig
from gaussian_task import COVARIANCE, MEAN, GaussianData, errors, samples, start
from pydantic import ValidationError

from dxbench.api import Compute, Problem, RandomStreams
from dxbench.drawing.draw import draw_samples
from dxbench.engine.parts import UnmetNeed, problem_for
from dxbench.plugins.registry import load_method, load_task

BRIEF: dict[str, Any] = {"hidden": 32, "depth": 2, "octaves": 0, "batch_size": 64, "iterations": 4, "steps": 3}


def training_of(**settings: Any) -> Any:
    return start(DiffCLF, DiffCLFConfig(**BRIEF | settings))


def test_levels_reach_from_the_energys_to_the_largest_and_are_new_in_each_batch() -> None:
    training = training_of(levels=5, energy_sigma=0.02, sigma_max=50.0)
    first, second = training.told_apart(), training.told_apart()
    assert len(first) == 5
    assert first.min().item() == pytest.approx(0.02)
    assert first.max().item() == pytest.approx(50.0)
    assert not torch.equal(first, second)


def test_a_gaussians_energy_and_samples_are_found() -> None:
    training = training_of(hidden=32, iterations=1200, batch_size=256, lr=3e-3, ema_decay=0.99, steps=18)
    for _ in range(training.total_steps):
        training.step()
    mean_error, covariance_error = errors(samples(training, 8000))
    assert mean_error < 0.08
    assert covariance_error < 0.12
    energy = training.model().energy
    assert energy is not None
    truth = torch.distributions.MultivariateNormal(MEAN, COVARIANCE)
    x = truth.sample((500,))
    with torch.no_grad():
        gap = energy(x) + truth.log_prob(x)
    assert gap.std().item() < 0.3  # a constant is free


def test_a_pass_of_the_denoiser_counts_twice() -> None:
    model = training_of(steps=5).model()
    _, nfe = draw_samples(model, 6, event_shape=(2,), first_seed=0, batch_size=4, progress=lambda text: None)
    assert nfe == 2 * (2 * 5 - 1)


def test_images_are_refused_with_the_reason() -> None:
    method, task = load_method("diffclf"), load_task("cifar10_subset")
    with pytest.raises(UnmetNeed, match="diffclf needs vectors, or images of at most 1,024 values"):
        problem_for(task, method, method.Config(), Compute(device="cpu", threads=1))


def test_a_task_of_given_classes_is_refused_before_anything_is_trained() -> None:
    problem = Problem(task="classes", event_shape=(2,), data=GaussianData(), data_std=1.4, num_classes=3)
    with pytest.raises(ValueError, match="the energy knows no classes and classes draws samples of 3"):
        DiffCLF().start(
            problem,
            DiffCLFConfig(**BRIEF),
            compute=Compute(device="cpu", threads=1),
            rng=RandomStreams("diffclf", 0),
        )


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"levels": 1}, "greater than or equal to 2"),
        ({"classification": -1.0}, "greater than or equal to 0"),
        ({"energy_sigma": 0.0}, "greater than 0"),
        ({"sigma_min": 90.0}, "sigma_min=90 has to be below sigma_max=80"),
        ({"energy_sigma": 90.0}, "energy_sigma=90 has to be below sigma_max=80"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        DiffCLFConfig(**BRIEF | settings)
