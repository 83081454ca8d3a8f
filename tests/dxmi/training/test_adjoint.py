"""The lean adjoint against finite differences, and adjoint matching against the closed form of a linear problem."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from dxmi.energies.gradients import gradient_of
from dxmi.sampling.noise import SeededNoise, StreamNoise
from dxmi.sampling.noising import NoisingChain, PinnedChain
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.rollouts import rollout
from dxmi.sampling.trajectory import Trajectory
from dxmi.training.adjoint import RandomWalk, adjoint_matching_loss, lean_adjoint, local_rollout, replayed_rollout

TARGET, TEMPERATURE = torch.tensor([1.5, -0.5], dtype=torch.float64), 0.7
STD = torch.tensor([0.9, 0.6, 0.4], dtype=torch.float64)


class Affine(nn.Module):
    """x -> a_k x + c_k, coordinate by coordinate."""

    def __init__(self, slope: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.slope, self.shift = nn.Parameter(slope.clone()), nn.Parameter(shift.clone())

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        return self.slope[k] * x + self.shift[k]


class Bent(nn.Module):
    """A net whose Jacobian depends on the point and on the step and mixes coordinates."""

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        return torch.tanh(x.flip(1) * (1.0 + 0.5 * k[:, None]) + 0.3) + 0.2 * x.square()


def policy_of(net: nn.Module, std: Tensor, *, start_std: float = 1.0) -> GaussianPolicy:
    """x_{k+1} = net(x_k, k) + std_k eps."""
    policy = GaussianPolicy(
        net,
        event_shape=(2,),
        scale=torch.zeros(len(std)),
        gain=torch.ones(len(std)),
        std=std,
        trainable_std=[True] * len(std),
        start_std=start_std,
    )
    return policy.double()


def seeded(n: int) -> SeededNoise:
    return SeededNoise(seeds=torch.arange(n), event_shape=(2,), dtype=torch.float64)


def quadratic(precision: Tensor, x: Tensor) -> Tensor:
    return 0.5 * (precision * (x - TARGET).square()).sum(dim=1)


def test_a_local_rollout_is_a_rollout_whose_steps_do_not_see_each_other() -> None:
    policy = policy_of(Affine(torch.full((3, 2), 0.7).double(), torch.full((3, 2), 0.1).double()), STD)
    drawn = local_rollout(policy, seeded(5))
    torch.testing.assert_close(drawn.chains.states, rollout(policy, seeded(5)).states, atol=1e-6, rtol=0)
    assert not drawn.chains.states.requires_grad
    (slope,) = torch.autograd.grad(drawn.means[2].sum(), policy.net.slope)
    assert slope[:2].abs().max() == 0
    torch.testing.assert_close(slope[2], drawn.chains.states[2].sum(dim=0))


def test_the_lean_adjoint_is_the_slope_of_the_starts_chain_by_finite_differences() -> None:
    start, step = policy_of(Bent(), STD), 1e-5
    chains = rollout(policy_of(Affine(torch.full((3, 2), 0.4).double(), torch.zeros(3, 2).double()), STD), seeded(4))
    precision = torch.tensor([1.0, 2.5], dtype=torch.float64)
    end = gradient_of(lambda x: quadratic(precision, x), chains.samples)
    adjoint, means = lean_adjoint(start, chains, end)

    def index(step: int) -> Tensor:
        return torch.full((4,), step)

    kicks = []
    for k in range(3):
        torch.testing.assert_close(means[k], start.mean(chains.states[k], index(k)))
        kicks.append(chains.states[k + 1] - means[k])

    def cost_from(x: Tensor, k: int) -> Tensor:
        """The cost at the end of the start's chain from x at step k, every later step kicked as these chains were."""
        for later in range(k, 3):
            x = start.mean(x, index(later)) + kicks[later]
        return quadratic(precision, x)

    for k in (1, 2, 3):
        for i in range(2):
            kick = torch.zeros(2, dtype=torch.float64)
            kick[i] = step
            there, back = (cost_from(chains.states[k] + sign * kick, k) for sign in (1, -1))
            torch.testing.assert_close(adjoint[k - 1][:, i], (there - back) / (2 * step), atol=1e-8, rtol=1e-6)


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A chain x_{k+1} = slope_k x_k + shift_k + std_k eps from N(0, start_std^2 I), coordinate by coordinate."""

    slope: Tensor
    shift: Tensor
    std: Tensor
    start_std: float

    def end(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of x_K."""
        mean, var = torch.zeros(2, dtype=torch.float64), torch.full((2,), self.start_std**2, dtype=torch.float64)
        for slope, shift, std in zip(self.slope, self.shift, self.std, strict=True):
            mean, var = slope * mean + shift, slope**2 * var + std**2
        return mean, var

    def policy(self) -> GaussianPolicy:
        return policy_of(Affine(self.slope, self.shift), self.std, start_std=self.start_std)


