"""Chains to noise and back, values and Markov chains on given energies, against Gaussians in closed form."""

import math

import pytest
import torch
from torch import Tensor, nn

from dxmi.energies.given import GivenEnergyValue, accepted, hamiltonian_chain, langevin_chain, with_gradient
from dxmi.nets.mlp import StepMLP
from dxmi.sampling import NoisingChain, PinnedChain, SeededNoise, StreamNoise, reparametrised_rollout, rollout
from dxmi.training import PathCost

STD, DIM, STEPS = 1.5, 3, 4
CHAIN = NoisingChain.geometric(STEPS, sigma_max=4.0, sigma_min=0.3, data_std=STD)
LOG_Z = 0.5 * DIM * math.log(2 * math.pi * STD**2)


class Gaussian(nn.Module):
    """E of N(0, STD^2 I), not normalised."""

    def forward(self, x: Tensor) -> Tensor:
        return x.square().sum(dim=1) / (2 * STD**2)


def net(dim_out: int, seed: int = 0, *, zero: bool = True) -> StepMLP:
    generator = torch.Generator().manual_seed(seed)
    return StepMLP(
        dim_in=DIM, dim_out=dim_out, num_levels=STEPS, hidden=8, depth=1, generator=generator, zero_output=zero
    )


def seeded(n: int, shape: tuple[int, ...] = (DIM,)) -> SeededNoise:
    return SeededNoise(seeds=torch.arange(n), event_shape=shape)


def test_before_training_the_chain_of_a_gaussian_is_reversed_exactly() -> None:
    """Every chain has the weight Z itself."""
    policy = CHAIN.policy(net(DIM), event_shape=(DIM,))
    states = rollout(policy, seeded(50)).states
    weights = CHAIN.log_weights(policy, states, Gaussian()(states[-1]))
    assert torch.allclose(weights, torch.full_like(weights, LOG_Z), atol=1e-4)
    many = rollout(policy, seeded(20_000)).samples
    assert torch.allclose(many.std(dim=0), torch.full((DIM,), STD), rtol=0.02)


def test_weights_of_another_policy_have_the_mean_z() -> None:
    policy = CHAIN.policy(net(DIM, zero=False), event_shape=(DIM,))
    states = rollout(policy, seeded(40_000)).states
    weights = CHAIN.log_weights(policy, states, Gaussian()(states[-1])).detach().double()
    assert float(weights.std()) > 0.1
    assert float(torch.logsumexp(weights, dim=0) - math.log(len(weights))) == pytest.approx(LOG_Z, abs=0.05)
    assert float(weights.mean()) < LOG_Z


