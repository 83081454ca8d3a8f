import math

import pytest
import torch
from flows import MEAN, STD, denoise, flow
from torch import Tensor, nn

from dxmi.sampling.denoisers import EpsilonScaled, VPDenoiser
from dxmi.sampling.noise import SeededNoise, StreamNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.sampling.rollouts import sample
from dxmi.sampling.samplers import (
    IPNDM,
    Ancestral,
    DPMSolverPP3M,
    Heun,
    Sampler,
    euler,
    euler_ancestral,
    heun_step,
)
from dxmi.schedules.chains import LinearChain
from dxmi.schedules.levels import NoiseLevels, VPSchedule

SAMPLERS = {
    "euler": euler(),
    "euler ancestral": euler_ancestral(),
    "half ancestral": Ancestral(kappa=0.5),
    "heun": Heun(),
    "ipndm": IPNDM(),
    "dpmpp3m": DPMSolverPP3M(),
}
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS.keys())


def seeded(n: int, first: int = 0) -> SeededNoise:
    return SeededNoise(seeds=torch.arange(first, first + n), event_shape=(3,), dtype=torch.float64)


def geometric(num_steps: int, high: float = 20.0, low: float = 0.02) -> NoiseLevels:
    ramp = torch.linspace(math.log(high), math.log(low), num_steps + 1, dtype=torch.float64)
    return NoiseLevels(sigmas=ramp.exp(), start_std=high)


def from_far(num_steps: int) -> NoiseLevels:
    """From where D hardly moves, so that the first two steps, of lower order, cost nothing."""
    return geometric(num_steps, high=4000.0, low=0.3)


def uniform(num_steps: int, high: float = 2.0, low: float = 0.5) -> NoiseLevels:
    return NoiseLevels(sigmas=torch.linspace(high, low, num_steps + 1, dtype=torch.float64), start_std=high)


def order(sampler: Sampler, levels, coarse: int) -> float:
    """log2 of how much the error falls when every step is halved, twice."""
    errors = []
    for num_steps in (coarse, 2 * coarse, 4 * coarse):
        grid = levels(num_steps)
        high, low = grid.sigmas[0].item(), grid.sigmas[-1].item()
        exact = flow(high * seeded(5).normal(0), high, low)
        errors.append((sampler(denoise, grid, seeded(5)) - exact).abs().max().item())
    return math.log2(errors[0] / errors[2]) / 2


@pytest.mark.parametrize(
    ("sampler", "levels", "coarse", "expected"),
    [
        (euler(), geometric, 100, 1),
        (Heun(), geometric, 100, 2),
        (DPMSolverPP3M(), from_far, 80, 3),
        (euler(), uniform, 50, 1),
        (Heun(), uniform, 50, 2),
    ],
    ids=["euler", "heun", "dpmpp3m", "euler, equal steps", "heun, equal steps"],
)
def test_error_on_the_gaussian_flow_falls_with_the_order_of_the_method(sampler, levels, coarse, expected):
    assert order(sampler, levels, coarse) == pytest.approx(expected, abs=0.15)


def test_the_start_of_lower_order_leaves_ipndm_of_second_order_on_equal_steps():
    assert order(IPNDM(), uniform, 100) == pytest.approx(2, abs=0.2)


class Slope(nn.Module):
    """A denoiser whose slope is a polynomial in sigma alone."""

    def __init__(self, *coefficients: float) -> None:
        super().__init__()
        self.coefficients = coefficients

    def at(self, sigma: Tensor) -> Tensor:
        return sum(c * sigma**i for i, c in enumerate(self.coefficients))

    def integral(self, sigma: float, after: float) -> float:
        return sum(c * (after ** (i + 1) - sigma ** (i + 1)) / (i + 1) for i, c in enumerate(self.coefficients))

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x - (sigma * self.at(sigma))[:, None]


def test_ipndm_is_exact_for_a_cubic_slope_once_it_knows_four():
    """Steps one to three are of lower order: their error, found with fewer steps, is what remains."""
    cubic, ramp = Slope(0.3, -0.7, 0.2, 0.5), torch.linspace(2.0, 0.6, 15, dtype=torch.float64)
    warm = NoiseLevels(sigmas=ramp[:4], start_std=2.0)
    whole = NoiseLevels(sigmas=ramp, start_std=2.0)
    after_three, end = IPNDM()(cubic, warm, seeded(2)), IPNDM()(cubic, whole, seeded(2))
    expected = cubic.integral(ramp[3].item(), ramp[-1].item())
    torch.testing.assert_close(end - after_three, torch.full_like(end, expected), rtol=0, atol=1e-12)
    assert not torch.allclose(euler()(cubic, whole, seeded(2)), end, atol=1e-3)


