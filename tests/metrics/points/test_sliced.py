import math
from types import SimpleNamespace

import numpy as np
import ot
import pytest
from scipy import integrate, stats

from dxbench.api import EvaluationInputs, NotApplicable
from dxbench.metrics.points.densities import GaussianMixture
from dxbench.metrics.points.sliced import (
    ROUNDING,
    ExactSlicedWasserstein,
    SlicedWasserstein,
    random_directions,
    sampling_distance,
    sliced_wasserstein2,
    sliced_wasserstein2_to_mixture,
)

MIXTURE = GaussianMixture(
    centres=np.array([[1.0, -0.5], [-1.5, 0.8], [0.0, 2.0]]), weights=np.array([0.5, 0.3, 0.2]), std=0.4
)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def equal_angles(count: int) -> np.ndarray:
    angles = np.pi * np.arange(count) / count
    return np.stack([np.cos(angles), np.sin(angles)])


def inputs(samples: np.ndarray | None, test_draws: list[np.ndarray] | None = None) -> EvaluationInputs:
    reference = SimpleNamespace(test_draws=test_draws, mixture=MIXTURE)
    return EvaluationInputs(samples=samples, energy=None, temperature=None, nfe=None, reference=reference)


@pytest.mark.parametrize("dim", [2, 3, 10])
def test_directions_are_uniform_unit_vectors(dim):
    directions = random_directions(20_000, dim, rng(0))
    assert directions.shape == (dim, 20_000)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=0), 1.0, rtol=1e-12)
    # E[theta theta^T] = I / D; an entry of theta has variance 1 / D and fourth moment 3 / (D (D + 2)).
    second = directions @ directions.T / 20_000
    assert (np.abs(second - np.eye(dim) / dim) < 5 * math.sqrt(3 / (dim * (dim + 2)) / 20_000)).all()
    assert (np.abs(directions.mean(axis=1)) < 5 / math.sqrt(dim * 20_000)).all()


@pytest.mark.parametrize("dim", [2, 5])
def test_equal_to_pot_on_the_same_projections(dim):
    x, y = rng(0).standard_normal((500, dim)), 0.7 * rng(1).standard_normal((500, dim)) + 0.5
    directions = random_directions(100, dim, rng(2))
    theirs = ot.sliced_wasserstein_distance(x, y, projections=directions, p=2)
    assert sliced_wasserstein2(x, y, directions) == pytest.approx(theirs, rel=1e-6, abs=1e-6)


def test_distance_of_a_shift_is_rooted_and_averaged_over_directions():
    """W2^2 along theta is <theta, shift>^2, whose mean over the circle is ||shift||^2 / 2."""
    x, shift = rng(0).standard_normal((300, 2)), np.array([3.0, -4.0])
    assert sliced_wasserstein2(x, x + shift, equal_angles(180)) == pytest.approx(5 / math.sqrt(2), rel=1e-12)


def test_distance_is_zero_to_itself_symmetric_and_blind_to_the_order_of_samples():
    x, y, directions = rng(0).standard_normal((300, 2)), MIXTURE.sample(300, rng(1)), equal_angles(50)
    shuffled = rng(2).permutation(x)
    assert sliced_wasserstein2(x, shuffled, directions) == pytest.approx(0.0, abs=1e-12)
    distance = sliced_wasserstein2(x, y, directions)
    assert distance > 0.1
    assert sliced_wasserstein2(y, x, directions) == distance
    assert sliced_wasserstein2(shuffled, y, directions) == pytest.approx(distance, rel=1e-12)
    assert sliced_wasserstein2_to_mixture(shuffled, MIXTURE, directions) == pytest.approx(
        sliced_wasserstein2_to_mixture(x, MIXTURE, directions), rel=1e-9
    )


def test_sets_of_unequal_size_are_refused():
    with pytest.raises(ValueError, match="equal shape"):
        sliced_wasserstein2(np.zeros((3, 2)), np.zeros((4, 2)), equal_angles(4))


def test_exact_distance_on_the_line_is_the_integral_over_quantiles():
    """Sorted points against one Gaussian: (x_i - t)^2 integrated between the quantiles of bin i."""
    x = np.sort(0.8 * rng(0).standard_normal((12, 1)) + 0.3, axis=0)
    law = stats.norm(-0.2, 1.3)
    line = GaussianMixture(centres=np.array([[-0.2]]), weights=np.array([1.0]), std=1.3)
    edges = law.ppf(np.arange(13) / 12)
    total = sum(
        integrate.quad(lambda t, point=point: (point - t) ** 2 * law.pdf(t), a, b)[0]
        for point, a, b in zip(x[:, 0], edges[:-1], edges[1:], strict=True)
    )
    got = sliced_wasserstein2_to_mixture(x, line, np.ones((1, 1)))
    assert got == pytest.approx(math.sqrt(total), rel=1e-6)


