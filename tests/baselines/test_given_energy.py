"""Samplers of given energies: what they learn of a Gaussian, their weights, and what they refuse."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dxbench.api import Compute, NoData, Problem, Training
from dxbench.api.streams import RandomStreams
from dxbench.drawing.counting import CountedEnergy
from dxbench.errors import UsageError
from dxbench.metrics.points.given_energy import effective_share, log_mean_exp
from dxbench.plugins.configure import configure
from dxbench.plugins.registry import load_method, load_task

TRAINED = ("adjoint_sampling", "dds", "dxdp")
LOG_Z = math.log(2 * math.pi * 0.25)


def moved(x: Tensor) -> Tensor:
    """E of N((0.3, -0.3), 0.25 I), not normalised."""
    return (x - torch.tensor([0.3, -0.3])).square().sum(dim=1) / (2 * 0.25)


def start(name: str, **settings: Any) -> tuple[Training, CountedEnergy]:
    energy = CountedEnergy(moved, event_shape=(2,), task="moved")
    problem = Problem(task="moved", event_shape=(2,), data=NoData(), data_std=0.8, energy=energy)
    method = load_method(name)
    config = configure(method, load_task("gmm9"), "default", settings)
    compute, rng = Compute(device="cpu", threads=1), RandomStreams(name, "moved", 0)
    return method().start(problem, config, compute=compute, rng=rng), energy


def weights_of(training: Training, n: int = 2000) -> Any:
    weighted = training.model().weighted_sampler
    assert weighted is not None
    with torch.no_grad():
        return weighted(torch.arange(n))[1].double().numpy()


@pytest.mark.parametrize("name", TRAINED)
def test_training_brings_a_sampler_to_a_gaussian(name: str) -> None:
    rates = {"lr": 0.01, **({"value_lr": 0.02} if name == "dxdp" else {})}
    training, _ = start(name, iterations=300, batch_size=128, num_steps=4, sigma_min=0.2, hidden=16, depth=1, **rates)
    before = weights_of(training)
    for _ in range(training.total_steps):
        training.step()
    after = weights_of(training)
    assert effective_share(before) < 0.6
    assert effective_share(after) > 0.8
    assert log_mean_exp(after) == pytest.approx(LOG_Z, abs=0.05)
    assert after.mean() > before.mean()
    samples = training.model().sample(torch.arange(4000))
    assert samples.mean(dim=0).tolist() == pytest.approx([0.3, -0.3], abs=0.1)
    assert samples.std(dim=0).tolist() == pytest.approx([0.5, 0.5], rel=0.2)


@pytest.mark.parametrize(("name", "calls", "gradients"), [("adjoint_sampling", 1, 1), ("dds", 1, 1), ("dxdp", 2, 1)])
def test_an_iteration_calls_the_energy_as_often_as_is_said(name: str, calls: int, gradients: int) -> None:
    training, energy = start(name, batch_size=8, num_steps=3, hidden=8)
    training.step()
    assert (energy.calls, energy.gradients) == (8 * calls, 8 * gradients)


def test_adjoint_sampling_calls_the_energy_once_in_so_many_steps_and_keeps_the_last_samples() -> None:
    training, energy = start("adjoint_sampling", batch_size=8, num_steps=3, hidden=8, passes=4, replay=2)
    for _ in range(13):
        training.step()
    assert (energy.calls, energy.gradients) == (8 * 4, 8 * 4)
    kept = training.kept.kept  # type: ignore[attr-defined]
    assert kept.shape == (16, 2, 2)
    end_var = (2.0 * 0.8) ** 2
    points = kept[:, 0].clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(moved(points).sum(), points)
    assert torch.allclose(kept[:, 1], gradient - kept[:, 0] / end_var, atol=1e-5)


def test_adjoint_sampling_cuts_long_gradients() -> None:
    training, _ = start("adjoint_sampling", batch_size=64, num_steps=3, hidden=8, max_slope=0.5)
    training.step()
    sizes = training.kept.kept[:64, 1].square().mean(dim=1).sqrt()  # type: ignore[attr-defined]
    assert float(sizes.max()) == pytest.approx(0.5 / 0.8)


@pytest.mark.parametrize(
    ("energy", "said"),
    [
        (lambda x: x.square(), r"gave \[8, 2\] for 8 points, wanted \[8\]; sum over all axes but the first"),
        (lambda x: x.sum(dim=1) * torch.nan, "is NaN at 8 of 8 finite points; an energy may be infinite, where p is 0"),
        (lambda x: (x - x.detach()).norm(dim=1).sqrt(), "no finite gradient at 8 of 8 samples.* let the energy go on"),
    ],
)
def test_an_energy_that_adjoint_sampling_cannot_use_is_refused_with_the_remedy(energy: Any, said: str) -> None:
    counted = CountedEnergy(energy, event_shape=(2,), task="broken")
    problem = Problem(task="broken", event_shape=(2,), data=NoData(), data_std=0.8, energy=counted)
    method = load_method("adjoint_sampling")
    config = configure(method, load_task("gmm9"), "default", {"batch_size": 8, "num_steps": 3, "hidden": 8})
    compute, rng = Compute(device="cpu", threads=1), RandomStreams("adjoint_sampling", "broken", 0)
    with pytest.raises(ValueError, match=said):
        method().start(problem, config, compute=compute, rng=rng).step()


@pytest.mark.parametrize("name", TRAINED)
def test_drawing_calls_no_energy_and_weighing_one_per_sample(name: str) -> None:
    training, energy = start(name, batch_size=8, num_steps=3, hidden=8)
    training.step()
    model, seeds = training.model(), torch.arange(5)
    with energy.apart(), torch.no_grad():
        samples = model.sample(seeds)
        assert energy.total == 0
        assert model.weighted_sampler is not None
        weighed, weights = model.weighted_sampler(seeds)
        assert energy.total == 5
        assert torch.equal(weighed, samples)
        assert torch.allclose(model.weighted_sampler(seeds[2:3])[1], weights[2:3], atol=1e-4)


def test_langevin_counts_one_call_and_one_gradient_per_step() -> None:
    training, energy = start("langevin", num_steps=7)
    training.model().sample(torch.arange(3))
    assert (energy.calls, energy.gradients) == (3 * 8, 3 * 8)
    training, energy = start("hmc", num_steps=2, leapfrog_steps=3)
    training.model().sample(torch.arange(3))
    assert (energy.calls, energy.gradients) == (3 * 7, 3 * 7)


def test_an_unadjusted_chain_that_diverges_says_what_to_do() -> None:
    training, _ = start("langevin", num_steps=400, step_size=5.0, adjusted=False)
    with pytest.raises(ValueError, match="the method has diverged; lower its rates or its steps"):
        training.model().sample(torch.arange(3))


def test_levels_that_do_not_fall_are_refused() -> None:
    with pytest.raises(UsageError, match=r"sigma_max=0\.1 has to be above sigma_min=0\.5"):
        start("dds", sigma_max=0.1, sigma_min=0.5)
