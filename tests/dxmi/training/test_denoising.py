import math

import torch
from torch import Tensor

from dxmi.sampling.noise import StreamNoise
from dxmi.schedules.levels import VPSchedule
from dxmi.training.denoising import denoising_loss, drawn_steps

MEAN, STD, BATCH = torch.tensor([1.5, -0.5, 2.0], dtype=torch.float64), 0.4, 100_000


def data(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return MEAN + STD * torch.randn(BATCH, 3, generator=generator, dtype=torch.float64)


def stream(seed: int) -> StreamNoise:
    generator = torch.Generator().manual_seed(seed)
    return StreamNoise(batch_size=BATCH, event_shape=(3,), generator=generator, dtype=torch.float64)


def assert_mean(losses: Tensor, expected: float) -> None:
    assert losses.shape == (BATCH,)
    assert abs(losses.mean().item() - expected) < 5 * losses.std().item() / math.sqrt(BATCH)


def test_loss_of_the_exact_noise_predictor_is_the_posterior_variance():
    """Var[eps | x_k] = alpha_bar s^2 / (alpha_bar s^2 + 1 - alpha_bar) per dimension, k uniform on 0 .. K - 1."""
    schedule = VPSchedule.linear(6)

    def exact(x: Tensor, k: Tensor) -> Tensor:
        signal = schedule.alpha_bar[k][:, None]
        return (1 - signal).sqrt() * (x - signal.sqrt() * MEAN) / (signal * STD**2 + 1 - signal)

    signal = schedule.alpha_bar[:-1]
    expected = (signal * STD**2 / (signal * STD**2 + 1 - signal)).mean().item()
    assert_mean(denoising_loss(exact, schedule, data(0), *drawn_steps(schedule, stream(1))), expected)


def test_loss_of_predicting_zero_is_one_per_dimension():
    zero = denoising_loss(
        lambda x, k: torch.zeros_like(x), VPSchedule.linear(6), data(0), *drawn_steps(VPSchedule.linear(6), stream(1))
    )
    assert_mean(zero, 1.0)


def test_the_net_sees_every_step_but_the_data_equally_often():
    seen = []

    def spy(x: Tensor, k: Tensor) -> Tensor:
        seen.append(k)
        return x

    denoising_loss(spy, VPSchedule.linear(4), data(0), *drawn_steps(VPSchedule.linear(4), stream(1)))
    counts = torch.bincount(seen[0], minlength=5)
    assert counts[4] == 0
    assert ((counts[:4] / BATCH - 0.25).abs() < 5 * math.sqrt(0.25 * 0.75 / BATCH)).all()


def test_loss_follows_the_stream_and_not_the_global_seed():
    def loss(seed: int, global_seed: int) -> Tensor:
        torch.manual_seed(global_seed)
        return denoising_loss(
            lambda x, k: x, VPSchedule.linear(4), data(0), *drawn_steps(VPSchedule.linear(4), stream(seed))
        )

    assert torch.equal(loss(1, 0), loss(1, 1))
    assert not torch.equal(loss(1, 0), loss(2, 0))
