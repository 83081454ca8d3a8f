"""consistency and ect against closed-form Gaussian flows."""

import math
from itertools import pairwise

import pytest
import torch
from dxbench_baselines.consistency import Consistency, ConsistencyConfig
from dxbench_baselines.ect import ECT, ECTConfig, ect_loss, nearer_sigma
from gaussian_task import errors, small, solve
from pydantic import ValidationError
from torch import Tensor, nn

from dxmi.backbones.small import EDMMLP
from dxmi.consistency import (
    consistency_loss,
    ema_update,
    growing_decay,
    growing_levels,
    l2,
    pseudo_huber,
)
from dxmi.models import ConsistencySampler
from dxmi.sampling.denoisers import EDMDenoiser
from dxmi.sampling.samplers import heun_step
from dxmi.schedules.levels import karras_sigmas

MEAN, STD, FLOOR = torch.tensor([0.4, -0.3], dtype=torch.float64), 0.4, 0.002


def denoise(x: Tensor, sigma: Tensor) -> Tensor:
    """E[data | x] of N(MEAN, STD^2 I)."""
    return MEAN + (STD**2 / (STD**2 + sigma.square()))[:, None] * (x - MEAN)


def jump(x: Tensor, sigma: Tensor) -> Tensor:
    """The consistency function of that Gaussian: where its flow takes x at sigma = FLOOR."""
    return MEAN + ((STD**2 + FLOOR**2) / (STD**2 + sigma.square())).sqrt()[:, None] * (x - MEAN)


def squared(a: Tensor, b: Tensor) -> Tensor:
    return l2(a - b)


