"""Levels chosen along trajectories: the path against every other, misses and gain on a Gaussian's flow."""

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from flows import MEAN, STD, denoise, flow

from dxmi.sampling.noise import SeededNoise
from dxmi.sampling.retiming import Retiming, cheapest_path, euler_misses
from dxmi.sampling.samplers import IPNDM, Heun, euler
from dxmi.schedules.levels import NoiseLevels

NOISE = SeededNoise(seeds=torch.arange(64), event_shape=(3,), dtype=torch.float64)


def some_misses(levels: int) -> np.ndarray:
    misses = np.random.default_rng(levels).gamma(1.0, size=(levels, levels))
    return np.where(np.triu(np.ones_like(misses), 1) > 0, misses, np.inf)


def cost(misses: np.ndarray, path: list[int], weight: float) -> float:
    return sum(weight**k * misses[i, j] for k, (i, j) in enumerate(pairwise(path)))


@pytest.mark.parametrize("weight", [0.8, 1.0, 1.15])
@pytest.mark.parametrize("num_steps", [1, 2, 4, 7])
def test_no_other_path_of_as_many_jumps_is_cheaper(num_steps, weight):
    misses = some_misses(8)
    paths = [[0, *between, 7] for between in combinations(range(1, 7), num_steps - 1)]
    best = min(paths, key=lambda path: cost(misses, path, weight))
    assert cheapest_path(misses, num_steps=num_steps, weight=weight) == best


@pytest.mark.parametrize("num_steps", [0, 8])
def test_steps_that_the_levels_do_not_have_are_refused(num_steps):
    with pytest.raises(ValueError, match=f"{num_steps} of 7 steps cannot be chosen"):
        cheapest_path(some_misses(8), num_steps=num_steps, weight=1.0)


def test_misses_of_a_gaussian_are_those_of_its_flow():
    fine = NoiseLevels.karras(40, sigma_max=20.0)
    misses = euler_misses(denoise, fine, list(Heun().states(denoise, fine, NOISE)))
    assert np.isinf(misses[np.tril_indices(41)]).all()
    start, sigmas = fine.start_std * NOISE.normal(0), fine.sigmas
    for i, j in ((0, 20), (0, 40), (10, 35)):
        away = (flow(start, sigmas[0], sigmas[i]) - MEAN).norm(dim=1).mean()
        # Euler's jump multiplies x - MEAN by 1 + (s' - s) s / (STD^2 + s^2), the flow by the ratio of total stds.
        euler_factor = 1 + (sigmas[j] - sigmas[i]) * sigmas[i] / (STD**2 + sigmas[i] ** 2)
        exact = ((sigmas[j] ** 2 + STD**2) / (sigmas[i] ** 2 + STD**2)).sqrt()
        assert misses[i, j] == pytest.approx(((euler_factor - exact).abs() * away).item(), rel=0.02)


def test_chosen_levels_run_from_first_to_last_and_come_closer_to_the_data_than_karras():
    karras = NoiseLevels.karras(6)
    chosen = Retiming(trajectories=64).levels(denoise, euler(), NoiseLevels.karras(60), NOISE, num_steps=6)
    assert chosen.sigmas[0] == 80.0
    assert chosen.sigmas[-1] == 0.0
    assert chosen.num_steps == 6
    assert set(chosen.sigmas.tolist()) <= set(NoiseLevels.karras(60).sigmas.tolist())
    unseen = SeededNoise(seeds=torch.arange(1000, 1500), event_shape=(3,), dtype=torch.float64)
    truth = flow(80.0 * unseen.normal(0), 80.0, 0.0)
    errors = [(euler()(denoise, levels, unseen) - truth).norm(dim=1).mean() for levels in (karras, chosen)]
    assert errors[1] < 0.7 * errors[0]


def test_of_several_weights_the_one_is_taken_whose_samples_end_nearest():
    fine, weights = NoiseLevels.karras(60), (0.7, 1.0, 1.3)
    truth = list(Heun().states(denoise, fine, NOISE))[-1]

    def error(*weights: float) -> float:
        levels = Retiming(weights=weights).levels(denoise, IPNDM(), fine, NOISE, num_steps=8)
        return (IPNDM()(denoise, levels, NOISE) - truth).norm(dim=1).mean().item()

    alone = [error(weight) for weight in weights]
    assert len(set(alone)) > 1
    assert error(*weights) == min(alone)


def test_a_denoiser_that_gives_nan_is_named():
    fine = NoiseLevels.karras(5)
    with pytest.raises(ValueError, match="trajectories are not finite"):
        Retiming().levels(lambda x, sigma: x * torch.nan, euler(), fine, NOISE, num_steps=2)
