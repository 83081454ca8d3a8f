"""The energy distance against its definition by loops, scipy's in one dimension, and what it has to reject."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import energy_distance as scipy_energy_distance

from dxbench.densities import GaussianMixture
from dxbench.metrics.energy_distance import ROWS, energy_distance


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