def noised(sigma: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    data = MEAN + STD * torch.randn(len(sigma), 2, generator=generator, dtype=torch.float64)
    return data, torch.randn(len(sigma), 2, generator=generator, dtype=torch.float64)


def test_on_a_fine_grid_the_true_consistency_function_has_no_distillation_loss():
    """The CD pair (x, Heun step of the teacher) lies on one path; the loss falls as the sixth power of the step."""
    losses = []
    for num_levels in (40, 80):
        levels = karras_sigmas(num_levels, sigma_min=FLOOR, sigma_max=80.0, rho=7.0)
        i = torch.arange(num_levels - 1)
        data, eps = noised(levels[i])
        x = data + levels[i][:, None] * eps
        nearer = heun_step(denoise, x, levels[i], levels[i + 1])
        losses.append(consistency_loss(jump, jump, x, nearer, levels[i], levels[i + 1], distance=squared).mean().item())
        wrong = consistency_loss(denoise, denoise, x, nearer, levels[i], levels[i + 1], distance=squared).mean().item()
        assert wrong > 50 * losses[-1]
    assert losses[0] < 1e-6
    assert math.log2(losses[0] / losses[1]) == pytest.approx(6, abs=1)


def test_the_training_pair_has_the_distillation_pair_as_its_mean():
    """E[data + sigma' eps | x] is Euler's step with the exact denoiser: why CT needs no teacher."""
    n, sigma, after = 400_000, 0.9, 0.7
    data, eps = noised(torch.full((n,), sigma, dtype=torch.float64))
    x, nearer = data + sigma * eps, data + after * eps
    euler = x + (after - sigma) * (x - denoise(x, torch.full((n,), sigma, dtype=torch.float64))) / sigma
    # Regression of the pair's difference on x: no slope and no offset is left.
    rest, centred = nearer - euler, x - x.mean(0)
    spread = rest.std() / math.sqrt(n)
    assert (rest.mean(0).abs() < 5 * spread).all()
    assert ((rest * centred).mean(0).abs() < 5 * spread * centred.std()).all()


def test_the_target_carries_no_gradient():
    online, target = nn.Linear(2, 2), nn.Linear(2, 2)
    x, sigma = torch.ones(3, 2), torch.ones(3)
    wrapped = [lambda x, sigma, net=net: net(x) for net in (online, target)]
    consistency_loss(*wrapped, x, x, sigma, sigma, distance=squared).mean().backward()
    assert online.weight.grad.abs().sum() > 0
    assert target.weight.grad is None


def test_grids_of_consistency_training_grow_from_s0_to_s1_plus_one():
    levels = [growing_levels(k / 1000, first=2, last=150) for k in range(1001)]
    assert levels[0] == 2
    assert levels[-1] == 151
    assert levels == sorted(levels)
    assert growing_decay(2, first=2, decay=0.9) == pytest.approx(0.9)
    assert growing_decay(150, first=2, decay=0.9) == pytest.approx(math.exp(2 * math.log(0.9) / 150))


def test_the_slow_copy_follows_by_one_minus_its_decay():
    slow, module = nn.Linear(1, 1), nn.Linear(1, 1)
    with torch.no_grad():
        slow.weight.fill_(1.0)
        module.weight.fill_(3.0)
    ema_update(slow, module, decay=0.75)
    assert slow.weight.item() == pytest.approx(1.5)
    ema_update(slow, module, decay=0.0)
    assert slow.weight.item() == 3.0


def test_pseudo_huber_is_quadratic_near_zero_and_linear_far_away():
    near, far = torch.full((1, 2), 1e-4).double(), torch.full((1, 2), 1e3).double()
    assert pseudo_huber(near, c=0.1).item() == pytest.approx(l2(near).item() / 0.2, rel=1e-4)
    assert pseudo_huber(far, c=0.1).item() == pytest.approx(l2(far).sqrt().item() - 0.1, rel=1e-6)


class Remembering(EDMDenoiser):
    """Records the levels it is asked at."""

    def __init__(self) -> None:
        super().__init__(nn.Identity(), sigma_min=FLOOR)
        self.asked: list[Tensor] = []

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.asked.append(sigma)
        return jump(x, sigma)


def test_ect_asks_the_target_at_r_and_takes_the_data_where_r_is_zero():
    denoiser = Remembering()
    t, r = torch.tensor([2.0, 2.0, 0.5]).double(), torch.tensor([0.0, 1.0, 0.4]).double()
    data, eps = noised(t)
    loss = ect_loss(denoiser, data, eps, t, r, huber_c=1e-8)
    torch.testing.assert_close(denoiser.asked[1], torch.tensor([FLOOR, 1.0, 0.4]).double())
    answer = jump(data + t[:, None] * eps, t)
    target = torch.stack([data[0], *jump(data + r[:, None] * eps, r)[1:]])
    torch.testing.assert_close(loss, (answer - target).norm(dim=1) / (t - r), rtol=1e-6, atol=1e-9)


def test_r_begins_at_zero_for_small_t_at_half_for_large_and_comes_ever_nearer():
    t = torch.tensor([0.01, 0.5, 5.0, 80.0])
    stages = [nearer_sigma(t, stage=stage, q=2.0) for stage in range(12)]
    assert (stages[0][:2] == 0).all()
    assert stages[0][3].item() == pytest.approx(40.0)
    assert all((b >= a).all() and (b < t).all() for a, b in pairwise(stages))
    expected = t * (1 - (1 + 8 / (1 + t.exp())) / 2**12)
    torch.testing.assert_close(stages[-1], expected)


def test_two_jumps_with_the_true_function_keep_the_law():
    class True_(EDMDenoiser):
        def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
            return jump(x.double(), sigma.double()).float()

    n = 20_000
    for middle in ((), (0.8,)):
        net = True_(nn.Linear(1, 1), sigma_min=FLOOR)
        model = ConsistencySampler(denoiser=net, sigmas=(80.0, *middle), event_shape=(2,), scale=0.5)
        x = 0.5 * model.sample(torch.arange(n))
        # The start has no data under its noise: the mean is off by MEAN STD / 80.
        assert ((x.mean(0) - MEAN).abs() < 5 * STD / math.sqrt(n) + 0.005).all()
        assert ((x.std(0) / STD - 1).abs() < 5 / math.sqrt(2 * n)).all()


UNTRAINED = small(EDMMLP, iterations=0)
# One pass without tuning, the teacher's mean of all data, would miss the whole covariance: 0.36.
SOLVED = {
    "batch_size": 128,
    "lr": 2e-3,
    "ema_decay": 0.98,
    "backbone": small(EDMMLP, lr=3e-3, ema_decay=0.98, iterations=400),
    "iterations": 500,
    "sigma_max": 10.0,
}


@pytest.mark.parametrize(
    ("method", "config"),
    [
        (Consistency, ConsistencyConfig(**SOLVED, num_levels=10, target_decay=0.0)),
        (Consistency, ConsistencyConfig(**SOLVED, variant="training", num_levels=12, target_decay=0.5)),
        (ECT, ECTConfig(**SOLVED, stages=5, sigma_mean=-0.3, sigma_std=1.5)),
    ],
    ids=["cd", "ct", "ect"],
)
def test_a_gaussian_is_drawn_in_one_pass(method, config):
    mean, covariance = errors(solve(method, config))
    assert mean < 0.2
    assert covariance < 0.24


@pytest.mark.parametrize(
    "middle", [(0.5, 0.8), (90.0,), (0.001,)], ids=["rising", "above the start", "below the floor"]
)
def test_ect_refuses_jumps_that_cannot_be_made(middle):
    with pytest.raises(ValidationError, match="must fall from sigma_max and stay above sigma_min"):
        ECTConfig(middle_sigmas=middle)


@pytest.mark.parametrize("middle", [(9, 7), (5, 5)], ids=["rising", "repeated"])
def test_consistency_models_refuse_jumps_that_cannot_be_made(middle):
    with pytest.raises(ValidationError, match="must fall from sigma_max and stay above sigma_min"):
        ConsistencyConfig(num_levels=18, middle_levels=middle)


@pytest.mark.parametrize("level", [17, 18])
def test_the_last_level_and_those_beyond_the_grid_are_refused(level):
    with pytest.raises(ValidationError, match=rf"jump from are 0 .. 16, got \({level},\)"):
        ConsistencyConfig(num_levels=18, middle_levels=(level,))


def test_levels_are_counted_on_the_grid_of_training():
    assert ConsistencyConfig(num_levels=18, middle_levels=(9,)).sigmas[1] == pytest.approx(1.923, abs=0.001)


def test_distillation_without_a_teacher_is_refused_with_the_remedy():
    with pytest.raises(ValidationError, match=r"set backbone.pretraining.iterations above 0, or variant=training"):
        ConsistencyConfig(backbone=UNTRAINED)
    assert ConsistencyConfig(backbone=UNTRAINED, variant="training").backbone == UNTRAINED