def start(*, memoryless: bool) -> Linear:
    """The first step of a memoryless start forgets where it began."""
    slope = torch.tensor([[0.0 if memoryless else 1.1] * 2, [0.8, 0.8], [1.2, 1.2]], dtype=torch.float64)
    shift = torch.tensor([[0.3, 0.0], [-0.2, 0.1], [0.0, 0.4]], dtype=torch.float64)
    return Linear(slope=slope, shift=shift, std=STD, start_std=1.3)


def optimum(start: Linear, precision: Tensor) -> Linear:
    """The best Gaussian chain, by dynamic programming: V_k(x) = p/2 x^2 - q x + constant, backwards from E."""
    p, q, slopes, shifts, stds = precision, precision * TARGET, [], [], []
    for slope, shift, std in reversed(list(zip(start.slope, start.shift, start.std, strict=True))):
        pull = TEMPERATURE / std**2
        slopes.append(pull * slope / (p + pull))
        shifts.append((q + pull * shift) / (p + pull))
        stds.append((TEMPERATURE / (p.mean() + pull)).sqrt())
        p, q = pull * p / (p + pull), pull * q / (p + pull)
        p, q = slope**2 * p, slope * (q - p * shift)
    best = [torch.stack(parts[::-1]) for parts in (slopes, shifts, stds)]
    return Linear(slope=best[0], shift=best[1], std=best[2], start_std=start.start_std)


def matched(begin: Linear, precision: Tensor, *, iterations: int) -> GaussianPolicy:
    """A policy that begins at the start and is regressed on lean adjoints."""
    policy, before = begin.policy(), begin.policy()
    noise = StreamNoise(batch_size=500, event_shape=(2,), generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(policy.parameters(), lr=0.03)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, iterations)
    for _ in range(iterations):
        drawn = local_rollout(policy, noise)
        end = gradient_of(lambda x: quadratic(precision, x), drawn.chains.samples)
        adjoint, means = lean_adjoint(before, drawn.chains, end)
        loss = adjoint_matching_loss(
            drawn,
            policy.step_log_stds(),
            adjoint=adjoint,
            start_means=means,
            start_log_std=before.step_log_stds(),
            temperature=TEMPERATURE,
        )
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()
        decay.step()
    return policy


@pytest.mark.parametrize("memoryless", [True, False])
def test_a_linear_problem_is_solved_as_dynamic_programming_solves_it(*, memoryless: bool) -> None:
    begin, precision = start(memoryless=memoryless), torch.tensor([2.0, 0.8], dtype=torch.float64)
    best, found = optimum(begin, precision), matched(begin, precision, iterations=700)
    assert isinstance(found.net, Affine)
    # Whatever x_0 is: where the start forgets it, its slope of 0 is the best one.
    torch.testing.assert_close(found.net.slope.detach(), best.slope, atol=0.02, rtol=0)
    torch.testing.assert_close(found.net.shift.detach(), best.shift, atol=0.02, rtol=0)
    torch.testing.assert_close(found.step_log_stds().detach().exp(), best.std, atol=0.02, rtol=0)


@pytest.mark.parametrize("memoryless", [True, False])
def test_the_best_chain_ends_in_the_tilted_law_of_a_memoryless_start_and_of_no_other(*, memoryless: bool) -> None:
    """One curvature in all directions lets the exact steps have one std each, and so be among the Gaussian ones."""
    begin, precision = start(memoryless=memoryless), torch.tensor([1.4, 1.4], dtype=torch.float64)
    mean, var = begin.end()
    tilted_var = 1 / (1 / var + precision / TEMPERATURE)
    tilted_mean = tilted_var * (mean / var + precision * TARGET / TEMPERATURE)
    mean, var = optimum(begin, precision).end()
    assert torch.allclose(mean, tilted_mean) is memoryless
    assert torch.allclose(var, tilted_var) is memoryless


