from types import SimpleNamespace

import numpy as np
import pytest

from dxbench.api import EvaluationInputs, NotApplicable
from dxbench.metrics.points.densities import GaussianMixture
from dxbench.metrics.points.modes import ModeShare, OutlierShare, share_tolerance

CENTRES = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [30.0, 30.0]])
MIXTURE = GaussianMixture(centres=CENTRES, weights=np.array([0.4, 0.3, 0.2, 0.1]), std=0.5)


def inputs(samples: np.ndarray | None) -> EvaluationInputs:
    return EvaluationInputs(
        samples=samples, energy=None, temperature=None, nfe=None, reference=SimpleNamespace(mixture=MIXTURE)
    )


def share(extreme: str, samples: np.ndarray, num_samples: int = 100):
    return ModeShare(extreme=extreme, num_samples=num_samples, reference="test").measure(inputs(samples))


def around(counts: list[int]) -> np.ndarray:
    """Samples near the centres, as many as counted, in shuffled order."""
    rng = np.random.default_rng(0)
    return rng.permutation(np.repeat(CENTRES, counts, axis=0) + rng.uniform(-1, 1, size=(sum(counts), 2)))


@pytest.mark.parametrize(
    ("counts", "smallest", "largest"),
    [([25, 25, 25, 25], 0.25, 0.25), ([40, 30, 20, 10], 0.1, 0.4), ([50, 50, 0, 0], 0.0, 0.5), ([0, 0, 0, 100], 0, 1)],
)
def test_shares_are_counted_by_nearest_centre(counts, smallest, largest):
    samples = around(counts)
    assert share("min", samples).value == smallest
    assert share("max", samples).value == largest


def test_smallest_share_is_better_high_and_largest_better_low():
    assert share("min", around([25] * 4)).better == "higher"
    assert share("max", around([25] * 4)).better == "lower"


def test_outliers_are_beyond_four_std_of_every_centre():
    inside = np.array([[1.99, 0.0], [10.0, -1.99], [0.0, 10.0], [28.6, 28.6]])
    outside = np.array([[2.01, 0.0], [5.0, 5.0], [10.0, 7.9], [28.5, 28.5], [-1.5, -1.5], [1e6, 0.0]])
    samples = np.concatenate([inside, outside])
    for points, expected in ((inside, 0.0), (outside, 1.0), (samples, 0.6)):
        metric = OutlierShare(num_samples=len(points), reference="test")
        assert metric.measure(inputs(points)).value == pytest.approx(expected)


def test_outlier_radius_is_in_units_of_the_std():
    samples = np.array([[1.2, 0.0], [0.9, 0.0]])
    metric = OutlierShare(num_samples=2, num_stds=2.0, reference="test")
    assert metric.measure(inputs(samples)).value == 0.5
    assert metric.protocol.fingerprint != OutlierShare(num_samples=2, reference="test").protocol.fingerprint


def test_outlier_share_of_the_truth_is_the_tail_of_a_two_dimensional_gaussian():
    n = 100_000
    metric = OutlierShare(num_samples=n, num_stds=2.0, reference="test")
    tail = np.exp(-2.0)  # P(||z|| > 2)
    got = metric.measure(inputs(MIXTURE.sample(n, np.random.default_rng(1)))).value
    assert abs(got - tail) < 5 * np.sqrt(tail * (1 - tail) / n)


def test_only_the_first_samples_count():
    samples = np.concatenate([around([25] * 4), np.full((50, 2), 100.0)])
    assert share("max", samples).value == 0.25
    assert OutlierShare(num_samples=100, reference="test").measure(inputs(samples)).value == 0.0


@pytest.mark.parametrize(
    "metric",
    [
        ModeShare(extreme="min", num_samples=20, reference="test"),
        ModeShare(extreme="max", num_samples=20, reference="test"),
        OutlierShare(num_samples=20, reference="test"),
    ],
    ids=["min", "max", "outliers"],
)
def test_no_or_too_few_samples_are_not_applicable(metric):
    with pytest.raises(NotApplicable, match="does not sample"):
        metric.measure(inputs(None))
    with pytest.raises(NotApplicable, match="needs 20 samples, got 19"):
        metric.measure(inputs(np.zeros((19, 2))))


@pytest.mark.parametrize(("share", "n"), [(0.0, 1000), (1 / 8, 5000), (0.5, 100), (1.0, 1000)])
def test_share_tolerance_holds_both_roots_of_the_score_test(share: float, n: int) -> None:
    """Wilson's interval: the p with (share - p)^2 = z^2 p (1 - p) / n."""
    reach = share_tolerance(share, n, z=5.0)
    for p in np.roots([1 + 25 / n, -2 * share - 25 / n, share**2]).real:
        assert abs(p - share) <= reach + 1e-9


def test_shares_of_a_part_bound_the_whole_on_both_sides() -> None:
    rng = np.random.default_rng(0)
    samples = around([4000, 1000, 3000, 2000])
    part = samples[np.sort(rng.permutation(10_000)[:3000])]
    for extreme, whole in (("min", 0.1), ("max", 0.4)):
        found = ModeShare(extreme=extreme, num_samples=10_000, reference="test").recheck(inputs(part))
        assert found.value == pytest.approx(whole, abs=0.03)
        assert found.low <= whole <= found.high
        assert found.high - found.low < 0.1


def test_outliers_of_a_part_are_counted_over_all_of_it() -> None:
    samples = np.concatenate([around([1000, 1000, 1000, 1000]), np.full((1000, 2), 1e3)])
    found = OutlierShare(num_samples=5000, reference="test").recheck(inputs(samples))
    assert found.value == 0.2
    assert found.low < 0.2 < found.high
    with pytest.raises(NotApplicable, match="needs 1,000"):
        OutlierShare(reference="test").recheck(inputs(samples[:999]))
