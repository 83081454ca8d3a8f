import math

import pytest
import torch

from dxmi.schedules.chains import LinearChain, SDEChain
from dxmi.schedules.levels import VPSchedule

CHAIN = LinearChain()
BETAS = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
WAYS = ["var_quadratic", "var_linear", "step_quadratic", "step_linear"]


def test_signal_at_whole_steps_is_the_product_of_ddpms_alphas():
    product = (1 - BETAS).log().cumsum(0)
    torch.testing.assert_close(CHAIN.log_alpha_bar(torch.arange(1000.0)), product, rtol=1e-7, atol=1e-9)
    assert CHAIN.log_alpha_bar(torch.tensor([-1.0])).item() == pytest.approx(0, abs=1e-9)


def test_fractional_steps_lie_between_their_neighbours_and_come_back():
    t = torch.tensor([-0.9, -0.2, 0.0, 0.4, 28.293, 333.3, 616.734, 998.5, 999.0], dtype=torch.float64)
    levels = CHAIN.log_alpha_bar(t)
    assert (levels.diff() < 0).all()
    torch.testing.assert_close(CHAIN.step_of(levels), t, rtol=0, atol=1e-4)
    assert CHAIN.log_alpha_bar(t.floor())[4] > levels[4] > CHAIN.log_alpha_bar(t.ceil())[4]


def test_ten_quadratic_variances_are_those_of_the_released_code():
    """Their fractional steps; the last, exactly 0, was found by a bisection that stops 1.5e-4 above it."""
    schedule = CHAIN.var_quadratic(10)
    eta = [1e-4, 0.011025, 0.04, 0.087025, 0.1521, 0.235225, 0.3364, 0.455625, 0.5929, 0.748225]
    torch.testing.assert_close(
        (1 - schedule.alphas).flip(0), torch.tensor(eta, dtype=torch.float64), rtol=1e-9, atol=1e-12
    )
    steps = CHAIN.step_of(schedule.alpha_bar[:-1].log())
    released = [616.734, 493.982, 394.076, 308.868, 234.858, 170.301, 114.363, 66.865, 28.293, 1.5e-4]
    torch.testing.assert_close(steps, torch.tensor(released).double(), rtol=0, atol=6e-4)
    assert abs(steps[-1].item()) < 2e-4


def test_float32_levels_lose_the_last_step():
    """Why everything is float64: rounding alone moves the last step by a tenth of a step."""
    last = CHAIN.var_quadratic(10).alpha_bar[-2].log()
    assert abs(CHAIN.step_of(last.exp().float().log().double()[None]).item()) > 1e-4


@pytest.mark.parametrize("num_steps", [50, 100])
@pytest.mark.parametrize("way", ["var_quadratic", "var_linear"])
def test_enough_variances_reach_the_noise_of_the_whole_chain(way, num_steps):
    schedule = getattr(CHAIN, way)(num_steps)
    assert schedule.num_steps == num_steps
    assert schedule.alpha_bar[0].log().item() == pytest.approx((1 - BETAS).log().sum().item(), rel=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_steps_that_were_asked_for_and_ends_at_data(way):
    for num_steps in (2, 5, 10, 20):
        schedule = getattr(CHAIN, way)(num_steps)
        assert schedule.num_steps == num_steps
        assert schedule.alpha_bar[-1] == 1
        assert schedule.alpha_bar.dtype == torch.float64
        assert schedule.alpha_bar[0] >= (1 - BETAS).prod() * (1 - 1e-6)


def test_whole_steps_are_those_of_ddim():
    quadratic = CHAIN.step_of(CHAIN.step_quadratic(10).alpha_bar[:-1].log()).flip(0)
    expected = [int((i * math.sqrt(800) / 9) ** 2 + 1e-9) for i in range(10)]
    torch.testing.assert_close(quadratic, torch.tensor(expected).double(), rtol=0, atol=1e-5)
    linear = CHAIN.step_of(CHAIN.step_linear(5).alpha_bar[:-1].log()).flip(0)
    torch.testing.assert_close(linear, torch.tensor([0, 200, 400, 600, 800.0]).double(), rtol=0, atol=1e-5)


def test_the_vp_sdes_chain_has_the_states_of_its_schedule_and_is_inverted():
    chain, schedule = SDEChain(length=50), VPSchedule.linear(50)
    t = torch.arange(49, -1, -1.0)
    torch.testing.assert_close(chain.log_alpha_bar(t).exp(), schedule.alpha_bar[:-1])
    assert chain.log_alpha_bar(torch.tensor([-1.0])).item() == 0
    fractional = torch.tensor([-0.5, 0.0, 7.3, 49.0]).double()
    torch.testing.assert_close(chain.step_of(chain.log_alpha_bar(fractional)), fractional, rtol=1e-9, atol=1e-9)
    assert chain.first_variance() == pytest.approx(1 - schedule.alpha_bar[-2].item())


def test_the_vp_sdes_chain_is_ddpms_to_a_percent():
    sde = SDEChain()
    t = torch.arange(0, 1000, 50.0)
    torch.testing.assert_close(sde.log_alpha_bar(t), CHAIN.log_alpha_bar(t), rtol=0.1, atol=2e-5)
    torch.testing.assert_close(sde.log_alpha_bar(t[4:]), CHAIN.log_alpha_bar(t[4:]), rtol=0.01, atol=0)
    ours, theirs = sde.var_quadratic(10).alpha_bar, CHAIN.var_quadratic(10).alpha_bar
    torch.testing.assert_close(ours[1:].log(), theirs[1:].log(), rtol=0.3, atol=0)


@pytest.mark.parametrize("way", WAYS)
def test_one_step_is_refused(way):
    with pytest.raises(ValueError, match="two steps or more, got 1"):
        getattr(CHAIN, way)(1)


@pytest.mark.parametrize(("way", "num_steps"), [("step_quadratic", 100), ("step_linear", 1001)])
def test_more_whole_steps_than_the_chain_has_are_refused(way, num_steps):
    with pytest.raises(ValueError, match="take fewer"):
        getattr(CHAIN, way)(num_steps)


@pytest.mark.parametrize(("first", "last"), [(0.0, 0.1), (0.2, 0.1), (0.1, 1.0)])
def test_betas_that_do_not_rise_inside_the_unit_interval_are_refused(first, last):
    with pytest.raises(ValueError, match="betas rising inside"):
        LinearChain(beta_first=first, beta_last=last)


@pytest.mark.parametrize("wrong", [{"length": 1}, {"beta_min": 0.0}, {"beta_min": 3.0, "beta_max": 2.0}])
def test_vp_sdes_that_do_not_rise_are_refused(wrong):
    with pytest.raises(ValueError, match="betas rising above 0"):
        SDEChain(**wrong)
