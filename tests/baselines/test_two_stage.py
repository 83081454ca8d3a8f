"""The two stages of an energy against their formulas: what each descends, what is kept between them, what is scored."""

import numpy as np
import pytest
import torch
from dxbench_baselines.starts.two_stage import TwoStageConfig, TwoStageEnergy
from torch import Tensor

from dxmi.geometry.sphere import project

SIZES = TwoStageConfig(
    features="sphere",
    latent=3,
    hidden=16,
    pretrain_iterations=4,
    iterations=6,
    energy_lr=1e-2,
    batch_size=12,
    energy_scale=10.0,
    pretrain_lr=1e-3,
    ema_decay=0.75,
)
POINTS = project(torch.randn(40, 6, generator=torch.Generator().manual_seed(1)))
NEW = project(torch.randn(9, 6, generator=torch.Generator().manual_seed(2)))


def begun(settings: TwoStageConfig) -> TwoStageEnergy:
    init, data = torch.Generator().manual_seed(0), np.random.default_rng(0)
    return TwoStageEnergy(POINTS, settings, init=init, data=data, device="cpu")


def pretrained(settings: TwoStageConfig) -> TwoStageEnergy:
    energy = begun(settings)
    while energy.pretrain() is not None:
        pass
    return energy


def errors(energy: TwoStageEnergy, x: Tensor) -> Tensor:
    """|x - dec(enc(x))|^2, from the networks alone."""
    net = energy.net
    return (x - project(net.decoder(project(net.encoder(x))))).square().sum(1)


def weights(energy: TwoStageEnergy) -> list[Tensor]:
    return [weight.detach().clone() for weight in energy.net.parameters()]


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_the_first_stage_descends_reconstruction_errors_whatever_the_scale_of_the_energy(scale: float) -> None:
    """The first step of Adam is its rate against the sign of the gradient."""
    energy = begun(SIZES.model_copy(update={"energy_scale": scale}))
    rows = np.random.default_rng(0).integers(40, size=12)
    loss = errors(energy, POINTS[torch.from_numpy(rows)]).mean()
    gradients = torch.autograd.grad(loss, list(energy.net.parameters()))
    before = weights(energy)
    told = energy.pretrain()
    assert told is not None
    torch.testing.assert_close(told, loss.detach())
    for old, new, gradient in zip(before, weights(energy), gradients, strict=True):
        sure = gradient.abs() > 1e-4
        torch.testing.assert_close((new - old)[sure], -1e-3 * gradient.sign()[sure], rtol=1e-2, atol=1e-6)


def test_the_first_stage_ends_on_time_and_its_end_is_frozen() -> None:
    energy = begun(SIZES)
    assert energy.total_steps == 10
    at_start = energy.frozen(NEW)
    for _ in range(4):
        assert torch.equal(energy.frozen(NEW), at_start)
        assert energy.pretrain() is not None
    assert energy.pretrain() is None
    assert energy.steps_done == 4
    end = energy.net(NEW).detach()
    assert torch.equal(energy.frozen(NEW), end)
    assert not torch.equal(end, at_start)
    for _ in range(3):
        energy.descend(energy.net(energy.batch()).mean())
    assert energy.steps_done == 7
    assert torch.equal(energy.frozen(NEW), end)
    assert not torch.equal(energy.net(NEW), end)
    assert not any(weight.requires_grad for weight in energy.frozen.parameters())


def test_the_second_stage_takes_its_own_rate_from_a_fresh_optimiser() -> None:
    energy = pretrained(SIZES)
    loss = (energy.net(NEW) - energy.net(POINTS[:9])).mean()
    gradients = torch.autograd.grad(loss, list(energy.net.parameters()), retain_graph=True)
    before = weights(energy)
    torch.testing.assert_close(energy.descend(loss), loss.detach())
    for old, new, gradient in zip(before, weights(energy), gradients, strict=True):
        sure = gradient.abs() > 1e-4
        torch.testing.assert_close((new - old)[sure], -1e-2 * gradient.sign()[sure], rtol=1e-2, atol=1e-6)


def test_what_is_scored_is_the_network_in_the_first_stage_and_its_moving_average_in_the_second() -> None:
    energy = begun(SIZES)
    energy.pretrain()
    torch.testing.assert_close(energy.scored().energy(NEW), 10.0 * errors(energy, NEW))
    energy = pretrained(SIZES)
    torch.testing.assert_close(energy.scored().energy(NEW), 10.0 * errors(energy, NEW))
    average: list[Tensor] = []
    for _ in range(4):
        energy.descend(energy.net(NEW).mean())
        current = weights(energy)
        average = [0.75 * a + 0.25 * w for a, w in zip(average, current, strict=True)] if average else current
    scored = energy.scored().energy(NEW)
    assert not torch.allclose(scored, 10.0 * errors(energy, NEW), rtol=1e-3)
    with torch.no_grad():
        for weight, mean in zip(energy.net.parameters(), average, strict=True):
            weight.copy_(mean)
    torch.testing.assert_close(scored, 10.0 * errors(energy, NEW))


def test_batches_are_training_points_that_the_generator_draws() -> None:
    energy = begun(SIZES)
    rng = np.random.default_rng(0)
    for _ in range(2):
        torch.testing.assert_close(energy.batch(), POINTS[torch.from_numpy(rng.integers(40, size=12))])
