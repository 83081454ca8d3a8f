"""Choosing among candidates: weights where values are known in closed form, what resampling mends, what it costs."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dxbench.drawing.counting import counted_passes
from dxmi.energies.given import GivenEnergyValue
from dxmi.models import BestOf, Objective, PolicySampler, ResampledPolicy, Resampling
from dxmi.nets.mlp import StepMLP
from dxmi.sampling import GaussianPolicy, NoisingChain, SeededNoise, rollout
from dxmi.sampling.noise import candidate_seeds
from dxmi.training import PathCost
from dxmi.training.costs import RunningCost

STD, DIM, STEPS = 1.5, 3, 4
CHAIN = NoisingChain.geometric(STEPS, sigma_max=4.0, sigma_min=0.3, data_std=STD)
VELOCITY = CHAIN.var.float()
PATH_COST = PathCost()


class Gaussian(nn.Module):
    """E of N(0, STD^2 I), not normalised."""

    def forward(self, x: Tensor) -> Tensor:
        return x.square().sum(dim=1) / (2 * STD**2)


@dataclass(frozen=True)
class Scaled:
    """A value in other units."""

    value_of: Any
    factor: float

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return (self.value_of.energy_net, self.value_of.net)

    def value(self, x: Tensor, k: Tensor) -> Tensor:
        return self.factor * self.value_of.value(x, k)

    def energy(self, x: Tensor) -> Tensor:
        return self.factor * self.value_of.energy(x)


def zero_net(dim_out: int) -> StepMLP:
    generator = torch.Generator().manual_seed(0)
    return StepMLP(
        dim_in=DIM, dim_out=dim_out, num_levels=STEPS, hidden=8, depth=1, generator=generator, zero_output=True
    )


def policy(widened: float = 1.0) -> GaussianPolicy:
    """The reversal of the chain of a Gaussian, exact but for its noise."""
    found = CHAIN.policy(zero_net(DIM), event_shape=(DIM,))
    with torch.no_grad():
        found.learned_log_std.add_(torch.tensor(widened).log())
    return found


def solved(factor: float = 1.0, cost: Any = PATH_COST, temperature: float = 1.0) -> Objective:
    """The values of that Gaussian in closed form."""
    value = Scaled(GivenEnergyValue(Gaussian(), zero_net(1), CHAIN), factor)
    return Objective(value=value, cost=cost, velocity=VELOCITY, temperature=temperature)


def weights(objective: Objective, step: int, widened: float = 1.0) -> Tensor:
    """Log weights of draws of one step from one point."""
    resampled = ResampledPolicy(policy(widened), objective, candidates=2)
    x, k = torch.tensor([[1.0, -2.0, 0.5]]).expand(200, DIM), torch.full((200,), step)
    eps = torch.randn(200, DIM, generator=torch.Generator().manual_seed(step))
    x_next = resampled.mean(x, k) + resampled.log_std(k).exp()[:, None] * eps
    with torch.no_grad():
        return resampled.log_weights(x, x_next, k, eps)


@pytest.mark.parametrize("step", range(STEPS))
def test_weights_of_a_solved_problem_are_constant(step: int) -> None:
    assert weights(solved(), step).std() < 1e-4
    assert weights(solved(), step, widened=1.3).std() > 0.3


def test_weights_are_the_same_in_the_units_of_an_energy_with_a_temperature() -> None:
    """tau is per dimension: the energy's temperature is tau / D."""
    tau = 0.2
    running = RunningCost(tau_entropy=tau, tau_velocity=tau, num_steps=STEPS)
    found = weights(solved(tau / DIM, running, tau / DIM), 1, widened=1.3)
    expected = weights(solved(), 1, widened=1.3)
    torch.testing.assert_close(found - found.mean(), expected - expected.mean(), atol=1e-3, rtol=1e-3)


