import math

import pytest
import torch

from dxmi.schedules.levels import NoiseLevels, VPSchedule

SCHEDULES = {
    "linear": VPSchedule.linear(50),
    "linear, few steps": VPSchedule.linear(5),
    "cosine": VPSchedule.cosine(50),
    "betas": VPSchedule.from_betas(torch.tensor([0.1, 0.3, 0.2, 0.7], dtype=torch.float64)),
}
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())


@every_schedule
def test_steps_multiply_to_the_signal_levels(schedule):
    remaining = schedule.alphas.flip(0).cumprod(0).flip(0)  # product of alpha_k .. alpha_{K-1}
    torch.testing.assert_close(remaining, schedule.alpha_bar[:-1], rtol=1e-12, atol=0)
    assert schedule.num_steps == len(schedule.alphas) == len(schedule.alpha_bar) - 1
    assert schedule.alpha_bar.dtype == torch.float64


@every_schedule
def test_a_step_back_to_noise_keeps_the_variance_preserved(schedule):
    """x_k = sqrt(alpha) x_{k+1} + sqrt(1 - alpha) eps has noise variance 1 - alpha_bar_k again."""
    above, below = schedule.alpha_bar[1:], schedule.alpha_bar[:-1]
    variance = schedule.alphas * (1 - above) + (1 - schedule.alphas)
    torch.testing.assert_close(variance, 1 - below, rtol=1e-12, atol=0)


@every_schedule
def test_posterior_std_is_that_of_gaussian_conditioning(schedule):
    """Precisions add: 1 / (1 - alpha_bar_{k+1}) of x_{k+1} | x_data and alpha / (1 - alpha) of x_k | x_{k+1}."""
    noise = 1 - schedule.alpha_bar[1:-1]
    alphas = schedule.alphas[:-1]
    expected = (1 / noise + alphas / (1 - alphas)).rsqrt()
    torch.testing.assert_close(schedule.posterior_std()[:-1], expected, rtol=1e-10, atol=0)
    assert schedule.posterior_std()[-1] == 0


def test_betas_are_given_from_data_to_noise():
    schedule = VPSchedule.from_betas(torch.tensor([0.1, 0.2, 0.5], dtype=torch.float64))
    expected = torch.tensor([0.9 * 0.8 * 0.5, 0.9 * 0.8, 0.9, 1.0], dtype=torch.float64)
    torch.testing.assert_close(schedule.alpha_bar, expected, rtol=1e-14, atol=0)
    torch.testing.assert_close(1 - schedule.alphas, torch.tensor([0.5, 0.2, 0.1], dtype=torch.float64))


def test_linear_at_a_thousand_steps_is_ddpms_schedule():
    ours = VPSchedule.linear(1000)
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    ddpm = VPSchedule.from_betas(betas)
    # An interval's mean of beta(t) is not its value at the end, so betas agree in units of the largest.
    assert ((1 - ours.alphas).flip(0) - betas).abs().max() < 0.011 * 0.02
    assert (ours.alpha_bar.sqrt() - ddpm.alpha_bar.sqrt()).abs().max() < 0.01
    assert ((1 - ours.alpha_bar).sqrt() - (1 - ddpm.alpha_bar).sqrt()).abs().max() < 0.01
    assert ours.alpha_bar[0].log().item() == pytest.approx(ddpm.alpha_bar[0].log().item(), rel=0.01)


@pytest.mark.parametrize("num_steps", [1, 5, 1000])
def test_linear_ends_in_noise_for_any_number_of_steps(num_steps):
    # Integral of beta(t) = 0.1 + 19.9 t over [0, 1].
    assert VPSchedule.linear(num_steps).alpha_bar[0].item() == pytest.approx(math.exp(-10.05), rel=1e-12)


def test_linear_with_fewer_steps_is_a_subset_of_one_with_more():
    assert torch.allclose(VPSchedule.linear(10).alpha_bar, VPSchedule.linear(50).alpha_bar[::5], rtol=1e-12, atol=0)


