"""Policies that start from pretrained samplers: each step against the sampler's own formula, labels and latents."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from dxmi.models import PolicySampler
from dxmi.nets.steps import AtSteps
from dxmi.sampling.denoisers import EDMDenoiser, VPDenoiser
from dxmi.sampling.noise import SeededNoise
from dxmi.sampling.policies import GaussianPolicy, LatentPolicy
from dxmi.sampling.rollouts import rollout, sample
from dxmi.sampling.samplers import euler_ancestral
from dxmi.schedules.chains import LinearChain
from dxmi.schedules.levels import NoiseLevels, VPSchedule

SHAPE, LATENT = (2, 3), 4
SEEDS = torch.tensor([3, 2**61, 5, 11])


class Told(nn.Module):
    """A smooth function of x, of one number per sample and of what else it is conditioned on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor, time: Tensor, given: Tensor | None = None) -> Tensor:
        shift = 0.0 if given is None else given.reshape(len(x), -1).double().mean(dim=1)
        per_sample = (0.1 * time + shift).reshape(-1, *[1] * (x.ndim - 1))
        return (self.weight * x.roll(1, dims=-1) + per_sample).sin()


def edm_policy(levels: NoiseLevels, *, last_std: float = 1e-4) -> GaussianPolicy:
    return GaussianPolicy.from_denoiser(
        AtSteps(EDMDenoiser(Told()), levels.sigmas[:-1]),
        levels,
        event_shape=SHAPE,
        last_std=last_std,
        trainable_std=[True] * (levels.num_steps - 1) + [False],
    ).double()


def ddgan_policy(*, last_std: float = 1e-3) -> LatentPolicy:
    return LatentPolicy.from_generator(
        AtSteps(Told(), torch.arange(3, -1, -1.0)),
        VPSchedule.linear(4, first_time=1e-3),
        event_shape=SHAPE,
        latent_channels=LATENT,
        last_std=last_std,
        trainable_std=[True] * 3 + [False],
    ).double()


def noise(shape: tuple[int, ...]) -> SeededNoise:
    return SeededNoise(seeds=SEEDS, event_shape=shape, dtype=torch.float64)


def rows(k: int, n: int = len(SEEDS)) -> Tensor:
    return torch.full((n,), k)


# --- parity with the samplers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "levels", [NoiseLevels.karras(10), NoiseLevels.karras_above_zero(4)], ids=["rho 7, to zero", "rho 4, above zero"]
)
def test_an_edm_policy_samples_as_euler_ancestral_does(levels: NoiseLevels) -> None:
    policy = edm_policy(levels, last_std=1e-12)
    denoiser = EDMDenoiser(Told()).double()
    torch.testing.assert_close(
        sample(policy, noise(SHAPE)), euler_ancestral()(denoiser, levels, noise(SHAPE)), rtol=1e-5, atol=1e-5
    )
    assert policy.start_std == 80.0


def test_stds_of_edm_policies_are_those_of_the_levels_and_the_floor_of_the_last() -> None:
    to_zero = edm_policy(NoiseLevels.karras(10)).step_log_stds().exp()
    assert to_zero[-1].item() == pytest.approx(1e-4, rel=1e-5)
    sigmas = NoiseLevels.karras(10).sigmas
    expected = sigmas[1:-1] * (1 - (sigmas[1:-1] / sigmas[:-2]) ** 2).sqrt()
    torch.testing.assert_close(to_zero[:-1], expected, rtol=1e-5, atol=0)
    above = edm_policy(NoiseLevels.karras_above_zero(4)).step_log_stds().exp()
    last, before = NoiseLevels.karras_above_zero(4).sigmas.flip(0)[:2]
    assert above[-1].item() == pytest.approx((last * (1 - (last / before) ** 2).sqrt()).item(), rel=1e-5)


def test_a_fastdpm_policy_samples_as_euler_ancestral_does_in_the_clock_of_noise_levels() -> None:
    chain = LinearChain()
    schedule = chain.var_quadratic(10)
    policy = GaussianPolicy.from_noise_predictor(
        AtSteps(Told(), chain.step_of(schedule.alpha_bar[:-1].log())),
        schedule,
        event_shape=SHAPE,
        last_std=1e-12,
        trainable_std=[True] * 9 + [False],
    ).double()
    expected = euler_ancestral()(VPDenoiser(Told().double(), chain), schedule.noise_levels, noise(SHAPE))
    torch.testing.assert_close(sample(policy, noise(SHAPE)), expected, rtol=1e-4, atol=1e-4)