def test_resampling_mends_the_noise_of_a_policy() -> None:
    wide = policy(1.3)
    sampler = Resampling(candidates=30).applied(PolicySampler(policy=wide), solved())
    seeds = torch.arange(8000)
    before, after = PolicySampler(policy=wide).sample(seeds), sampler.sample(seeds)
    assert (before.std(dim=0) - STD).abs().min() > 0.2
    assert (after.std(dim=0) - STD).abs().max() < 0.06


def test_one_candidate_is_the_policys_own_draw() -> None:
    wide = policy(1.3)
    resampled = ResampledPolicy(wide, solved(), candidates=1)
    noise = SeededNoise(seeds=torch.arange(5), event_shape=resampled.noise_shape)

    class First:
        def normal(self, draw: int) -> Tensor:
            return noise.normal(draw)[:, :DIM]

    torch.testing.assert_close(rollout(resampled, noise).states, rollout(wide, First()).states)


def test_seeds_of_candidates_are_distinct_and_belong_to_the_sample() -> None:
    seeds = torch.tensor([3, 4, 3 + (1 << 40), -1])
    found = candidate_seeds(seeds, 50)
    assert len(set(found.flatten().tolist())) == 200
    assert found.min() >= 0
    assert torch.equal(candidate_seeds(seeds[1:2], 50), found[1:2])
    assert torch.equal(candidate_seeds(seeds, 2), found[:, :2])


@pytest.mark.parametrize("selection", [BestOf(candidates=3), Resampling(candidates=3)])
def test_a_sample_does_not_depend_on_its_batch_and_ends_its_chain(selection: BestOf | Resampling) -> None:
    sampler = selection.applied(PolicySampler(policy=policy()), solved())
    seeds = torch.arange(6)
    together = sampler.sample(seeds)
    torch.testing.assert_close(torch.cat([sampler.sample(seeds[:2]), sampler.sample(seeds[2:])]), together)
    states = sampler.trajectory(seeds)
    assert states.shape == (STEPS + 1, 6, DIM)
    torch.testing.assert_close(states[-1], together)


def test_the_best_is_the_candidate_of_lowest_energy() -> None:
    base, seeds = PolicySampler(policy=policy()), torch.arange(7)
    best = BestOf(candidates=4).applied(base, solved()).sample(seeds)
    candidates = base.sample(candidate_seeds(seeds, 4).flatten()).unflatten(0, (7, 4))
    energies = Gaussian()(candidates.flatten(0, 1)).view(7, 4)
    torch.testing.assert_close(Gaussian()(best), energies.min(dim=1).values)


@pytest.mark.parametrize(
    ("selection", "passes"),
    [(BestOf(candidates=3), 3 * (STEPS + 1)), (Resampling(candidates=3), STEPS + 3 * STEPS)],
)
def test_passes_of_policy_and_values_are_counted(selection: BestOf | Resampling, passes: int) -> None:
    energy = GivenEnergyValue(Gaussian(), zero_net(1), CHAIN)

    class OneNet(Scaled):
        """A value whose passes are one net's, the energy's among them."""

        def value(self, x: Tensor, k: Tensor) -> Tensor:
            return energy.net(x, k.clamp(max=STEPS - 1)).squeeze(-1)

        def energy(self, x: Tensor) -> Tensor:
            return self.value(x, x.new_full((len(x),), STEPS, dtype=torch.int64))

    objective = Objective(value=OneNet(energy, 1.0), cost=PATH_COST, velocity=VELOCITY, temperature=1.0)
    sampler = selection.applied(PolicySampler(policy=policy()), objective)
    with counted_passes(sampler.networks) as counter, torch.no_grad():
        sampler.sample(torch.arange(5))
    assert counter.total == 5 * passes


def test_a_noiseless_last_step_stays_noiseless() -> None:
    base = PolicySampler(policy=policy(), noiseless_last_step=True)
    sampler = Resampling(candidates=3).applied(base, solved())
    states = sampler.trajectory(torch.arange(4))
    mean = base.policy.mean(states[-2], torch.full((4,), STEPS - 1))
    torch.testing.assert_close(states[-1], mean)
