"""ddpo: its losses against closed forms and enumerations, its groups, its rewards, and what is refused."""

import math
from typing import Any

import pytest
import torch
from dxbench_baselines.ddpo import DDPO, DDPOConfig, FixedReward
from gaussian_task import CRITIC, MEAN, errors, small, start
from pydantic import ValidationError
from torch import Tensor, nn

from dxmi.backbones.few_steps import FastDPMSteps
from dxmi.backbones.small import DDPMMLP
from dxmi.sampling.policies import GaussianPolicy
from dxmi.training.policy_gradient import clipped_loss, group_relative, policy_gradient_loss, step_divergence


def numbers(n: int, seed: int) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_while_the_policy_is_what_drew_the_gradient_is_that_of_the_score_function() -> None:
    log_prob, advantage = numbers(9, 0).requires_grad_(True), numbers(9, 1)
    clipped = torch.autograd.grad(clipped_loss(log_prob, log_prob.detach(), advantage, clip=0.2).sum(), log_prob)
    plain = torch.autograd.grad(policy_gradient_loss(log_prob, advantage).sum(), log_prob)
    torch.testing.assert_close(clipped, plain)


@pytest.mark.parametrize(
    ("ratio", "advantage", "slope"),
    [
        (1.1, 2.0, 2.2),  # within the clip: rho A
        (1.5, 2.0, 3.0),  # a costly step that became likelier goes on being pushed down
        (0.5, 2.0, 0.0),  # a costly step that has become rarer by the clip is let be
        (1.5, -2.0, 0.0),  # a cheap step that has become likelier by the clip is let be
        (0.5, -2.0, -1.0),  # a cheap step that became rarer goes on being pulled up
    ],
)
def test_a_step_that_has_gone_as_far_as_the_clip_has_no_slope(ratio: float, advantage: float, slope: float) -> None:
    log_prob = torch.tensor([math.log(ratio)], requires_grad=True)
    loss = clipped_loss(log_prob, torch.zeros(1), torch.tensor([advantage]), clip=0.2)
    (found,) = torch.autograd.grad(loss.sum(), log_prob)
    assert found.item() == pytest.approx(slope, abs=1e-6)


def test_advantages_are_relative_to_their_group() -> None:
    cost = torch.tensor([1.0, 3.0, 10.0, 10.0, -1.0, 1.0])
    torch.testing.assert_close(group_relative(cost, 2, scaled=False), torch.tensor([-1.0, 1.0, 0.0, 0.0, -1.0, 1.0]))
    root = 1 / 2**0.5
    torch.testing.assert_close(
        group_relative(cost, 2, scaled=True), torch.tensor([-root, root, 0, 0, -root, root]), atol=1e-5, rtol=0
    )
    whole = group_relative(cost, 6, scaled=True)
    assert whole.mean().item() == pytest.approx(0, abs=1e-6)
    assert whole.std().item() == pytest.approx(1, abs=1e-5)


