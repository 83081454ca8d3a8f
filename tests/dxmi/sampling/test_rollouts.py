import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dxmi.models import PolicySampler, ValueGuidance
from dxmi.nets.mlp import StepMLP
from dxmi.sampling.noise import SeededNoise, StreamNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.rollouts import chain, rollout, sample
from dxmi.sampling.trajectory import Trajectory

STDS = (0.8, 0.3, 0.1)


class Pull(nn.Module):
    """A residual step c_k (m - x)."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Parameter(torch.tensor([0.5, 0.3, 0.7]))
        self.register_buffer("m", torch.tensor([2.0, -1.0]))

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        return self.c[k][:, None] * (self.m - x)


class Bowl(nn.Module):
    """V_k(x) = (k + 1) / 2 ||x - t||^2."""

    def __init__(self) -> None:
        super().__init__()
        self.t = nn.Parameter(torch.tensor([1.0, 1.0], dtype=torch.float64))

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return (self,)

    def value(self, x: Tensor, k: Tensor) -> Tensor:
        return (k + 1) / 2 * (x - self.t).square().sum(dim=1)

    def energy(self, x: Tensor) -> Tensor:
        return self.value(x, torch.full((len(x),), len(STDS)))


@dataclass
class Recorded:
    """Noise of a stream, with the draws that were asked for."""

    stream: StreamNoise
    asked: list[int] = field(default_factory=list)
    given: list[Tensor] = field(default_factory=list)

    def normal(self, draw: int) -> Tensor:
        self.asked.append(draw)
        self.given.append(self.stream.normal(draw))
        return self.given[-1]


def pulling_policy() -> GaussianPolicy:
    return GaussianPolicy.from_scratch(
        Pull(), event_shape=(2,), std=torch.tensor(STDS), trainable_std=[True] * 3
    ).double()


def stream(n: int, seed: int = 0) -> StreamNoise:
    generator = torch.Generator().manual_seed(seed)
    return StreamNoise(batch_size=n, event_shape=(2,), generator=generator, dtype=torch.float64)


def test_a_chain_starts_at_draw_zero_and_takes_draw_k_plus_one_at_step_k():
    noise, policy = Recorded(stream(5)), pulling_policy()
    states = list(chain(policy, noise))
    assert noise.asked == [0, 1, 2, 3]
    assert torch.equal(states[0], noise.given[0])
    for step in range(3):
        drawn = policy.draw(states[step], torch.full((5,), step), noise.given[step + 1])
        torch.testing.assert_close(states[step + 1], drawn.detach())


def test_states_have_the_moments_of_the_linear_gaussian_chain():
    n, policy = 100_000, pulling_policy()
    states = rollout(policy, stream(n)).states
    c, m = policy.net.c.detach(), policy.net.m
    mean, var = torch.zeros(2, dtype=torch.float64), 1.0
    for step in range(4):
        assert ((states[step].mean(0) - mean).abs() < 5 * math.sqrt(var / n)).all()
        assert ((states[step].var(0) / var - 1).abs() < 5 * math.sqrt(2 / n)).all()
        if step < 3:
            mean, var = mean + c[step] * (m - mean), (1 - c[step].item()) ** 2 * var + STDS[step] ** 2


def test_sample_is_the_last_state_of_the_rollout():
    policy = pulling_policy()
    trajectory = rollout(policy, stream(6))
    assert torch.equal(sample(policy, stream(6)), trajectory.samples)
    assert trajectory.num_steps == 3
    assert not torch.equal(sample(policy, stream(6, seed=1)), trajectory.samples)


def test_a_rollout_carries_no_gradient():
    assert not rollout(pulling_policy(), stream(2)).states.requires_grad
    assert not sample(pulling_policy(), stream(2), guidance=ValueGuidance(value=Bowl(), strength=0.1)).requires_grad


def test_samples_of_seeds_do_not_depend_on_the_batch():
    policy, seeds = pulling_policy(), torch.arange(50, 81)

    def samples(some: Tensor) -> Tensor:
        return sample(policy, SeededNoise(seeds=some, event_shape=(2,), dtype=torch.float64))

    torch.testing.assert_close(
        torch.cat([samples(part) for part in seeds.split(7)]), samples(seeds), rtol=1e-14, atol=1e-14
    )
    assert (samples(seeds) != samples(seeds + 100)).all()


def test_guidance_goes_down_the_value_by_strength_times_std_times_the_gradient():
    value, x = Bowl(), torch.tensor([[3.0, 0.0], [-1.0, 1.5]], dtype=torch.float64)
    guided = ValueGuidance(value=value, strength=0.2)(x, 1, 0.5)
    gradient = 3 * (x - value.t.detach())  # of V_2, the value of the state that step 1 reaches
    torch.testing.assert_close(guided, x - 0.2 * 0.5 * gradient)
    level = torch.full((2,), 2)
    assert (value.value(guided, level) < value.value(x, level)).all()
    assert value.t.grad is None


def test_every_guided_step_uses_its_own_std_and_the_value_it_reaches():
    policy, strength, noise = pulling_policy(), 0.3, Recorded(stream(5))
    states = list(chain(policy, noise, guidance=ValueGuidance(value=Bowl(), strength=strength)))
    x = noise.given[0]
    for step, std in enumerate(STDS):
        x = policy.draw(x, torch.full((5,), step), noise.given[step + 1]).detach()
        x = x - strength * std * (step + 2) * (x - 1.0)
        # The std passes through a float32 parameter.
        torch.testing.assert_close(states[step + 1], x, rtol=1e-6, atol=1e-6)


def test_no_strength_is_no_guidance():
    policy = pulling_policy()
    guided = sample(policy, stream(6), guidance=ValueGuidance(value=Bowl(), strength=0.0))
    assert torch.equal(guided, sample(policy, stream(6)))


def test_guided_samples_have_a_lower_value():
    policy, value = pulling_policy(), Bowl()
    guided = sample(policy, stream(500), guidance=ValueGuidance(value=value, strength=0.5))
    assert value.energy(guided).mean() < value.energy(sample(policy, stream(500))).mean()


def test_transitions_are_stacked_step_by_step():
    states = torch.arange(4 * 5 * 2, dtype=torch.float64).reshape(4, 5, 2)
    move = Trajectory(states=states).transitions((2, 0))
    assert move.k.tolist() == [2] * 5 + [0] * 5
    assert torch.equal(move.x, torch.cat([states[2], states[0]]))
    assert torch.equal(move.x_next, torch.cat([states[3], states[1]]))


def test_a_noiseless_last_step_is_the_mean_of_the_last_step_and_nothing_else_changes():
    policy = GaussianPolicy.from_scratch(
        StepMLP(dim_in=2, dim_out=2, num_levels=3, hidden=4, depth=1, generator=torch.Generator().manual_seed(0)),
        event_shape=(2,),
        std=torch.tensor([0.5, 0.4, 0.3]),
        trainable_std=[True] * 3,
    )
    seeds = torch.arange(6)
    loud, quiet = (
        PolicySampler(policy=policy, noiseless_last_step=noiseless).trajectory(seeds) for noiseless in (False, True)
    )
    assert torch.equal(quiet[:-1], loud[:-1])
    with torch.no_grad():
        mean = policy.mean(loud[-2], torch.full((6,), 2))
    torch.testing.assert_close(quiet[-1], mean)
    assert not torch.allclose(loud[-1], mean)
