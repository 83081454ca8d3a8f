import math
from collections.abc import Callable
from itertools import pairwise

import jaxtyping
import pytest
import torch
from torch import Tensor, nn

from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.rollouts import sample
from dxmi.schedules.levels import VPSchedule

MEAN, STD = torch.tensor([1.5, -0.5, 2.0], dtype=torch.float64), 0.4


class ExactNoise(nn.Module):
    """E[eps | x_k] of data N(MEAN, STD^2 I)."""

    def __init__(self, schedule: VPSchedule) -> None:
        super().__init__()
        self.alpha_bar = schedule.alpha_bar

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        signal = self.alpha_bar[k][:, None]
        return (1 - signal).sqrt() * (x - signal.sqrt() * MEAN) / (signal * STD**2 + 1 - signal)


class Function(nn.Module):
    """A function of x and k as a net without parameters."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        return self.function(x, k)


class NoiseOfKnownData(nn.Module):
    """The eps that leads from the known `data` to x_k."""

    def __init__(self, schedule: VPSchedule, data: Tensor) -> None:
        super().__init__()
        self.alpha_bar, self.data = schedule.alpha_bar, data

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        signal = self.alpha_bar[k][:, None]
        return (x - signal.sqrt() * self.data) / (1 - signal).sqrt()


def ancestral(schedule: VPSchedule, net: nn.Module, *, last_std: float = 1e-4) -> GaussianPolicy:
    return GaussianPolicy.from_noise_predictor(
        net,
        schedule,
        event_shape=(3,),
        last_std=last_std,
        trainable_std=[False] * schedule.num_steps,
    ).double()


def linear_policy(num_steps: int = 3, *, trainable_std: list[bool] | None = None) -> GaussianPolicy:
    """x_{k+1} = x_k + W x_k + b + std_k eps, whatever k, in float64."""

    class IgnoringK(nn.Linear):
        def forward(self, x: Tensor, k: Tensor) -> Tensor:
            return super().forward(x)

    net = IgnoringK(2, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.2, -0.5], [0.4, 0.1]]))
        net.bias.copy_(torch.tensor([0.3, -0.2]))
    return GaussianPolicy.from_scratch(
        net,
        event_shape=(2,),
        std=torch.tensor([0.2, 0.5, 1.7])[:num_steps],
        trainable_std=trainable_std or [True] * num_steps,
    ).double()


def rows(k: int, n: int) -> Tensor:
    return torch.full((n,), k)


def normal(n: int, dim: int, seed: int = 0) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("schedule", [VPSchedule.linear(12), VPSchedule.cosine(12)], ids=["linear", "cosine"])
def test_ancestral_step_is_the_closed_form_posterior(schedule):
    """Mean and std of q(x_{k+1} | x_k, x_data) by adding precisions, at every step but the deterministic last."""
    data, x = normal(40, 3, seed=1), 2 * normal(40, 3, seed=2)
    policy = ancestral(schedule, NoiseOfKnownData(schedule, data))
    for step in range(schedule.num_steps - 1):
        k = rows(step, 40)
        above, alpha = schedule.alpha_bar[step + 1], schedule.alphas[step]
        precision = 1 / (1 - above) + alpha / (1 - alpha)
        mean = (above.sqrt() * data / (1 - above) + alpha.sqrt() * x / (1 - alpha)) / precision
        torch.testing.assert_close(policy.mean(x, k), mean, rtol=1e-5, atol=1e-5)  # scale, gain were rounded to float32
        torch.testing.assert_close(policy.log_std(k), -0.5 * precision.log().expand(40), rtol=1e-5, atol=1e-6)


def test_last_ancestral_step_ends_in_the_data_with_the_given_std():
    schedule = VPSchedule.linear(12)
    data = normal(40, 3)
    policy = ancestral(schedule, NoiseOfKnownData(schedule, data), last_std=1e-4)
    torch.testing.assert_close(policy.mean(normal(40, 3, seed=2), rows(11, 40)), data, rtol=1e-4, atol=1e-4)
    assert policy.log_std(torch.tensor([11])).exp().item() == pytest.approx(1e-4, rel=1e-5)


def chain_moments(policy: GaussianPolicy) -> tuple[Tensor, Tensor]:
    """Mean and std of x_K for a policy affine in x and alike in all dimensions, from x_0 ~ N(0, I)."""
    mean, var = torch.zeros(1, 3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    for step in range(policy.num_steps):
        k = rows(step, 1)
        slope = policy.mean(mean + 1, k) - policy.mean(mean, k)
        mean, var = policy.mean(mean, k), slope[0] ** 2 * var + policy.log_std(k).exp() ** 2
    return mean[0], var.sqrt()


def test_ancestral_sampling_with_the_exact_noise_converges_to_the_data_in_first_order():
    errors = []
    for num_steps in (100, 200, 400, 800):
        schedule = VPSchedule.linear(num_steps)
        mean, std = chain_moments(ancestral(schedule, ExactNoise(schedule)))
        errors.append(abs(std[0].item() - STD))
        assert (mean - MEAN).abs().max() < 0.01
    assert errors[-1] < 0.02 * STD
    for coarse, fine in pairwise(errors):
        assert 1.7 < coarse / fine < 2.3


def test_ancestral_samples_have_the_mean_and_std_of_the_data():
    schedule, n = VPSchedule.linear(200), 4000
    noise = StreamNoise(batch_size=n, event_shape=(3,), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    policy = ancestral(schedule, ExactNoise(schedule))
    x = sample(policy, noise)
    mean, std = chain_moments(policy)
    assert ((x.mean(0) - mean).abs() < 5 * std / math.sqrt(n)).all()
    assert ((x.std(0) - std).abs() < 5 * std / math.sqrt(2 * n)).all()
    assert ((x.mean(0) - MEAN).abs() < 0.04).all()
    assert ((x.std(0) / STD - 1).abs() < 0.08).all()


def test_draws_have_the_mean_and_exp_log_std_as_std():
    policy, n = linear_policy(), 100_000
    x = torch.tensor([[0.7, -1.2]], dtype=torch.float64).expand(n, 2)
    for step in range(3):
        k = rows(step, n)
        y = policy.draw(x, k, normal(n, 2, seed=step))
        std = policy.log_std(k)[0].exp()
        assert ((y.mean(0) - policy.mean(x, k)[0]).abs() < 5 * std / math.sqrt(n)).all()
        assert ((y.std(0) / std - 1).abs() < 5 / math.sqrt(2 * n)).all()


def test_log_std_is_the_log_of_the_std_it_was_built_with():
    policy = linear_policy()
    k = torch.tensor([2, 0, 1, 2])
    torch.testing.assert_close(
        policy.log_std(k).exp(), torch.tensor([1.7, 0.2, 0.5, 1.7], dtype=torch.float64), rtol=1e-6, atol=0
    )


def test_rows_of_different_steps_take_their_own_coefficients():
    policy = GaussianPolicy(
        Function(lambda x, k: 10.0 * (k[:, None] + 1) * torch.ones_like(x)),
        event_shape=(2,),
        scale=torch.tensor([1.0, 2.0, 3.0]),
        gain=torch.tensor([0.5, -1.0, 0.25]),
        std=torch.tensor([1.0, 2.0, 4.0]),
        trainable_std=[False] * 3,
    )
    x, eps = torch.ones(3, 2), torch.tensor([[1.0, 0.0]] * 3)
    drawn = policy.draw(x, torch.tensor([2, 0, 1]), eps)
    torch.testing.assert_close(drawn, torch.tensor([[14.5, 10.5], [7.0, 6.0], [-16.0, -18.0]]))


def test_events_of_several_axes_are_scaled_per_sample():
    net = Function(lambda x, k: torch.zeros_like(x))
    std = torch.tensor([0.5, 2.0])
    policy = GaussianPolicy.from_scratch(net, event_shape=(2, 3, 3), std=std, trainable_std=[True, True])
    x, eps = torch.zeros(2, 2, 3, 3), torch.ones(2, 2, 3, 3)
    drawn = policy.draw(x, torch.tensor([1, 0]), eps)
    torch.testing.assert_close(drawn, torch.tensor([2.0, 0.5])[:, None, None, None] * eps)


def test_reparametrised_gradients_are_the_analytic_ones():
    """f = ||x_next||^2: df/db = 2 x_next, df/dW = 2 x_next x^T, df/dlog std = 2 x_next . std eps."""
    policy = linear_policy()
    x, eps, k = normal(7, 2, seed=1), normal(7, 2, seed=2), rows(1, 7)
    x_next = policy.draw(x, k, eps)
    x_next.square().sum().backward()
    y = x_next.detach()
    torch.testing.assert_close(policy.net.bias.grad, 2 * y.sum(0))
    torch.testing.assert_close(policy.net.weight.grad, 2 * y.T @ x)
    std = policy.log_std(torch.tensor([1])).exp().detach()
    expected = torch.tensor([0.0, (2 * y * std * eps).sum().item(), 0.0], dtype=torch.float64)
    torch.testing.assert_close(policy.learned_log_std.grad, expected)


def test_std_that_is_not_trainable_stays_and_gets_no_gradient():
    policy = linear_policy(trainable_std=[True, False, True])
    policy.step_log_stds().sum().backward()
    assert policy.learned_log_std.grad.tolist() == [1.0, 0.0, 1.0]
    with torch.no_grad():
        policy.learned_log_std.fill_(0.0)
    torch.testing.assert_close(
        policy.step_log_stds().exp(), torch.tensor([1.0, 0.5, 1.0], dtype=torch.float64), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("short", ["scale", "gain", "std", "trainable_std"])
def test_sequences_of_unequal_length_are_refused(short, monkeypatch):
    # The shape checks of the test session would answer before the policy does.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    arguments = {name: torch.ones(3) for name in ("scale", "gain", "std")} | {"trainable_std": [True] * 3}
    arguments[short] = arguments[short][:2]
    with pytest.raises(ValueError, match="one entry per step"):
        GaussianPolicy(nn.Identity(), event_shape=(2,), **arguments)


@pytest.mark.parametrize("bad", [0.0, -0.1, math.nan])
def test_std_that_is_not_positive_is_refused(bad):
    with pytest.raises(ValueError, match="std must be positive"):
        GaussianPolicy.from_scratch(
            nn.Identity(), event_shape=(2,), std=torch.tensor([0.5, bad]), trainable_std=[True, True]
        )


def test_a_deterministic_last_step_is_refused():
    schedule = VPSchedule.linear(4)
    with pytest.raises(ValueError, match="std must be positive"):
        ancestral(schedule, ExactNoise(schedule), last_std=0.0)