class Shift(nn.Module):
    """A net (x, k) -> a constant."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        return self.value.expand_as(x)


def policy(shift: float, stds: list[float]) -> GaussianPolicy:
    free = [True] * len(stds)
    return GaussianPolicy.from_scratch(Shift(shift), event_shape=(3,), std=torch.tensor(stds), trainable_std=free)


def test_the_divergence_of_a_step_is_that_of_gaussians() -> None:
    here, there = policy(0.4, [0.5, 0.2]), policy(-0.1, [0.3, 0.2])
    x, k = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 1, 0])
    laws = [
        torch.distributions.Normal(of.mean(x, k), of.log_std(k).exp()[:, None].expand(4, 3)) for of in (here, there)
    ]
    expected = torch.distributions.kl_divergence(*laws).sum(dim=1)
    torch.testing.assert_close(step_divergence(here, there, x, k), expected)
    torch.testing.assert_close(step_divergence(here, here, x, k), torch.zeros(4), atol=1e-6, rtol=0)
    step_divergence(here, there, x, k).sum().backward()
    assert here.net.value.grad is not None
    assert there.net.value.grad is None


# --- the trainings ---------------------------------------------------------------------------------------------------

START = small(DDPMMLP, lr=3e-3, ema_decay=0.98, iterations=300)
BRIEF: dict[str, Any] = {
    "num_steps": 3, "critic": CRITIC["critic"], "critic_warmup": 1, "batch_size": 8, "iterations": 4,
    "backbone": small(DDPMMLP, iterations=2), "ema_decay": 0.9,
}  # fmt: skip


def begun(**settings: Any) -> Any:
    training: Any = start(DDPO, DDPOConfig(**BRIEF | settings))
    for _ in range(2):
        training.step()
    training.begin()
    return training


def test_chains_of_a_group_begin_at_one_noise_and_others_at_their_own() -> None:
    noise = begun(group_size=4).initial_noise()
    assert torch.equal(noise[0], noise[3])
    assert torch.equal(noise[4], noise[7])
    assert not torch.equal(noise[0], noise[4])
    assert len(begun().initial_noise().unique(dim=0)) == 8


def test_a_learned_reward_goes_on_and_a_fixed_one_is_held_once_the_policy_moves() -> None:
    for reward, moves in ({}, True), ({"reward": FixedReward()}, False):
        training = begun(**reward)
        training.done = 1  # the policy's first iteration
        before = {name: value.clone() for name, value in training.cost.state_dict().items()}
        steps = {name: value.clone() for name, value in training.steps.state_dict().items()}
        training.advance()
        assert any(not torch.equal(v, before[n]) for n, v in training.cost.state_dict().items()) == moves
        assert any(not torch.equal(v, steps[n]) for n, v in training.steps.state_dict().items())


def test_the_policy_waits_for_its_reward() -> None:
    training = begun()
    steps = {name: value.clone() for name, value in training.steps.state_dict().items()}
    assert set(training.advance()) == {"critic_loss"}
    assert all(torch.equal(value, steps[name]) for name, value in training.steps.state_dict().items())


def test_a_strong_penalty_keeps_the_policy_at_its_start() -> None:
    moved = []
    for kl in (0.0, 1e4):
        training = begun(kl=kl, policy_lr=1e-3, iterations=20, policy_passes=2)
        for _ in range(20):
            training.step()
        x, k = torch.randn(64, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(64, dtype=torch.int64)
        moved.append(step_divergence(training.steps, training.before, x, k).mean().item())
    assert moved[1] < 0.1 * moved[0]


def test_the_fixed_reward_is_the_log_ratio_of_data_to_start() -> None:
    """Weighted by its exponential, samples of the start have the mean of the data."""
    settings = {"batch_size": 256, "iterations": 400, "critic_warmup": 400, "critic_lr": 2e-3, "backbone": START}
    training: Any = start(DDPO, DDPOConfig(**BRIEF | settings, reward=FixedReward()))
    for _ in range(training.total_steps):
        training.step()
    scale = training.begun.data.scale
    x = training.model().start.sample(torch.arange(4000))
    with torch.no_grad():
        weight = (-training.cost.energy(x * scale)).exp()[:, None]
    off = (weight * (x - MEAN)).sum(0) / weight.sum()
    assert off.abs().max() < 0.5 * (x - MEAN).mean(0).abs().max() + 0.05


@pytest.mark.parametrize(
    "settings", [{}, {"group_size": 4, "policy_passes": 3, "kl": 0.01}], ids=["batch", "groups, clip and penalty"]
)
def test_a_gaussian_is_drawn_better_than_by_the_start(settings: dict[str, Any]) -> None:
    config = DDPOConfig(
        **CRITIC, num_steps=4, backbone=START, sampler=FastDPMSteps(last_std=0.1, min_std=0.1), critic_warmup=50,
        iterations=300, policy_lr=5e-4, ema_decay=0.97, **settings,
    )  # fmt: skip
    training = start(DDPO, config)
    for _ in range(training.total_steps):
        training.step()
    model = training.model()
    assert model.start is not None
    seeds = torch.arange(4000)
    after, before = (sum(errors(of.sample(seeds))) for of in (model, model.start))
    assert after < 0.7 * before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"group_size": 3, "batch_size": 8}, "no whole groups of 3"),
        ({"group_size": 1}, "greater than or equal to 2"),
        ({"reward": {"kind": "fixed"}, "critic_warmup": 0}, "learned before the policy moves"),
        ({"reward": {"kind": "given"}}, "given"),
        ({"clip": 1.5}, "less than 1"),
        ({"num_steps": 1}, "greater than or equal to 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DDPOConfig.model_validate(settings)
