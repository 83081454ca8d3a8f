"""adjoint_matching: what its sampler departs from, what its energy says, costs, a small Gaussian, and refusals."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from dxbench_baselines.adjoint_matching import AdjointMatching, AdjointMatchingConfig, DensityEnergy
from dxbench_baselines.dxmi import DxMI
from dxbench_baselines.recipes.adjoint_matching import gaussians8_pretrained
from dxbench_baselines.recipes.dxmi import gaussians8_pretrained as dxmi_pretrained
from dxbench_baselines.starts.presets import SCRATCH
from gaussian_task import COVARIANCE, MEAN, NET, errors, samples, small, start
from pydantic import ValidationError

from dxbench.drawing.counting import counted_passes
from dxmi.backbones.few_steps import StridedSteps
from dxmi.backbones.small import StepsMLP
from dxmi.energies.critics import MLPCritic
from dxmi.sampling.noise import SeededNoise
from dxmi.sampling.rollouts import sample
from dxmi.training.adjoint import RandomWalk

FROM_NOTHING = replace(SCRATCH, network=replace(SCRATCH.network, **NET))
BRIEF: dict[str, Any] = {
    "backbone": FROM_NOTHING, "energy": MLPCritic(**NET), "batch_size": 128, "num_steps": 3, "iterations": 600,
    "policy_lr": 2e-3, "energy_lr": 3e-3, "ema_decay": 0.98,
}  # fmt: skip
TAUGHT: dict[str, Any] = {
    "backbone": small(StepsMLP, lr=3e-3, ema_decay=0.98, iterations=150), "sampler": StridedSteps(last_std=0.3),
}  # fmt: skip


def begun(**settings: Any) -> Any:
    return start(AdjointMatching, AdjointMatchingConfig(**BRIEF | settings))


def trained(**settings: Any) -> Any:
    training = begun(**settings)
    for _ in range(training.total_steps):
        training.step()
    return training


@pytest.mark.parametrize("memoryless", [False, True])
def test_a_gaussian_is_drawn_from_scratch(*, memoryless: bool) -> None:
    mean, covariance = errors(samples(trained(memoryless=memoryless, tau=0.05)))
    assert mean < 0.1
    assert covariance < 0.1


def test_the_energy_of_a_memoryless_sampler_is_that_of_the_data() -> None:
    """Against x^T P x / 2, P the inverse covariance; the learned part lacks the random walk's curvature."""
    training = trained(memoryless=True, tau=0.1)
    model = training.model()
    x = samples(training, 500)
    away = x - MEAN
    truth = 0.5 * (away @ COVARIANCE.inverse() * away).sum(dim=1)
    for energy, slope in (model.energy, 1.0), (training.energy.average.energy, 0.8):
        with torch.no_grad():
            (_, both), (_, own) = torch.cov(torch.stack([energy(x) / model.temperature, truth]))
        assert both / own == pytest.approx(slope, abs=0.1)
    assert torch.corrcoef(torch.stack([model.energy(x).detach(), truth]))[0, 1] > 0.93


def test_a_start_is_tuned() -> None:
    training = trained(**TAUGHT)
    noise = SeededNoise(seeds=torch.arange(10_000), event_shape=(2,))
    of_start = sample(training.before, noise)
    assert training.model().temperature is None
    after, before = errors(samples(training)), errors(of_start)
    assert sum(after) < 0.7 * sum(before)


def test_steps_from_scratch_depart_from_a_random_walk_and_others_from_their_start() -> None:
    training = begun(memoryless=True, sampler={"kind": "residual", "std": 0.3})
    assert isinstance(training.before, RandomWalk)
    assert training.before.start_std == training.sampler.start_std == 0
    energy = training.model().energy
    assert isinstance(energy, DensityEnergy)
    assert energy.var.item() == pytest.approx(3 * 0.3**2)
    training = begun(**TAUGHT)
    training.start.step()
    x, k = torch.randn(5, 2), torch.tensor([0, 1, 2, 1, 0])
    torch.testing.assert_close(training.before.mean(x, k), training.few_steps(training.begun.average).mean(x, k))


def test_a_sampler_that_is_held_by_a_hot_penalty_stays_a_random_walk() -> None:
    moved = []
    for tau in (0.1, 1e5):
        training = trained(tau=tau, iterations=50)
        x, k = torch.randn(64, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(64, dtype=torch.int64)
        moved.append((training.sampler.mean(x, k) - x).abs().mean().item())
    assert moved[1] < 0.2 * moved[0]


def test_the_sampler_waits_for_its_energy_and_held_stds_stay() -> None:
    training = begun(head_start=1, learn_std=False)
    training.begin()
    steps = {name: value.clone() for name, value in training.sampler.state_dict().items()}
    assert set(training.step()) == {"energy_data", "energy_samples"}
    assert all(torch.equal(value, steps[name]) for name, value in training.sampler.state_dict().items())
    assert "matching_loss" in training.step()
    after = training.sampler.state_dict()
    assert torch.equal(after["learned_log_std"], steps["learned_log_std"])
    assert any(not torch.equal(value, steps[name]) for name, value in after.items())


def test_the_pretrained_preset_takes_as_many_network_passes_as_dxmis() -> None:
    totals = []
    for method, config in (AdjointMatching, gaussians8_pretrained()), (DxMI, dxmi_pretrained()):
        untaught = replace(config.backbone, pretraining=replace(config.backbone.pretraining, iterations=0))
        training: Any = start(method, config.model_copy(update={"backbone": untaught}))
        if method is DxMI:
            nets = [training.learner.policy.net, training.learner.value.net]
        else:
            nets = [training.sampler.net, training.before.net, training.cost_to_go.net]
        with counted_passes(nets) as counter:
            training.step()
        totals.append(counter.rows * config.iterations)
    assert totals[0] == pytest.approx(totals[1], rel=0.02)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tau": 0.0}, "greater than 0"),
        ({"num_steps": 0}, "greater than 0"),
        ({"memoryless": True, **TAUGHT}, "StridedSteps begin where their network was trained to"),
        ({"backbone": {"network": {"kind": "ddgan_unet"}}, "sampler": {"kind": "ddgan"}, "num_steps": 4}, "DDGAN"),
        ({"energy": None}, "energy"),
        ({"reward": "aesthetic"}, "reward"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AdjointMatchingConfig.model_validate(settings)