def test_exact_distance_is_the_limit_of_many_reference_draws():
    x, directions, copies = MIXTURE.sample(500, rng(0)) * 1.2, equal_angles(24), 1000
    # Repeating every sample leaves its empirical law as it is.
    sampled = sliced_wasserstein2(np.repeat(x, copies, axis=0), MIXTURE.sample(500 * copies, rng(1)), directions)
    exact = sliced_wasserstein2_to_mixture(x, MIXTURE, directions)
    assert exact == pytest.approx(sampled, rel=0.01)


@pytest.mark.parametrize(("shift", "std"), [((0.0, 0.0), 0.8), ((0.6, -0.3), 0.5), ((0.6, -0.3), 0.8)])
def test_exact_distance_between_gaussians_is_the_analytic_one(shift, std):
    """SW2^2 of N(m, s^2 I) and N(m', s'^2 I) in the plane is ||m - m'||^2 / 2 + (s - s')^2."""
    truth = GaussianMixture(centres=np.array([[1.0, 2.0]]), weights=np.array([1.0]), std=0.5)
    n = 100_000
    x = truth.centres[0] + np.array(shift) + std * rng(0).standard_normal((n, 2))
    expected = math.sqrt(np.square(shift).sum() / 2 + (std - 0.5) ** 2)
    got = sliced_wasserstein2_to_mixture(x, truth, equal_angles(20))
    assert got == pytest.approx(expected, abs=5 * std / math.sqrt(n))


def test_exact_distance_of_the_truth_falls_as_one_over_root_n():
    directions = equal_angles(20)
    coarse, fine = (
        np.mean(
            [sliced_wasserstein2_to_mixture(MIXTURE.sample(n, rng(seed)), MIXTURE, directions) for seed in range(30)]
        )
        for n in (500, 8000)
    )
    assert fine < 0.05
    assert 2.5 < coarse / fine < 6


@pytest.mark.parametrize("wrong", ["lost mode", "wrong weights", "collapsed", "swollen", "shifted"])
def test_wrong_laws_are_further_away_than_the_truth(wrong):
    x = {
        "lost mode": lambda: GaussianMixture(
            centres=MIXTURE.centres[:2], weights=np.array([0.625, 0.375]), std=0.4
        ).sample(5000, rng(0)),
        "wrong weights": lambda: GaussianMixture(centres=MIXTURE.centres, weights=np.full(3, 1 / 3), std=0.4).sample(
            5000, rng(0)
        ),
        "collapsed": lambda: GaussianMixture(centres=MIXTURE.centres, weights=MIXTURE.weights, std=0.2).sample(
            5000, rng(0)
        ),
        "swollen": lambda: MIXTURE.sample(5000, rng(0)) * 1.15,
        "shifted": lambda: MIXTURE.sample(5000, rng(0)) + 0.2,
    }[wrong]()
    directions = equal_angles(20)
    truth, other = MIXTURE.sample(5000, rng(1)), MIXTURE.sample(5000, rng(2))
    assert sliced_wasserstein2(x, truth, directions) > 2 * sliced_wasserstein2(other, truth, directions)
    assert sliced_wasserstein2_to_mixture(x, MIXTURE, directions) > 2.5 * sliced_wasserstein2_to_mixture(
        other, MIXTURE, directions
    )


def test_metric_compares_block_by_block_and_reports_mean_and_std():
    metric = SlicedWasserstein(num_projections=50, num_samples=200, repeats=3, reference="test")
    draws = [MIXTURE.sample(200, rng(i)) for i in range(3)]
    shifts = (0.0, 1.0, 3.0)
    samples = np.concatenate([x + shift for x, shift in zip(draws, shifts, strict=True)])
    got = metric.measure(inputs(samples, draws))
    # A shift of (s, s) is s sqrt(2) long, of which the circle sees s; directions are random.
    assert got.value == pytest.approx(np.mean(shifts), rel=0.1)
    assert got.std == pytest.approx(np.std(shifts, ddof=1), rel=0.2)
    assert (got.n, got.better) == (3, "lower")
    assert got.fingerprint == metric.protocol.fingerprint


