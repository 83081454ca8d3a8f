from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from dxbench.api import Evaluation, EvaluationInputs, Model
from dxbench.metrics.points.densities import GaussianMixture
from dxbench.metrics.scoring import spot_check
from dxbench.metrics.start import OfTheStart
from dxbench.tasks.gaussians8 import (
    ENERGY_AUC,
    ENERGY_KL,
    MODE_SHARE_MIN,
    OUTLIER_SHARE,
    SW2,
    SW2_EXACT,
    Gaussians8,
    Reference,
    eight_gaussians,
    mixture_oracle,
)

TRUTH = eight_gaussians()
N = 100_000


def silent(_: str) -> None:
    pass


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


@pytest.fixture(scope="module")
def of_the_truth() -> Evaluation:
    return Gaussians8().evaluate(mixture_oracle(TRUTH), seed=10**12, device="cpu", progress=silent)


# --- the distribution -----------------------------------------------------------------------------------------


def test_eight_equal_modes_of_radius_2_829_and_std_0_354():
    radii = np.linalg.norm(TRUTH.centres, axis=1)
    np.testing.assert_allclose(radii, 2.829, atol=5e-4)
    assert TRUTH.std == pytest.approx(0.354, abs=5e-4)
    angles = np.sort(np.arctan2(TRUTH.centres[:, 1], TRUTH.centres[:, 0]))
    np.testing.assert_allclose(np.diff(angles), np.pi / 4, rtol=1e-12)
    assert TRUTH.centres[0, 1] == 0.0  # one mode lies on the axis
    assert TRUTH.weights.tolist() == [1 / 8] * 8


def test_training_data_are_fresh_float32_draws_of_the_truth_from_the_generator_given():
    problem = Gaussians8().problem(oracle=False)
    assert (problem.task, problem.event_shape, problem.oracle) == ("gaussians8", (2,), None)
    generator = rng(0)
    x = problem.data.batch(20_000, rng=generator)
    assert x.dtype == torch.float32
    assert not torch.equal(problem.data.batch(20_000, rng=generator), x)
    assert torch.equal(problem.data.batch(20_000, rng=rng(0)), x)
    for angle in (0.0, 0.3, 1.0):
        direction = np.array([np.cos(angle), np.sin(angle)])
        assert stats.kstest(x.double().numpy() @ direction, TRUTH.project(direction).cdf).pvalue > 5.7e-7


def test_published_std_is_that_of_a_coordinate():
    problem = Gaussians8().problem(oracle=False)
    x = problem.data.batch(N, rng=rng(0)).double().numpy()
    for coordinate in x.T:
        error = np.std((coordinate - coordinate.mean()) ** 2) / (2 * problem.data_std * np.sqrt(N))
        assert abs(coordinate.std() - problem.data_std) < 5 * error


def test_the_truth_is_shown_only_where_asked_for():
    oracle = Gaussians8().problem(oracle=True).oracle
    assert oracle.sampler is not None
    assert oracle.energy is not None


# --- the reference --------------------------------------------------------------------------------------------


def test_test_draws_are_fixed(reference):
    draws = reference.test_draws
    assert [x.shape for x in draws] == [(10_000, 2)] * 5
    np.testing.assert_allclose(draws[0][0], [0.38463774, -2.46791471], atol=1e-7)
    np.testing.assert_allclose(draws[0][1], [0.43441299, 2.87087710], atol=1e-7)
    np.testing.assert_allclose(draws[4][-1], [2.50371659, -2.31309723], atol=1e-7)


def test_uniform_draws_are_fixed_and_fill_the_box(reference):
    draws = reference.uniform_draws
    assert [x.shape for x in draws] == [(10_000, 2)] * 5
    np.testing.assert_allclose(draws[0][0], [-2.67197819, -3.49207906], atol=1e-7)
    np.testing.assert_allclose(draws[4][-1], [-1.78211011, -1.65971095], atol=1e-7)
    for coordinate in np.concatenate(draws).T:
        assert stats.kstest(coordinate, stats.uniform(-4, 8).cdf).pvalue > 5.7e-7


def test_test_draws_follow_the_truth_and_share_no_point(reference):
    x = np.concatenate(reference.test_draws)
    assert len(np.unique(x, axis=0)) == 50_000
    for angle in (0.0, 0.3, 1.0):
        direction = np.array([np.cos(angle), np.sin(angle)])
        assert stats.kstest(x @ direction, TRUTH.project(direction).cdf).pvalue > 5.7e-7


# --- the oracle -----------------------------------------------------------------------------------------------


def test_oracle_samples_depend_on_their_own_seed_alone():
    oracle, seeds = mixture_oracle(TRUTH), torch.arange(300) + 2**61
    whole = oracle.sample(seeds)
    assert torch.equal(torch.cat([oracle.sample(part) for part in seeds.split(7)]), whole)
    assert torch.equal(oracle.sample(seeds.flip(0)), whole.flip(0))
    np.random.seed(1)  # noqa: NPY002 - the global seed has to be irrelevant
    assert torch.equal(mixture_oracle(TRUTH).sample(seeds), whole)
    assert (oracle.sample(seeds + 300) != whole).all()