def test_cosine_follows_equation_17_where_betas_are_not_clipped():
    schedule = VPSchedule.cosine(100)
    t = torch.linspace(1, 0, 101, dtype=torch.float64)
    f = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    torch.testing.assert_close(schedule.alpha_bar[1:], (f / f[-1])[1:], rtol=1e-10, atol=0)
    assert (1 - schedule.alphas).max().item() == pytest.approx(0.999, rel=1e-12)


@pytest.mark.parametrize(
    "levels",
    [[1.0], [0.1, 0.5], [0.0, 0.5, 1.0], [-0.1, 1.0], [0.5, 0.1, 1.0], [0.5, 0.5, 1.0], [0.1, math.nan, 1.0]],
    ids=["one level", "no data end", "zero signal", "negative", "falling", "repeated", "nan"],
)
def test_signal_levels_that_do_not_rise_to_one_are_refused(levels):
    with pytest.raises(ValueError, match="alpha_bar must rise"):
        VPSchedule(alpha_bar=torch.tensor(levels, dtype=torch.float64))


@pytest.mark.parametrize("beta", [0.0, 1.0, 1.5, -0.1])
def test_betas_outside_the_open_unit_interval_are_refused(beta):
    with pytest.raises(ValueError, match="alpha_bar must rise"):
        VPSchedule.from_betas(torch.tensor([0.1, beta, 0.2], dtype=torch.float64))


@every_schedule
def test_noise_levels_of_a_vp_schedule_are_its_states_over_root_alpha_bar(schedule):
    levels = schedule.noise_levels
    signal = schedule.alpha_bar
    torch.testing.assert_close(levels.sigmas * signal.sqrt(), (1 - signal).sqrt(), rtol=1e-12, atol=1e-15)
    # A start of unit variance, as DDPM draws it.
    assert levels.start_std * signal[0].sqrt().item() == pytest.approx(1)
    assert levels.num_steps == schedule.num_steps


def test_karras_levels_are_those_of_equation_5():
    levels = NoiseLevels.karras(18)
    i = torch.arange(18, dtype=torch.float64)
    expected = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    torch.testing.assert_close(levels.sigmas[:-1], expected, rtol=1e-12, atol=0)
    assert levels.sigmas[-1] == 0
    assert levels.start_std == 80
    assert levels.num_steps == 18


def test_karras_without_the_terminal_zero_has_as_many_steps_and_ends_at_sigma_min():
    levels = NoiseLevels.karras_above_zero(4)
    assert levels.num_steps == 4
    assert levels.sigmas[0].item() == pytest.approx(80)
    assert levels.sigmas[-1].item() == pytest.approx(0.002)
    middle = (80**0.25 + 0.5 * (0.002**0.25 - 80**0.25)) ** 4
    assert levels.sigmas[2].item() == pytest.approx(middle)


def test_a_single_karras_step_leads_from_sigma_max_to_zero():
    assert NoiseLevels.karras(1).sigmas.tolist() == pytest.approx([80, 0])


@pytest.mark.parametrize("sigmas", [[1.0], [1.0, 1.0], [1.0, 2.0], [1.0, -0.1], [1.0, math.nan]])
def test_noise_levels_that_do_not_fall_to_zero_or_above_are_refused(sigmas):
    with pytest.raises(ValueError, match="noise levels must fall"):
        NoiseLevels(sigmas=torch.tensor(sigmas, dtype=torch.float64), start_std=1.0)


@pytest.mark.parametrize(("num", "low", "high"), [(0, 0.002, 80.0), (5, 0.0, 80.0), (5, 80.0, 0.002), (5, 1.0, 1.0)])
def test_karras_levels_out_of_range_are_refused(num, low, high):
    with pytest.raises(ValueError, match="wanted one or more, falling"):
        NoiseLevels.karras(num, sigma_min=low, sigma_max=high)