def test_energy_and_costs_of_a_chain_are_minus_the_log_of_its_weight_on_average() -> None:
    policy = CHAIN.policy(net(DIM, zero=False), event_shape=(DIM,))
    noise = StreamNoise(batch_size=40_000, event_shape=(DIM,), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        chains = reparametrised_rollout(policy, noise)
        move = chains.transitions(tuple(range(STEPS)))
        costs = PathCost()(move.x, move.x_next, move.k, policy.log_std(move.k), CHAIN.var.float()[move.k])
        energies = Gaussian()(chains.samples)
        weights = CHAIN.log_weights(policy, chains.states, energies)
    entropy_of_start = 0.5 * DIM * (1 + math.log(2 * math.pi * policy.start_std**2))
    total = float(energies.mean() + costs.mean() * STEPS) - entropy_of_start
    assert total == pytest.approx(-float(weights.mean()), abs=0.05)


def test_before_training_values_of_a_gaussian_satisfy_bellmans_equation() -> None:
    """V_k(x) = E[V_{k+1}(x') + cost], with V_K = E + log Z; the mean over x' by many draws."""
    policy = CHAIN.policy(net(DIM), event_shape=(DIM,))
    value = GivenEnergyValue(Gaussian(), net(1), CHAIN)
    x = torch.tensor([[1.0, -2.0, 0.5]]).expand(40_000, DIM)
    for step in range(STEPS):
        k = torch.full((len(x),), step)
        eps = torch.randn(x.shape, generator=torch.Generator().manual_seed(step))
        with torch.no_grad():
            x_next = policy.draw(x, k, eps)
            cost = PathCost()(x, x_next, k, policy.log_std(k), CHAIN.var.float()[k])
            following = value.value(x_next, k + 1) + (LOG_Z if step == STEPS - 1 else 0.0)
            here = value.value(x[:1], k[:1])
        assert float((following + cost).mean()) == pytest.approx(float(here), abs=0.05)


def test_the_energy_is_called_at_the_rows_that_ask_for_it_alone() -> None:
    asked = []

    class Asked(Gaussian):
        def forward(self, x: Tensor) -> Tensor:
            asked.append(len(x))
            return super().forward(x)

    value = GivenEnergyValue(Asked(), net(1, zero=False), CHAIN)
    x = torch.randn(5, DIM, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    values = value.value(x, torch.tensor([0, STEPS, 1, STEPS, 2]))
    assert asked == [2]
    assert torch.equal(values[[1, 3]], Gaussian()(x[[1, 3]]))
    (gradient,) = torch.autograd.grad(values.sum(), x)
    assert torch.allclose(gradient[[1, 3]], x[[1, 3]] / STD**2)
    value.value(x, torch.zeros(5, dtype=torch.int64))
    assert asked == [2]


@pytest.mark.parametrize(
    ("sigmas", "std", "said"),
    [([1.0, 0.5], 1.0, "fall to 0"), ([1.0, 2.0, 0.0], 1.0, "fall to 0"), ([1.0, 0.0], 0.0, "data_std")],
)
def test_levels_that_do_not_fall_are_refused(sigmas: list[float], std: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        NoisingChain(sigmas=torch.tensor(sigmas), data_std=std)
    with pytest.raises(ValueError, match="wants sigma_max > sigma_min > 0"):
        NoisingChain.geometric(3, sigma_max=0.1, sigma_min=1.0, data_std=1.0)


# --- Markov chains ---------------------------------------------------------------------------------------------


def variance_after(adjusted: bool, step_size: float) -> float:
    ends = langevin_chain(
        lambda x: x.square().sum(dim=1) / 2,
        seeded(20_000, (2,)),
        start_std=1.0,
        num_steps=60,
        step_size=step_size,
        adjusted=adjusted,
    )
    return float(ends.var())


def test_the_adjusted_chain_keeps_the_law_and_the_unadjusted_one_widens_it() -> None:
    """ULA on N(0, 1) has the stationary variance 1 / (1 - h / 2)."""
    assert variance_after(True, 0.5) == pytest.approx(1.0, abs=0.04)
    assert variance_after(False, 0.5) == pytest.approx(1 / (1 - 0.25), abs=0.05)


def test_the_hamiltonian_chain_reaches_the_law_from_a_wrong_start() -> None:
    ends = hamiltonian_chain(
        lambda x: (x - 2).square().sum(dim=1) / 2,
        seeded(20_000, (2,)),
        start_std=0.1,
        num_steps=8,
        leapfrog_steps=4,
        step_size=0.4,
    )
    assert float(ends.mean()) == pytest.approx(2.0, abs=0.05)
    assert float(ends.var()) == pytest.approx(1.0, abs=0.05)


def test_chains_do_not_depend_on_their_batch() -> None:
    def run(noise: SeededNoise) -> Tensor:
        return hamiltonian_chain(Gaussian(), noise, start_std=1.0, num_steps=3, leapfrog_steps=2, step_size=0.5)

    whole = run(seeded(6, (DIM + 1,)))
    parts = [run(SeededNoise(seeds=torch.tensor([i]), event_shape=(DIM + 1,))) for i in range(6)]
    assert torch.allclose(whole, torch.cat(parts))


def test_a_ratio_is_accepted_as_often_as_it_says_and_nan_never() -> None:
    noise = torch.randn(40_000, generator=torch.Generator().manual_seed(0))
    rate = accepted(torch.full_like(noise, math.log(0.3)), noise).double().mean()
    assert float(rate) == pytest.approx(0.3, abs=0.01)
    assert accepted(torch.zeros_like(noise), noise).all()
    assert not accepted(torch.full_like(noise, torch.nan), noise).any()


def test_a_gradient_is_that_of_the_potential() -> None:
    x = torch.randn(4, DIM, generator=torch.Generator().manual_seed(0))
    value, gradient = with_gradient(Gaussian(), x)
    assert torch.allclose(gradient, x / STD**2)
    assert not value.requires_grad


# --- the chain that ends at 0 ----------------------------------------------------------------------------------

PINNED = PinnedChain.of(CHAIN)


@pytest.mark.parametrize("sigma_max", [4.0, 0.9])
def test_before_training_the_pinned_chain_of_a_gaussian_is_reversed_exactly(sigma_max: float) -> None:
    """Every chain has the weight Z itself, whether the walk ends wider than the law or narrower."""
    levels = NoisingChain.geometric(STEPS, sigma_max=sigma_max, sigma_min=0.3, data_std=STD)
    pinned = PinnedChain.of(levels)
    policy = pinned.policy(net(DIM), event_shape=(DIM,))
    states = rollout(policy, seeded(20_000)).states
    weights = pinned.log_weights(policy, states, Gaussian()(states[-1]))
    assert torch.allclose(weights, torch.full_like(weights, LOG_Z), atol=1e-4)
    assert torch.allclose(states.std(dim=(1, 2)), pinned.total_var.sqrt().float(), rtol=0.02)


def test_weights_of_another_policy_of_the_pinned_chain_have_the_mean_z() -> None:
    policy = PINNED.policy(net(DIM, zero=False), event_shape=(DIM,))
    states = rollout(policy, seeded(40_000)).states
    weights = PINNED.log_weights(policy, states, Gaussian()(states[-1])).detach().double()
    assert float(weights.std()) > 0.1
    assert float(torch.logsumexp(weights, dim=0) - math.log(len(weights))) == pytest.approx(LOG_Z, abs=0.05)


def test_bridges_have_the_moments_of_a_walk_that_is_pinned_at_both_ends() -> None:
    """x_k given x_K has the mean r_k x_K and the variance r_k sigma_k^2, r_k = 1 - sigma_k^2 / sigma_0^2."""
    end = torch.tensor([[1.0, -2.0, 0.5]]).expand(40_000, DIM)
    states = PINNED.bridge(end, seeded(len(end)))
    share = (1 - PINNED.sigmas.square() / PINNED.sigmas[0].square()).float()
    assert torch.equal(states[-1], end)
    assert not states[0].any()
    assert torch.allclose(states.mean(dim=1), share[:, None] * end[:1], atol=0.03)
    var = share * PINNED.sigmas.square().float()
    assert torch.allclose(states.var(dim=1), var[:, None].expand(-1, DIM), rtol=0.03, atol=1e-6)
    first, second = states[1] - share[1] * end, states[2] - share[2] * end
    assert torch.allclose((first * second).mean(dim=0), share[1] * PINNED.sigmas[2].square().float(), rtol=0.05)