def test_oracle_samples_of_consecutive_seeds_are_independent_draws_of_the_truth():
    n = 30_000
    x = mixture_oracle(TRUTH).sample(torch.arange(n)).numpy()
    for angle in (0.0, 0.3, 1.0):
        direction = np.array([np.cos(angle), np.sin(angle)])
        assert stats.kstest(x @ direction, TRUTH.project(direction).cdf).pvalue > 5.7e-7
    neighbours = np.corrcoef(np.concatenate([x[:-1], x[1:]], axis=1).T) - np.eye(4)
    assert np.abs(neighbours).max() < 5 / np.sqrt(n)


def test_oracle_energy_is_the_negative_log_density():
    x = 2 * rng(0).standard_normal((50, 2))
    energy = mixture_oracle(TRUTH).energy(torch.from_numpy(x))
    np.testing.assert_allclose(energy.numpy(), -TRUTH.log_prob(x), rtol=1e-12)


# --- scores ---------------------------------------------------------------------------------------------------


def outlier_share_of_the_truth() -> float:
    """Mass of the density further than 4 std from every centre, on a grid."""
    t = np.linspace(-6, 6, 1201)
    x = np.stack(np.meshgrid(t, t, indexing="ij"), axis=-1).reshape(-1, 2)
    outside = np.min([((x - c) ** 2).sum(axis=1) for c in TRUTH.centres], axis=0) > (4 * TRUTH.std) ** 2
    return float(np.exp(TRUTH.log_prob(x[outside])).sum() * (t[1] - t[0]) ** 2)


def test_the_truth_scores_at_the_floor(of_the_truth):
    scores = of_the_truth.scores
    assert set(of_the_truth.notes) == {"sw2_start"}
    assert of_the_truth.nfe == 0
    # Two draws of 10,000 differ by 0.025 to 0.051; a draw of 100,000 and the law by far less.
    assert 0.025 < scores["sw2"].value < 0.06
    assert scores["sw2"].n == 5
    assert 0.002 < scores["sw2_exact"].value < 0.02
    assert scores["energy_auc"].value == pytest.approx(0.9030, abs=0.003)
    assert scores["energy_auc"].n == 5
    assert scores["energy_kl"].value == pytest.approx(0.0, abs=1e-6)
    assert scores["energy_rank"].value == pytest.approx(1.0, abs=1e-6)
    error = np.sqrt(1 / 8 * 7 / 8 / N)
    assert 1 / 8 - 5 * error < scores["mode_share_min"].value <= 1 / 8 <= scores["mode_share_max"].value
    assert scores["mode_share_max"].value < 1 / 8 + 5 * error
    tail = outlier_share_of_the_truth()
    assert abs(scores["outlier_share"].value - tail) < 5 * np.sqrt(tail / N)


def test_every_score_carries_a_protocol_of_its_own(of_the_truth):
    fingerprints = [estimate.fingerprint for estimate in of_the_truth.scores.values()]
    assert len(set(fingerprints)) == len(fingerprints) == len(Gaussians8().metrics) - 1
    assert set(of_the_truth.protocols) == set(fingerprints)
    assert set(Gaussians8.headline) <= set(of_the_truth.scores)


def test_evaluation_keeps_the_samples_of_the_seeds_it_was_given(of_the_truth):
    seeds = 10**12 + torch.tensor([0, 1, 9_999, 10_000, N - 1])
    kept = of_the_truth.arrays["samples"][(seeds - 10**12).numpy()]
    np.testing.assert_array_equal(kept, mixture_oracle(TRUTH).sample(seeds).float().numpy())
    np.testing.assert_allclose(of_the_truth.arrays["energy"], of_the_truth.arrays["true_energy"], atol=1e-4)


def test_samples_made_elsewhere_are_scored_without_energy_metrics():
    samples = rng(0).standard_normal((N, 2)).astype(np.float32)
    evaluation = Gaussians8().evaluate_samples(samples, progress=silent)
    assert evaluation.scores["sw2"].value == pytest.approx(1.109, abs=0.02)
    assert evaluation.scores["sw2_exact"].value == pytest.approx(1.109, abs=0.02)
    assert set(evaluation.notes) == {"energy_auc", "energy_kl", "energy_rank", "sw2_start"}
    assert evaluation.nfe is None


def law(*, keep: int = 8, std: float = 1.0) -> np.ndarray:
    """Samples of the first `keep` modes with `std` times the true std."""
    weights = np.full(keep, 1 / keep)
    return GaussianMixture(centres=TRUTH.centres[:keep], weights=weights, std=std * TRUTH.std).sample(N, rng(0))