def test_dpmpp3m_is_exact_for_a_denoiser_quadratic_in_log_sigma_once_it_knows_three():
    """x(l) = e^-(l - l0) x0 + int e^-(l - u) D(u) du, in closed form for D = a + b u + c u^2 + no x."""
    a, b, c = 0.4, -0.3, 0.25

    def quadratic(x: Tensor, sigma: Tensor) -> Tensor:
        u = -sigma.log()
        return (a + b * u + c * u**2)[:, None].expand_as(x)

    def particular(sigma: float) -> float:
        """A solution of dx/dl = D(l) - x that is itself a quadratic."""
        u = -math.log(sigma)
        return c * u**2 + (b - 2 * c) * u + (a - b + 2 * c)

    sigmas = torch.tensor([5.0, 4.1, 2.7, 2.2, 1.0, 0.7, 0.3], dtype=torch.float64)
    after_two = DPMSolverPP3M()(quadratic, NoiseLevels(sigmas=sigmas[:3], start_std=5.0), seeded(2))
    end = DPMSolverPP3M()(quadratic, NoiseLevels(sigmas=sigmas, start_std=5.0), seeded(2))
    ratio = (sigmas[-1] / sigmas[2]).item()
    expected = particular(0.3) + ratio * (after_two - particular(2.7))
    torch.testing.assert_close(end, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sampler", [Heun(), IPNDM(), DPMSolverPP3M()], ids=["heun", "ipndm", "dpmpp3m"])
def test_samples_of_higher_order_methods_have_the_mean_and_std_of_the_data(sampler):
    n = 4000
    x = sampler(denoise, NoiseLevels.karras(60), seeded(n))
    assert ((x.mean(0) - MEAN).abs() < 5 * STD / math.sqrt(n)).all()
    assert ((x.std(0) / STD - 1).abs() < 5 / math.sqrt(2 * n) + 0.02).all()


@pytest.mark.parametrize("kappa", [0.0, 0.5, 1.0])
def test_ancestral_samples_have_the_moments_of_the_linear_recursion(kappa):
    """x' - m = (c + r (1 - c)) (x - m) + up z with c the shrinkage of D and r = down / sigma."""
    n, levels = 10_000, NoiseLevels.karras(12, sigma_max=20.0)
    var, offset = 20.0**2, 1.0
    for sigma, after in zip(levels.sigmas[:-1].tolist(), levels.sigmas[1:].tolist(), strict=True):
        shrink = STD**2 / (STD**2 + sigma**2)
        up = kappa * after * math.sqrt(1 - after**2 / sigma**2)
        factor = shrink + math.sqrt(after**2 - up**2) / sigma * (1 - shrink)
        var, offset = factor**2 * var + up**2, factor * offset
    x = Ancestral(kappa=kappa)(denoise, levels, seeded(n))
    std = math.sqrt(var)
    assert ((x.mean(0) - MEAN * (1 - offset)).abs() < 5 * std / math.sqrt(n)).all()
    assert ((x.std(0) / std - 1).abs() < 5 / math.sqrt(2 * n)).all()


@every_sampler
def test_nfe_is_what_the_denoiser_counts(sampler):
    for levels in (NoiseLevels.karras(7), NoiseLevels.karras_above_zero(4), VPSchedule.linear(5).noise_levels):
        calls = []

        def counting(x: Tensor, sigma: Tensor, calls: list[int] = calls) -> Tensor:
            calls.append(len(x))
            return denoise(x, sigma)

        sampler(counting, levels, seeded(3))
        assert calls == [3] * sampler.nfe(levels)


@every_sampler
def test_states_lead_from_the_noise_of_the_first_level_to_the_samples(sampler):
    levels = geometric(6)
    states = list(sampler.states(denoise, levels, seeded(5)))
    assert len(states) == levels.num_steps + 1
    assert torch.equal(states[0], levels.start_std * seeded(5).normal(0))
    assert torch.equal(states[-1], sampler(denoise, levels, seeded(5)))
    assert states[0].std() > 5 * states[2].std() > 10 * STD


@every_sampler
def test_a_sample_depends_on_its_seed_alone_and_another_seed_gives_another(sampler):
    levels = NoiseLevels.karras(5)
    whole = sampler(denoise, levels, seeded(6))
    cut = torch.cat([sampler(denoise, levels, seeded(2)), sampler(denoise, levels, seeded(4, first=2))])
    torch.testing.assert_close(whole, cut, rtol=1e-12, atol=0)
    assert not torch.isclose(whole, sampler(denoise, levels, seeded(6, first=6))).any()


def test_ancestral_steps_keep_the_marginal_of_every_level():
    """With the exact denoiser x(sigma) has std sqrt(s^2 + sigma^2) wherever the chain stops, up to the step's bias."""
    n, levels = 4000, geometric(300)
    for stop in (100, 200, 300):
        part = NoiseLevels(sigmas=levels.sigmas[: stop + 1], start_std=levels.start_std)
        x = euler_ancestral()(denoise, part, seeded(n))
        expected = math.sqrt(STD**2 + part.sigmas[-1].item() ** 2)
        assert ((x.std(0) / expected - 1).abs() < 5 / math.sqrt(2 * n) + 0.01).all()
        assert ((x.mean(0) - MEAN).abs() < 5 * expected / math.sqrt(n) + 0.01).all()


class ExactNoise(nn.Module):
    """E[eps | x_t] of the Gaussian, asked in fractional steps of a DDPM chain."""

    def __init__(self, chain: LinearChain) -> None:
        super().__init__()
        self.chain = chain

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        signal = self.chain.log_alpha_bar(t).exp()[:, None]
        return (1 - signal).sqrt() * (x - signal.sqrt() * MEAN) / (signal * STD**2 + 1 - signal)


def test_euler_is_ddim_in_the_clock_of_noise_levels():
    """DDIM, Eq. 12 with sigma = 0, written in the variance-preserving clock."""
    chain = LinearChain()
    net, schedule = ExactNoise(chain), chain.step_quadratic(8)
    x = seeded(5).normal(0)
    for signal, above in zip(schedule.alpha_bar[:-1], schedule.alpha_bar[1:], strict=True):
        eps = net(x, chain.step_of(signal.log()[None]))
        clean = (x - (1 - signal).sqrt() * eps) / signal.sqrt()
        x = above.sqrt() * clean + (1 - above).sqrt() * eps
    ours = euler()(VPDenoiser(net, chain), schedule.noise_levels, seeded(5))
    torch.testing.assert_close(ours, x, rtol=1e-9, atol=1e-9)


class AtSteps(nn.Module):
    """A net of fractional steps as a net of step indices."""

    def __init__(self, net: nn.Module, steps: Tensor) -> None:
        super().__init__()
        self.net, self.steps = net, steps

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        return self.net(x, self.steps[k])


def test_euler_ancestral_is_ddpm_in_the_clock_of_noise_levels():
    chain = LinearChain()
    net, schedule = ExactNoise(chain), chain.var_quadratic(10)
    steps = chain.step_of(schedule.alpha_bar[:-1].log())
    policy = GaussianPolicy.from_noise_predictor(
        AtSteps(net, steps), schedule, event_shape=(3,), last_std=1e-3, trainable_std=[False] * 10
    )
    sampler = Ancestral(kappa=1.0, last_std=1e-3)
    ours = sampler(VPDenoiser(net, chain), schedule.noise_levels, seeded(6))
    # The policy keeps its coefficients in float32.
    torch.testing.assert_close(ours, sample(policy, seeded(6)), rtol=1e-5, atol=1e-5)


def test_a_last_std_is_noise_on_the_last_step_to_zero_only():
    levels = NoiseLevels.karras(6)
    quiet, noisy = (Ancestral(kappa=0.0, last_std=std)(denoise, levels, seeded(4)) for std in (0.0, 0.3))
    torch.testing.assert_close(noisy - quiet, 0.3 * seeded(4).normal(6))
    above = NoiseLevels.karras_above_zero(6)
    a, b = (Ancestral(kappa=0.0, last_std=std)(denoise, above, seeded(4)) for std in (0.0, 0.3))
    assert torch.equal(a, b)


def test_heun_steps_take_levels_per_sample():
    sigma, after = torch.tensor([3.0, 0.5, 1.0]).double(), torch.tensor([2.9, 0.49, 0.98]).double()
    x = MEAN + seeded(3).normal(0)
    torch.testing.assert_close(heun_step(denoise, x, sigma, after), flow(x, sigma, after), rtol=0, atol=1e-5)
    alone = heun_step(denoise, x[1:2], sigma[1:2], after[1:2])
    torch.testing.assert_close(heun_step(denoise, x, sigma, after)[1:2], alone)


def test_epsilon_scaling_shortens_the_step_by_its_scale():
    levels = NoiseLevels(sigmas=torch.tensor([2.0, 1.0], dtype=torch.float64), start_std=2.0)
    x = 2.0 * seeded(4).normal(0)
    plain = euler()(denoise, levels, seeded(4)) - x
    scaled = euler()(EpsilonScaled(Exact(), scale=1.25), levels, seeded(4)) - x
    torch.testing.assert_close(scaled, plain / 1.25)


class Exact(nn.Module):
    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return denoise(x, sigma)


def test_stream_noise_serves_too_and_other_streams_give_other_samples():
    def draw(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        noise = StreamNoise(batch_size=5, event_shape=(3,), generator=generator, dtype=torch.float64)
        return euler_ancestral()(denoise, NoiseLevels.karras(5), noise)

    assert torch.equal(draw(0), draw(0))
    assert not torch.isclose(draw(0), draw(1)).any()


@pytest.mark.parametrize("kappa", [-0.1, 1.1, math.nan])
def test_kappa_outside_the_unit_interval_is_refused(kappa):
    with pytest.raises(ValueError, match="kappa runs from 0"):
        Ancestral(kappa=kappa)