def test_the_gradient_is_that_of_the_objective_where_steps_are_independent() -> None:
    """A chain of one step has no adjoint to carry back: E[E(x_1)] + temperature KL, differentiated by autograd."""
    begin = Linear(slope=torch.ones(1, 2).double(), shift=torch.zeros(1, 2).double(), std=STD[:1], start_std=1.0)
    precision = torch.tensor([2.0, 0.8], dtype=torch.float64)
    policy = policy_of(Affine(torch.full((1, 2), 0.6).double(), torch.full((1, 2), 0.2).double()), 0.7 * STD[:1])
    drawn, before = local_rollout(policy, seeded(50)), begin.policy()
    adjoint, means = lean_adjoint(before, drawn.chains, precision * (drawn.chains.samples - TARGET))
    loss = adjoint_matching_loss(
        drawn,
        policy.step_log_stds(),
        adjoint=adjoint,
        start_means=means,
        start_log_std=before.step_log_stds(),
        temperature=TEMPERATURE,
    )
    x, k = drawn.chains.states[0], torch.zeros(50, dtype=torch.int64)
    laws = [torch.distributions.Normal(of.mean(x, k), of.log_std(k).exp()[:, None]) for of in (policy, before)]
    divergence = torch.distributions.kl_divergence(*laws).sum(dim=1)
    objective = quadratic(precision, policy.draw(x, k, drawn.eps[0])) + TEMPERATURE * divergence
    parameters = list(policy.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(loss.mean(), parameters), torch.autograd.grad(objective.mean(), parameters)
    )


def test_a_random_walk_moves_by_its_noise_alone() -> None:
    walk = RandomWalk(torch.tensor([0.5, 0.2]), event_shape=(2,), start_std=0.0)
    chains = rollout(walk, SeededNoise(seeds=torch.arange(3), event_shape=(2,)))
    assert torch.equal(chains.states[0], torch.zeros(3, 2))
    adjoint, means = lean_adjoint(walk, chains, torch.ones(3, 2))
    assert torch.equal(adjoint, torch.ones(2, 3, 2))
    assert torch.equal(means, chains.states[:-1])


def test_replayed_chains_have_the_noise_by_which_the_policy_would_make_them() -> None:
    policy = policy_of(Bent(), STD)
    own = rollout(policy, seeded(50))
    replayed = replayed_rollout(policy, own)
    noise = torch.stack([seeded(50).normal(k + 1) for k in range(len(STD))])
    assert torch.allclose(replayed.eps, noise, atol=1e-6)
    assert torch.allclose(replayed.means + STD[:, None, None] * noise, own.states[1:], atol=1e-6)


def test_on_bridges_to_its_own_samples_a_policy_learns_the_best_chain_of_a_gaussian() -> None:
    """Slopes, shifts and stds that a policy learns of N(TARGET, I / precision), against their closed form."""
    precision = 4.0
    chain = PinnedChain.of(NoisingChain.geometric(3, sigma_max=1.2, sigma_min=0.5, data_std=1.0))
    walk_var, rest, end = chain.var, chain.sigmas[1:].square(), chain.sigmas[0].square()
    curvature = precision - 1 / end
    here = 1 / walk_var + curvature / (1 + curvature * rest)
    slope, std = 1 / (walk_var * here), here.rsqrt()
    shift = (precision / (1 + curvature * rest) / here)[:, None] * TARGET

    net = Affine(torch.ones(3, 2).double(), torch.zeros(3, 2).double())
    policy = policy_of(net, walk_var.sqrt(), start_std=0.0)
    noise = StreamNoise(
        batch_size=256, event_shape=(2,), generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    optimiser = torch.optim.Adam(policy.parameters(), lr=0.05)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 500)
    for _ in range(500):
        samples = rollout(policy, noise).samples
        gradient = precision * (samples - TARGET) - samples / end
        replayed = replayed_rollout(policy, Trajectory(states=chain.bridge(samples, noise)))
        loss = adjoint_matching_loss(
            replayed,
            policy.step_log_stds(),
            adjoint=gradient.expand_as(replayed.means),
            start_means=replayed.chains.states[:-1],
            start_log_std=0.5 * walk_var.log(),
            temperature=1.0,
            weights=1 / walk_var,
        )
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()
        decay.step()
    assert torch.allclose(policy.step_log_stds().exp(), std, rtol=0.03)
    assert torch.allclose(net.slope[1:], slope[1:, None].expand(-1, 2), atol=0.05)  # x_0 is 0: its slope moves nothing
    assert torch.allclose(net.shift, shift, atol=0.05)