def test_metric_is_deterministic_and_takes_no_more_samples_than_it_says():
    metric = SlicedWasserstein(num_projections=50, num_samples=200, repeats=3, reference="test")
    draws = [MIXTURE.sample(200, rng(i)) for i in range(3)]
    samples = MIXTURE.sample(700, rng(9))
    first = metric.measure(inputs(samples, draws))
    assert metric.measure(inputs(samples[:600], draws)) == first


def test_exact_metric_is_the_distance_of_the_first_samples():
    metric = ExactSlicedWasserstein(num_angles=16, num_samples=300, reference="test")
    samples = MIXTURE.sample(400, rng(0)) + 0.3
    expected = sliced_wasserstein2_to_mixture(samples[:300], MIXTURE, equal_angles(16))
    assert metric.measure(inputs(samples)).value == expected


@pytest.mark.parametrize(
    "change", [{"num_projections": 51}, {"num_samples": 201}, {"repeats": 4}, {"reference": "other"}]
)
def test_every_choice_of_the_metric_changes_its_fingerprint(change):
    choices = {"num_projections": 50, "num_samples": 200, "repeats": 3, "reference": "test"}
    ours, theirs = SlicedWasserstein(**choices), SlicedWasserstein(**choices | change)
    assert ours.protocol.fingerprint != theirs.protocol.fingerprint


@pytest.mark.parametrize(
    "metric",
    [
        SlicedWasserstein(num_samples=10, repeats=2, reference="test"),
        ExactSlicedWasserstein(num_samples=20, reference="test"),
    ],
    ids=["sampled", "exact"],
)
def test_no_or_too_few_samples_are_not_applicable(metric):
    with pytest.raises(NotApplicable, match="does not sample"):
        metric.measure(inputs(None))
    with pytest.raises(NotApplicable, match="needs 20 samples, got 19"):
        metric.measure(inputs(np.zeros((19, 2))))


def test_sampling_distance_is_the_root_mean_square_over_pairs_of_parts():
    x = MIXTURE.sample(400, rng(0))
    parts, angles = x.reshape(4, 100, 2), equal_angles(7)
    squares = [sliced_wasserstein2(parts[i], parts[j], angles) ** 2 for i in range(4) for j in range(i)]
    assert sampling_distance(x, angles) == pytest.approx(math.sqrt(np.mean(squares)) + ROUNDING, abs=1e-12)
    assert sampling_distance(np.ones((400, 2)), angles) == ROUNDING


@pytest.mark.parametrize("size", [2000, 5000, 9000])
def test_a_part_gives_the_value_of_all_of_it_and_bounds_the_whole_from_below(size):
    metric = ExactSlicedWasserstein(num_angles=10, num_samples=10_000, reference="test")
    samples = MIXTURE.sample(10_000, rng(1))
    part = samples[np.sort(rng(2).permutation(10_000)[:size])]
    found = metric.recheck(inputs(part))
    assert found.value == sliced_wasserstein2_to_mixture(part, MIXTURE, equal_angles(10))
    assert found.low <= metric.measure(inputs(samples)).value
    assert found.high is None


def test_larger_parts_leave_less_room():
    metric = ExactSlicedWasserstein(num_angles=10, num_samples=40_000, reference="test")
    samples = MIXTURE.sample(40_000, rng(3))
    room = [found.value - found.low for found in (metric.recheck(inputs(samples[:n])) for n in (2000, 40_000))]
    assert room[1] < room[0] / 1.5


def test_blocks_of_a_part_meet_the_test_draws_of_the_claim():
    metric = SlicedWasserstein(num_projections=8, num_samples=1000, repeats=5, reference="test")
    draws = [MIXTURE.sample(1000, rng(10 + i)) for i in range(5)]
    samples = MIXTURE.sample(5000, rng(4))
    claimed = metric.measure(inputs(samples, draws)).value
    assert metric.recheck(inputs(samples, draws)).value == pytest.approx(claimed, abs=1e-12)
    found = metric.recheck(inputs(samples[:2999], draws))
    assert found.low <= claimed
    wider = 1.5 * samples
    assert metric.recheck(inputs(wider[:2000], draws)).low > claimed


@pytest.mark.parametrize(
    ("metric", "too_few"),
    [
        (SlicedWasserstein(num_samples=1000, reference="test"), 1999),
        (ExactSlicedWasserstein(reference="test"), 999),
    ],
)
def test_parts_too_small_to_say_anything_are_not_applicable(metric, too_few):
    with pytest.raises(NotApplicable, match="needs"):
        metric.recheck(inputs(np.zeros((too_few, 2)), [np.zeros((1000, 2))]))