def test_a_ddgan_step_is_the_posterior_of_what_the_generator_says() -> None:
    """q(x_{k+1} | x_k, x_data) by adding precisions, with the latent that stands behind the noise."""
    policy, schedule = ddgan_policy(), VPSchedule.linear(4, first_time=1e-3)
    x = noise(SHAPE).normal(9)
    eps = noise(policy.noise_shape).normal(1)
    size = math.prod(SHAPE)
    for step in range(4):
        data = Told().double()(x, rows(3 - step), eps[:, size:])
        above, alpha = schedule.alpha_bar[step + 1], schedule.alphas[step]
        if step < 3:
            precision = 1 / (1 - above) + alpha / (1 - alpha)
            mean = (above.sqrt() * data / (1 - above) + alpha.sqrt() * x / (1 - alpha)) / precision
            std = precision.rsqrt()
        else:
            mean, std = data, torch.tensor(1e-3)
        expected = mean + std * eps[:, :size].reshape(-1, *SHAPE)
        torch.testing.assert_close(policy.draw(x, rows(step), eps), expected, rtol=1e-5, atol=1e-5)


def test_the_schedule_of_ddgan_is_the_vp_sde_from_its_first_time_on() -> None:
    """Betas of arXiv:2112.07804: 1 - exp of the integral of beta between t_i = eps + (1 - eps) i / 4."""
    t = 1e-3 + (1 - 1e-3) * torch.arange(5, dtype=torch.float64) / 4
    log_signal = -0.5 * t**2 * 19.9 - 0.1 * t
    betas = 1 - log_signal.diff().exp()
    schedule = VPSchedule.linear(4, first_time=1e-3)
    torch.testing.assert_close(schedule.alphas.flip(0), 1 - betas, rtol=1e-12, atol=0)
    assert torch.equal(VPSchedule.linear(4).alpha_bar, VPSchedule.linear(4, first_time=0.0).alpha_bar)


# --- laws of a step -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["edm", "ddgan"])
def test_log_prob_is_that_of_torch_distributions(kind: str) -> None:
    policy = edm_policy(NoiseLevels.karras(10)) if kind == "edm" else ddgan_policy()
    x, x_next, k = noise(SHAPE).normal(0), noise(SHAPE).normal(1), torch.tensor([0, 3, 1, 2])
    given = None if kind == "edm" else noise((LATENT,)).normal(5)
    mean, std = policy.mean(x, k, given), policy.log_std(k).exp()[:, None, None].expand_as(x)
    expected = Independent(Normal(mean, std), 2).log_prob(x_next)
    torch.testing.assert_close(policy.log_prob(x, k, x_next, given), expected)


def test_the_last_std_of_a_start_stays_and_the_others_learn() -> None:
    policy = ddgan_policy()
    policy.log_std(torch.arange(4)).sum().backward()
    assert policy.learned_log_std.grad is not None
    assert policy.learned_log_std.grad.tolist() == [1.0, 1.0, 1.0, 0.0]


def test_a_latent_is_drawn_anew_at_every_step_and_from_the_samples_own_seed() -> None:
    policy = ddgan_policy()
    assert policy.noise_shape == (math.prod(SHAPE) + LATENT,)
    sampler = PolicySampler(policy=policy.float())
    whole = sampler.sample(SEEDS)
    torch.testing.assert_close(whole, torch.cat([sampler.sample(SEEDS[:1]), sampler.sample(SEEDS[1:])]))
    states = sampler.trajectory(SEEDS)
    assert torch.equal(states[-1], whole)
    drawn = SeededNoise(seeds=SEEDS, event_shape=policy.noise_shape)
    assert torch.equal(states[0], drawn.normal(0)[:, : math.prod(SHAPE)].unflatten(1, SHAPE))
    latents = [drawn.normal(k)[:, math.prod(SHAPE) :] for k in range(1, 5)]
    assert not torch.isclose(latents[0], latents[1]).any()


