import warnings
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from dxbench.api import EvaluationInputs, NotApplicable
from dxbench.metrics.energy import EnergyAUC, EnergyKL, EnergyRank, grid_points
from dxbench.metrics.points.densities import GaussianMixture

Array = np.ndarray
TRUTH = GaussianMixture(centres=np.array([[1.0, -0.5], [-1.5, 0.8]]), weights=np.array([0.7, 0.3]), std=0.5)
WRONG = GaussianMixture(
    centres=np.array([[0.8, -0.4], [-1.5, 0.8], [0.0, 0.0]]), weights=np.array([0.4, 0.4, 0.2]), std=0.6
)
BOX = (-4.0, 4.0)

AUC = EnergyAUC(reference="test")
KL = EnergyKL(reference="test")
RANK = EnergyRank(reference="test")


def reference(*, n: int = 1500, repeats: int = 3) -> SimpleNamespace:
    rngs = [np.random.default_rng(i) for i in range(2 * repeats)]
    return SimpleNamespace(
        mixture=TRUTH,
        box=BOX,
        test_draws=[TRUTH.sample(n, rng) for rng in rngs[:repeats]],
        uniform_draws=[rng.uniform(*BOX, size=(n + 100, 2)) for rng in rngs[repeats:]],
    )


def inputs(energy: Callable[[Array], Array] | None, *, temperature: float | None = 1.0) -> EvaluationInputs:
    return EvaluationInputs(samples=None, energy=energy, temperature=temperature, nfe=None, reference=reference())


def true_energy(x: Array) -> Array:
    return -TRUTH.log_prob(x)


def wrong_energy(x: Array) -> Array:
    return -WRONG.log_prob(x)


def tied_energy(x: Array) -> Array:
    return np.round(true_energy(x))


# --- discrimination -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("energy", [true_energy, wrong_energy, tied_energy])
def test_auc_is_that_of_scikit_learn_ties_included(energy):
    truth = reference()
    expected = []
    for test, uniform in zip(truth.test_draws, truth.uniform_draws, strict=True):
        labels = np.repeat([1, 0], [len(test), len(uniform)])
        expected.append(roc_auc_score(labels, -energy(np.concatenate([test, uniform]))))
    got = AUC.measure(inputs(energy))
    assert got.value == pytest.approx(np.mean(expected), abs=1e-12)
    assert got.std == pytest.approx(np.std(expected, ddof=1), abs=1e-12)
    assert (got.n, got.better) == (3, "higher")


