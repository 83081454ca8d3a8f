"""The energy distance against its definition by loops, scipy's in one dimension, and what it has to reject."""

from itertools import combinations, product
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import energy_distance as scipy_energy_distance

from dxbench.api import EvaluationInputs, NotApplicable
from dxbench.metrics.points.densities import GaussianMixture
from dxbench.metrics.points.energy_distance import ROWS, EnergyDistance, energy_distance


def by_loops(x: np.ndarray, y: np.ndarray) -> float:
    """`dcor.energy_distance(..., estimation_stat="u")` by its definition."""
    across = np.mean([np.linalg.norm(a - b) for a, b in product(x, y)])
    within = [np.mean([np.linalg.norm(a - b) for a, b in combinations(side, 2)]) for side in (x, y)]
    return float(2 * across - sum(within))


def test_is_the_definition() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(31, 3)), rng.normal(size=(23, 3)) + 0.5
    assert energy_distance(x, y) == pytest.approx(by_loops(x, y), rel=1e-12)


def test_is_scipys_in_one_dimension_but_for_the_pairs_of_a_point_with_itself() -> None:
    rng = np.random.default_rng(1)
    n, m = ROWS + 100, ROWS - 7
    x, y = rng.normal(size=n), rng.normal(size=m) * 2
    biased = scipy_energy_distance(x, y) ** 2  # V-statistic, rooted

    def mean_with_itself(z: np.ndarray) -> float:
        return float(np.abs(z[:, None] - z).mean())

    wanted = biased + mean_with_itself(x) + mean_with_itself(y)
    wanted -= mean_with_itself(x) * n / (n - 1) + mean_with_itself(y) * m / (m - 1)
    assert energy_distance(x[:, None], y[:, None]) == pytest.approx(wanted, rel=1e-10)


def test_is_zero_on_average_for_one_law_and_tells_a_lost_mode() -> None:
    rng = np.random.default_rng(2)
    mixture = GaussianMixture(centres=np.array([[-3.0, 0.0], [3.0, 0.0]]), weights=np.full(2, 0.5), std=1.0)
    values = [energy_distance(mixture.sample(200, rng), mixture.sample(200, rng)) for _ in range(100)]
    assert abs(np.mean(values)) < 5 * np.std(values, ddof=1) / 10
    assert min(values) < 0 < max(values)
    one = rng.normal(size=(200, 2)) + np.array([3.0, 0.0])
    assert energy_distance(one, mixture.sample(200, rng)) > 20 * np.std(values)


@pytest.mark.parametrize(("x", "y"), [((3, 2), (3, 1)), ((1, 2), (5, 2)), ((4,), (4,))])
def test_what_cannot_be_compared_is_refused(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="two sets of at least 2 points of one width"):
        energy_distance(np.zeros(x), np.zeros(y))


def test_another_protocol_is_reached_field_by_field_as_explain_does() -> None:
    metric = EnergyDistance(reference="r")
    other = metric.with_field("n_samples", 300).with_field("repeats", 2)
    assert other == EnergyDistance(reference="r", num_samples=300, repeats=2)
    assert other.protocol.fields["n_reference"] == 300
    with pytest.raises(NotApplicable, match="fixed by the metric's code"):
        metric.with_field("estimator", "biased")


def test_each_block_meets_draws_of_its_own() -> None:
    rng = np.random.default_rng(3)
    samples, draws = rng.normal(size=(650, 2)), [rng.normal(size=(400, 2)) for _ in range(2)]
    inputs = EvaluationInputs(
        samples=samples, energy=None, temperature=None, nfe=None, reference=SimpleNamespace(test_draws=draws)
    )
    found = EnergyDistance(reference="r", num_samples=300, repeats=2).measure(inputs)
    values = [energy_distance(samples[i * 300 : (i + 1) * 300], draws[i][:300]) for i in range(2)]
    assert (found.value, found.std, found.n) == (
        pytest.approx(np.mean(values)),
        pytest.approx(np.std(values, ddof=1)),
        2,
    )
    with pytest.raises(NotApplicable, match="needs 900 samples, got 650"):
        EnergyDistance(reference="r", num_samples=300, repeats=3).measure(inputs)
