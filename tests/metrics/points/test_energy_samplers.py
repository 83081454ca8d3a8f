"""Metrics of samplers of given energies, against closed forms."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import norm

from dxbench.api import EnergyCalls, EvaluationInputs, NotApplicable
from dxbench.metrics.points.given_energy import (
    CallsOfEnergy,
    EffectiveShare,
    EnergyTV,
    LogZError,
    effective_share,
    log_mean_exp,
    total_variation,
)
from dxbench.metrics.points.marginals import largest_ks
from dxbench.metrics.points.particles import DistanceW2, EnergyW2, pair_distances, w2_on_the_line
from dxbench.metrics.points.transport import Wasserstein2, wasserstein2

RNG = np.random.default_rng


def inputs(**seen: Any) -> EvaluationInputs:
    """Inputs of a model of which only this is known."""
    given = {"samples": None, "energy": None, "temperature": None, "nfe": None, "reference": None}
    return EvaluationInputs(**given | seen)


def test_w2_of_moved_points_is_the_way_they_moved() -> None:
    x = RNG(0).standard_normal((300, 3))
    assert wasserstein2(x, x[::-1] + np.array([3.0, 0.0, 4.0])) == pytest.approx(5.0)
    assert wasserstein2(x, x) == pytest.approx(0.0, abs=1e-6)


def test_w2_on_the_line_is_that_of_sorted_points() -> None:
    x, y = RNG(1).standard_normal((2, 400))
    sorted_cost = np.sqrt(np.mean((np.sort(x) - np.sort(2 * y)) ** 2))
    assert wasserstein2(x[:, None], 2 * y[:, None]) == pytest.approx(sorted_cost)


def test_w2_of_two_gaussians_is_near_its_closed_form() -> None:
    """sqrt(|m|^2 + d (s - 1)^2) of N(0, I) and N(m, s^2 I); 2,000 points add a little."""
    rng = RNG(2)
    samples = rng.standard_normal((2000, 2))
    reference = SimpleNamespace(test_draws=[np.array([3.0, 0.0]) + 2.0 * rng.standard_normal((2000, 2))])
    metric = Wasserstein2(reference="made up", repeats=1)
    value = metric.measure(inputs(samples=samples, reference=reference)).value
    assert value == pytest.approx(np.sqrt(9 + 2), rel=0.05)


def test_w2_refuses_what_it_cannot_compare() -> None:
    with pytest.raises(ValueError, match="two sets of points of one width"):
        wasserstein2(np.zeros((3, 2)), np.zeros((3, 3)))
    with pytest.raises(NotApplicable, match="needs 10,000 samples, got 5"):
        Wasserstein2(reference="x").measure(inputs(samples=np.zeros((5, 2))))


def test_total_variation_counts_what_lies_beyond_the_bins() -> None:
    edges = np.array([0.0, 1.0, 2.0])
    assert total_variation(np.array([0.5, 1.5]), np.array([0.5, 1.5]), edges) == 0
    assert total_variation(np.array([0.5, 1.5]), np.array([0.5, 0.5]), edges) == 0.5
    assert total_variation(np.array([9.0, np.inf]), np.array([0.5, -3.0]), edges) == 1


def test_total_variation_of_energies_is_near_that_of_their_laws() -> None:
    rng = RNG(3)
    reference = SimpleNamespace(test_draws=[rng.standard_normal((10_000, 1))], energy=lambda x: x[:, 0], log_z=0.0)
    samples = 1.0 + rng.standard_normal((10_000, 1))
    metric = EnergyTV(reference="made up", bins=20)
    value = metric.measure(inputs(samples=samples, reference=reference)).value
    assert value == pytest.approx(2 * norm.cdf(0.5) - 1, abs=0.02)


def test_the_effective_share_of_known_weights() -> None:
    assert effective_share(np.full(10, 700.0)) == pytest.approx(1.0)
    assert effective_share(np.array([0.0, -np.inf, -np.inf, -np.inf])) == pytest.approx(0.25)
    assert effective_share(np.log([1.0, 2.0, 3.0])) == pytest.approx(36 / (3 * 14))


def test_importance_sampling_of_a_gaussian_finds_its_log_z() -> None:
    """Draws of N(0, 4) for exp(-x^2 / 2): log Z = log sqrt(2 pi), the bound is below it by KL(N(0,4) | N(0,1))."""
    x = 2.0 * RNG(4).standard_normal(200_000)
    weights = -(x**2) / 2 - norm.logpdf(x, scale=2.0)
    assert log_mean_exp(weights) == pytest.approx(0.5 * np.log(2 * np.pi), abs=0.01)
    reference = SimpleNamespace(log_z=0.5 * np.log(2 * np.pi))
    seen = inputs(log_weights=weights, reference=reference)
    assert LogZError(reference="x").measure(seen).value < 0.01
    gap = 0.5 * (4 - 1 - np.log(4))
    assert LogZError(reference="x", bound=True).measure(seen).value == pytest.approx(gap, abs=0.02)
    # E[w]^2 = 2 pi, and E[w^2] = 2 sqrt(2 pi) times the integral of exp(-7 x^2 / 8).
    assert EffectiveShare(reference="x").measure(seen).value == pytest.approx(np.sqrt(7) / 4, abs=0.01)


def test_what_is_not_known_is_a_note() -> None:
    for metric in (EffectiveShare(reference="x"), LogZError(reference="x")):
        with pytest.raises(NotApplicable, match="the model gives no log weights"):
            metric.measure(inputs(reference=SimpleNamespace(log_z=0.0)))
    with pytest.raises(NotApplicable, match="nobody knows the log Z"):
        LogZError(reference="x").measure(inputs(log_weights=np.zeros(3), reference=SimpleNamespace(log_z=None)))
    with pytest.raises(NotApplicable, match="the bound is minus infinity"):
        LogZError(reference="x", bound=True).measure(
            inputs(log_weights=np.array([0.0, -np.inf]), reference=SimpleNamespace(log_z=0.0))
        )
    with pytest.raises(NotApplicable, match="nobody counted"):
        CallsOfEnergy(when="training", reference="x").measure(inputs())


def test_calls_are_shown_as_they_were_counted() -> None:
    seen = inputs(calls=EnergyCalls(training=12, sampling=2.5))
    assert CallsOfEnergy(when="training", reference="x").measure(seen).value == 12
    assert CallsOfEnergy(when="sampling", reference="x").measure(seen).value == 2.5


def test_the_largest_ks_distance_is_scipy_s_of_the_worst_coordinate_and_sees_a_lost_half_of_heavy_tails() -> None:
    rng = np.random.default_rng(0)
    tails = np.exp(1.5 * rng.standard_normal((4000, 1))) * rng.standard_normal((4000, 3))
    other = np.exp(1.5 * rng.standard_normal((4000, 1))) * rng.standard_normal((4000, 3))
    assert largest_ks(tails, other) < 0.05
    assert largest_ks(tails[tails[:, 1] < 0], other) == pytest.approx(0.5, abs=0.05)
    assert largest_ks(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0.0, 2.0], [1.0, 3.0]])) == 1.0
    with pytest.raises(ValueError, match="two sets of points of one width"):
        largest_ks(tails, other[:, :2])


def test_w2_on_the_line_of_two_sets_of_numbers_is_that_of_optimal_transport() -> None:
    x, y = RNG(3).standard_normal((2, 60, 5))
    assert w2_on_the_line(x, 2 * y) == pytest.approx(wasserstein2(x.reshape(-1, 1), 2 * y.reshape(-1, 1)))


def test_pair_distances_are_those_of_scipy() -> None:
    x = RNG(4).standard_normal((3, 12))
    assert np.allclose(pair_distances(x, 4), [pdist(point.reshape(4, 3)) for point in x])


def test_particles_that_are_too_far_apart_are_seen_in_energies_and_in_distances() -> None:
    true = RNG(5).standard_normal((2000, 8))
    reference = SimpleNamespace(test_draws=[true], energy=lambda x: np.square(x).sum(axis=1))
    seen = inputs(samples=2 * true, reference=reference)
    energies = np.square(true).sum(axis=1)
    value = EnergyW2(reference="made up", repeats=1).measure(seen).value
    assert value == pytest.approx(np.sqrt(np.mean((3 * energies) ** 2)))
    value = DistanceW2(reference="made up", particles=4, repeats=1).measure(seen).value
    assert value == pytest.approx(np.sqrt(np.mean(pair_distances(true, 4) ** 2)))