def test_auc_of_the_truth_is_high_of_its_negative_low_and_of_a_constant_one_half():
    best = AUC.measure(inputs(true_energy)).value
    assert best > 0.95
    assert AUC.measure(inputs(lambda x: -true_energy(x))).value == pytest.approx(1 - best, abs=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy's p-value of nothing but ties; it is not used
        assert AUC.measure(inputs(lambda x: np.zeros(len(x)))).value == 0.5


def test_no_energy_separates_better_than_the_truth():
    best = AUC.measure(inputs(true_energy)).value
    assert AUC.measure(inputs(wrong_energy)).value < best
    assert AUC.measure(inputs(lambda x: np.abs(x).sum(axis=1))).value < best - 0.01


# --- divergence -----------------------------------------------------------------------------------------------


def kl_by_quadrature(other: GaussianMixture) -> float:
    """KL of the two laws confined to the box, by Gauss-Legendre nodes."""
    nodes, weights = np.polynomial.legendre.leggauss(160)
    x = np.stack(np.meshgrid(4 * nodes, 4 * nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    w = 16 * np.outer(weights, weights).ravel()
    log_p, log_q = TRUTH.log_prob(x), other.log_prob(x)
    log_p, log_q = log_p - np.log(w @ np.exp(log_p)), log_q - np.log(w @ np.exp(log_q))
    return float(w @ (np.exp(log_p) * (log_p - log_q)))


def test_kl_of_the_truth_is_zero():
    assert KL.measure(inputs(true_energy)).value == pytest.approx(0.0, abs=1e-12)


def test_kl_of_a_wrong_mixture_is_the_integral():
    expected = kl_by_quadrature(WRONG)
    assert expected > 0.1
    got = KL.measure(inputs(wrong_energy))
    assert got.value == pytest.approx(expected, rel=1e-6)
    assert (got.unit, got.better) == ("nats", "lower")


def test_kl_is_from_the_truth_to_the_model():
    """An energy that forgets a mode costs far more this way round than the other."""
    one = GaussianMixture(centres=TRUTH.centres[:1], weights=np.array([1.0]), std=0.5)
    got = KL.measure(inputs(lambda x: -one.log_prob(x))).value
    assert got == pytest.approx(kl_by_quadrature(one), rel=1e-6)
    assert got > 3.0  # the other way round it is -log 0.7 = 0.36


@pytest.mark.parametrize("scale", [0.05, 0.1, 7.0])
def test_kl_of_an_energy_scaled_with_its_temperature_is_the_same(scale):
    expected = KL.measure(inputs(wrong_energy)).value
    scaled = inputs(lambda x: scale * wrong_energy(x), temperature=scale)
    assert KL.measure(scaled).value == pytest.approx(expected, rel=1e-9)
    assert KL.measure(inputs(wrong_energy, temperature=2 * scale)).value != pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("metric", [AUC, KL, RANK], ids=["auc", "kl", "rank"])
@pytest.mark.parametrize("constant", [-300.0, 1000.0])
def test_a_constant_added_to_the_energy_does_not_matter(metric, constant):
    expected = metric.measure(inputs(wrong_energy)).value
    got = metric.measure(inputs(lambda x: wrong_energy(x) + constant)).value
    assert got == pytest.approx(expected, abs=1e-9)


def test_kl_survives_energies_that_overflow_an_exponential():
    got = KL.measure(inputs(lambda x: 1e4 * x[:, 0] ** 2)).value
    assert np.isfinite(got)
    assert got > 1000


def test_grid_points_are_cell_centres():
    x = grid_points((-1.0, 3.0), 4)
    assert x.shape == (16, 2)
    assert x[0].tolist() == [-0.5, -0.5]
    assert x[1].tolist() == [-0.5, 0.5]
    assert x[-1].tolist() == [2.5, 2.5]


# --- ranking --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("energy", [true_energy, wrong_energy, tied_energy])
def test_rank_is_spearmans_correlation(energy):
    truth = reference()
    x = np.concatenate([truth.test_draws[0], truth.uniform_draws[0]])
    expected = stats.spearmanr(-energy(x), TRUTH.log_prob(x)).statistic
    got = RANK.measure(inputs(energy))
    assert got.value == pytest.approx(expected, abs=1e-12)
    assert got.better == "higher"


def test_rank_is_one_for_any_rising_function_of_the_truth_and_minus_one_for_a_falling_one():
    assert RANK.measure(inputs(lambda x: np.expm1(true_energy(x) / 100))).value == pytest.approx(1.0, abs=1e-12)
    assert RANK.measure(inputs(lambda x: -true_energy(x))).value == pytest.approx(-1.0, abs=1e-12)


# --- where there is nothing to measure ------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [AUC, KL, RANK], ids=["auc", "kl", "rank"])
def test_a_model_without_energy_is_not_applicable(metric):
    with pytest.raises(NotApplicable, match="no energy"):
        metric.measure(inputs(None))


@pytest.mark.parametrize("temperature", [None, 0.0, -1.0])
def test_kl_needs_a_positive_temperature_and_the_others_do_not(temperature):
    without = inputs(wrong_energy, temperature=temperature)
    with pytest.raises(NotApplicable, match="no temperature"):
        KL.measure(without)
    assert AUC.measure(without).value == AUC.measure(inputs(wrong_energy)).value
    assert RANK.measure(without).value == RANK.measure(inputs(wrong_energy)).value


def test_a_constant_energy_has_no_ranks():
    with pytest.raises(NotApplicable, match="constant"):
        RANK.measure(inputs(lambda x: np.full(len(x), 3.0)))