WRONG: dict[str, Callable[[], np.ndarray]] = {
    "lost mode": lambda: law(keep=7),
    "collapsed std": lambda: law(std=0.5),
    "variance for std": lambda: law(std=TRUTH.std),
    "swollen std": lambda: law(std=1.5),
    "uniform": lambda: rng(0).uniform(-4, 4, size=(N, 2)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_samples_score_far_above_the_floor(name, reference):
    samples = WRONG[name]()
    inputs = EvaluationInputs(samples=samples, energy=None, temperature=None, nfe=None, reference=reference)
    assert SW2.measure(inputs).value > 0.1
    assert replace(SW2_EXACT, num_angles=20).measure(inputs).value > 0.1
    assert (MODE_SHARE_MIN.measure(inputs).value < 0.01) == (name == "lost mode")
    assert (OUTLIER_SHARE.measure(inputs).value > 0.01) == (name in ("swollen std", "uniform"))


@pytest.mark.parametrize(
    ("energy", "auc", "kl"),
    [
        (lambda x: np.zeros(len(x)), 0.5, 1.33),
        (lambda x: TRUTH.log_prob(x), 0.1, 10.0),
        (lambda x: (np.linalg.norm(x, axis=1) - 2.829) ** 2, 0.85, 0.5),
    ],
    ids=["flat", "upside down", "a ring"],
)
def test_wrong_energies_score_worse_than_the_truth(energy, auc, kl, reference):
    inputs = EvaluationInputs(samples=None, energy=energy, temperature=1.0, nfe=None, reference=reference)
    assert ENERGY_AUC.measure(inputs).value < auc + 1e-9
    assert ENERGY_KL.measure(inputs).value > kl - 0.01


# --- models without one or the other --------------------------------------------------------------------------


def dots(place: float, start: Model | None = None) -> Model:
    """All samples in one place; tuned from a model with all of them in another."""
    return Model(sampler=lambda seeds: torch.full((len(seeds), 2), place), start=start)


class FewProjections(Gaussians8):
    """Its distances along five directions only."""

    metrics = (few := replace(SW2, num_projections=5), OfTheStart(few))


def test_the_start_of_a_tuned_model_is_scored_by_the_same_protocol():
    task = FewProjections()
    tuned, start = (
        task.evaluate(model, seed=0, device="cpu", progress=silent).scores
        for model in (dots(0.0, start=dots(1.0)), dots(1.0))
    )
    assert tuned["sw2_start"].value == start["sw2"].value != tuned["sw2"].value
    assert (tuned["sw2_start"].better, tuned["sw2"].better) == ("none", "lower")
    assert "sw2_start" not in start


def scaled_truth(temperature: float | None) -> Model:
    """An energy and values, but no samples; the energy in units of a temperature."""

    def energy(x: Tensor) -> Tensor:
        return -torch.from_numpy(TRUTH.log_prob(x.double().numpy())) * (temperature or 1.0)

    return Model(energy=energy, temperature=temperature, value=lambda x, k: energy(x) + k, num_steps=2)


@pytest.mark.parametrize("temperature", [0.05, 0.0, None])
def test_a_model_that_does_not_sample_is_scored_by_its_energy(temperature):
    evaluation = Gaussians8().evaluate(scaled_truth(temperature), seed=0, device="cpu", progress=silent)
    expected = {"energy_auc", "energy_rank"} | ({"energy_kl"} if temperature else set())
    assert set(evaluation.scores) == expected
    assert set(evaluation.notes) == {metric.name for metric in Gaussians8().metrics} - expected
    assert evaluation.scores["energy_auc"].value == pytest.approx(0.9030, abs=0.003)
    if temperature:
        assert evaluation.scores["energy_kl"].value == pytest.approx(0.0, abs=1e-6)
    # Pictures show nats: the energy over its temperature.
    np.testing.assert_allclose(evaluation.arrays["energy"], evaluation.arrays["true_energy"], atol=1e-4)
    values = evaluation.arrays["values"]
    assert values.shape == (3, 100, 100)
    np.testing.assert_allclose(values[2] - values[0], 2.0, atol=1e-4)


def test_the_reference_is_what_the_protocols_say() -> None:
    reference = Reference()
    assert [len(draws) for draws in reference.test_draws] == [SW2.num_samples] * SW2.repeats
    assert [len(draws) for draws in reference.test_draws] == [ENERGY_AUC.num_draws] * ENERGY_AUC.repeats
    assert [len(draws) for draws in reference.uniform_draws] == [ENERGY_AUC.num_draws] * ENERGY_AUC.repeats
    assert np.concatenate(reference.uniform_draws).min() >= ENERGY_AUC.box[0]
    assert np.concatenate(reference.uniform_draws).max() <= ENERGY_AUC.box[1]


def test_a_part_of_honest_samples_confirms_and_names_what_samples_can_say() -> None:
    task = Gaussians8()
    samples = eight_gaussians().sample(20_000, np.random.default_rng(5))
    found = spot_check(task, samples.astype(np.float32))
    assert set(found) == {"sw2", "sw2_exact", "mode_share_min", "mode_share_max", "outlier_share"}
    floor = {"sw2": 0.0403, "sw2_exact": 0.0111, "mode_share_min": 0.1235, "outlier_share": 0.0002}
    for name, claim in floor.items():
        assert found[name].low <= claim
    too_wide = spot_check(task, 1.3 * samples)
    assert too_wide["sw2"].low > floor["sw2"]
    assert too_wide["sw2_exact"].low > floor["sw2_exact"]
