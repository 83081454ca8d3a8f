"""Diffusion time estimation against its posterior, and its nets on data of a known law."""

import numpy as np
import pytest
import torch
from dxbench_baselines.dte import (
    DTEConfig,
    DTETraining,
    expected_range,
    inverse_gamma_loss,
    noise_of_neighbours,
    noise_variances,
)
from scipy.stats import invgamma
from torch.nn import functional

from dxbench.api import Compute
from dxbench.api.streams import RandomStreams

ROWS = np.random.default_rng(0).normal(size=(120, 6)) * [1, 5, 2, 0.1, 1, 1] + 3


def test_the_nonparametric_energy_is_the_mode_of_the_inverse_gamma_posterior() -> None:
    x = np.random.default_rng(1).normal(size=(8, 6)) + 3
    z, queries = ((points - ROWS.mean(0)) / ROWS.std(0) for points in (ROWS, x))
    squared = np.sort(np.square(queries[:, None] - z).sum(-1), axis=1)[:, :5].mean(1)
    grid = np.linspace(0.01, 1, 10_000)
    modes = [b * grid[np.argmax(invgamma.logpdf(b * grid, a=6 / 2 - 1, scale=b / 2))] for b in squared]
    np.testing.assert_allclose(noise_of_neighbours(ROWS, 5)(x), modes, rtol=1e-3)


def test_more_neighbours_than_rows_are_all_of_them_and_constant_columns_do_no_harm() -> None:
    rows = np.c_[ROWS[:4], np.ones(4)]
    assert np.isfinite(noise_of_neighbours(rows, 50)(rows)).all()


def test_the_noise_grows_to_that_of_400_steps() -> None:
    var = noise_variances(400)
    betas = np.linspace(1e-4, 1e-2, 400)
    np.testing.assert_allclose(var.numpy(), 1 - np.cumprod(1 - betas), rtol=1e-4)
    assert (var.diff() > 0).all()


def test_the_inverse_gamma_loss_is_the_likelihood_over_its_shape_and_least_at_the_variance() -> None:
    beta = torch.linspace(0.05, 3, 500, dtype=torch.float64)
    loss = inverse_gamma_loss(beta, torch.full_like(beta, 0.7))
    assert float(beta[loss.argmin()]) == pytest.approx(0.7, abs=0.01)
    shape = 4.0
    exact = -torch.from_numpy(invgamma.logpdf(0.7, a=shape, scale=shape * beta.numpy())) / shape
    torch.testing.assert_close(loss - loss[0], exact - exact[0])


def test_the_expected_range_is_a_mean_of_ranges() -> None:
    logits = torch.tensor([[0.0, 0.0, 50.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(expected_range(logits), torch.tensor([2.0, 1.0]))


def training(**settings: object) -> DTETraining:
    """Rows on a line in 16 dimensions: how far a point is off it is its noise."""
    rows = torch.randn(400, 1, generator=torch.Generator().manual_seed(0)).expand(400, 16) * 3.0
    config = DTEConfig(widths=(32, 32), lr=1e-2, dropout=0.0, iterations=250, **settings)  # type: ignore[arg-type]
    return DTETraining(rows, config, Compute(device="cpu", threads=1), RandomStreams("test", 0))


@pytest.mark.parametrize("variant", ["categorical", "inverse_gamma"])
def test_a_trained_net_finds_more_noise_in_points_further_off_the_line(variant: str) -> None:
    train = training(variant=variant)
    for _ in range(train.total_steps):
        train.step()
    eps = torch.randn(100, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        near, further, furthest = (float(train.model().energy(3.0 * std * eps).mean()) for std in (0.05, 0.4, 0.9))
    assert 1.5 * near < further < furthest / 1.2


def test_training_ends_with_its_epochs_or_its_iterations() -> None:
    assert training().total_steps == 250
    assert training(epochs=2).total_steps == 14  # 400 rows in batches of 64


def test_the_released_loss_takes_the_softmax_twice() -> None:
    outputs, t = torch.randn(5, 7, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 57, 58, 200, 399])
    wanted = torch.tensor([0, 0, 1, 3, 6])
    once, twice = (training(double_softmax=double)._loss(outputs, t, t.float()) for double in (False, True))
    torch.testing.assert_close(once, functional.cross_entropy(outputs, wanted, reduction="none"))
    torch.testing.assert_close(twice, functional.cross_entropy(outputs.softmax(1), wanted, reduction="none"))
    torch.testing.assert_close(once, -outputs.log_softmax(1)[torch.arange(5), wanted])