# --- labels ---------------------------------------------------------------------------------------------------


def test_every_row_of_a_rollout_has_its_own_label() -> None:
    policy, labels = edm_policy(NoiseLevels.karras(3)), torch.tensor([0, 2, 1, 2])
    together = rollout(policy, noise(SHAPE), labels=labels)
    for i, label in enumerate(labels):
        alone = rollout(policy, SeededNoise(seeds=SEEDS[i : i + 1], event_shape=SHAPE, dtype=torch.float64),
                        labels=label[None])  # fmt: skip
        torch.testing.assert_close(together.states[:, i : i + 1], alone.states)
    other = rollout(policy, noise(SHAPE), labels=(labels + 1) % 3)
    assert not torch.isclose(together.states[1:], other.states[1:]).all(dim=-1).any()
    assert together.labels is labels


def test_transitions_carry_the_labels_of_their_chains() -> None:
    trajectory = rollout(edm_policy(NoiseLevels.karras(3)), noise(SHAPE), labels=torch.tensor([7, 8, 9, 6]))
    stacked = trajectory.transitions((2, 0))
    assert stacked.labels is not None
    assert stacked.labels.tolist() == [7, 8, 9, 6] * 2
    assert stacked.k.tolist() == [2] * 4 + [0] * 4
    steps = torch.tensor([[2, 0, 1, 1], [0, 1, 2, 2]])
    mixed = trajectory.at(steps)
    assert mixed.k.tolist() == steps.flatten().tolist()
    assert mixed.labels is not None
    assert mixed.labels.tolist() == [7, 8, 9, 6] * 2
    for row, (k, chain) in enumerate((k, chain) for group in steps.tolist() for chain, k in enumerate(group)):
        assert torch.equal(mixed.x[row], trajectory.states[k, chain])
        assert torch.equal(mixed.x_next[row], trajectory.states[k + 1, chain])


def test_a_sampler_of_classes_gives_samples_of_the_class_that_is_asked_for() -> None:
    sampler = PolicySampler(policy=edm_policy(NoiseLevels.karras(4)).float())
    labels = torch.tensor([0, 2, 1, 2])
    whole = sampler.sample(SEEDS, labels)
    alone = torch.cat([sampler.sample(SEEDS[i : i + 1], labels[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(whole, alone)
    assert torch.equal(sampler.trajectory(SEEDS, labels)[-1], whole)
    assert not torch.isclose(whole, sampler.sample(SEEDS, (labels + 1) % 3)).all(dim=-1).any()


def test_in_other_units_steps_and_densities_are_those_of_scaled_points():
    """x = y / factor takes the steps that y takes, and its density is that of y times factor^D."""
    factor, levels = 0.65, NoiseLevels.karras(4, sigma_min=0.2, sigma_max=6.5)
    scaled = edm_policy(levels, last_std=0.1)
    policy = scaled.in_units(factor).double()
    chains, scaled_chains = (rollout(p, noise(SHAPE)) for p in (policy, scaled))
    torch.testing.assert_close(factor * chains.states, scaled_chains.states, rtol=1e-6, atol=1e-6)
    x, k = chains.states[2], torch.full((len(SEEDS),), 2)
    log_prob = policy.log_prob(x, k, chains.states[3])
    expected = scaled.log_prob(factor * x, k, factor * chains.states[3]) + math.prod(SHAPE) * math.log(factor)
    torch.testing.assert_close(log_prob, expected, rtol=1e-5, atol=1e-5)
    assert policy.std_is_trainable.tolist() == [True, True, True, False]


def test_in_other_units_labels_reach_the_net_and_it_is_the_same_net():
    scaled = edm_policy(NoiseLevels.karras(3))
    policy = scaled.in_units(2.0).double()
    x, k, given = torch.ones(len(SEEDS), *SHAPE, dtype=torch.float64), torch.ones(len(SEEDS), dtype=int), SEEDS % 5
    torch.testing.assert_close(policy.mean(x, k, given), scaled.mean(2.0 * x, k, given) / 2.0, rtol=1e-6, atol=1e-6)
    assert {id(p) for p in scaled.net.parameters()} <= {id(p) for p in policy.net.parameters()}
