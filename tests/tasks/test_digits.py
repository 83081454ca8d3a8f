from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dxbench.api import Evaluation, Model, Recheckable
from dxbench.errors import InvalidFile
from dxbench.features.digits_net import LEVELS, quantise
from dxbench.features.points import PointSource
from dxbench.metrics.images.features import FeatureInputs
from dxbench.tasks.digits import Digits, validation_digits
from dxbench.tasks.digits_data import NUM_SAMPLES, SPLIT_SIZES, blended_digits, digits_splits, uniform_images
from dxbench.tasks.digits_metrics import BLOCK, TEST, VWKDE_KL

ROOT = Path(__file__).resolve().parents[2]
SAMPLE_METRICS = {
    "fd_digits",
    "fd_digits_train",
    "precision_digits",
    "recall_digits",
    "nearest_train",
    "class_share_min",
    "class_share_max",
    "vwkde_kl_digits",
    "density_digits",
    "coverage_digits",
    "authenticity_digits",
    "fld_digits",
    "vendi_digits",
}


def silent(_: str) -> None:
    pass


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def floor() -> Evaluation:
    return Digits().evaluate(Model(sampler=validation_digits), seed=10**12, device="cpu", progress=silent)


def scored(images: np.ndarray) -> dict[str, float]:
    evaluation = Digits().evaluate_samples(images, progress=silent)
    return {name: estimate.value for name, estimate in evaluation.scores.items()}


def training_digits(*, without: int | None = None) -> np.ndarray:
    """As many training digits as are scored, each about as often as the others, one class left out."""
    train = digits_splits()["train"]
    images = train.images[train.labels != without]
    return images[rng(0).permutation(np.resize(np.arange(len(images)), NUM_SAMPLES))]


def blurred(images: np.ndarray) -> np.ndarray:
    """Each pixel mixed with its four neighbours."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-1)
    sides = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return 0.4 * images + 0.15 * sides


# --- data -----------------------------------------------------------------------------------------------------


def test_the_three_splits_are_all_images_once():
    from sklearn.datasets import load_digits

    splits = digits_splits()
    assert {name: len(part) for name, part in splits.items()} == SPLIT_SIZES
    together = np.concatenate([part.images for part in splits.values()]).reshape(-1, 64)
    original = load_digits().data / 8 - 1
    assert len(together) == len(original) == 1797
    np.testing.assert_array_equal(np.sort(together, axis=0), np.sort(original, axis=0))
    assert {row.tobytes() for row in together} == {row.tobytes() for row in original}
    # No image is there twice, so that no test digit can have been trained on.
    assert len({row.tobytes() for row in together}) == 1797


def test_the_split_is_the_published_one():
    first = {name: part.labels[:8].tolist() for name, part in digits_splits().items()}
    assert first == {
        "train": [9, 0, 2, 2, 3, 1, 1, 4],
        "validation": [3, 6, 7, 2, 5, 5, 2, 7],
        "test": [5, 0, 9, 2, 6, 9, 7, 6],
    }


def test_every_split_has_every_digit_and_pixels_on_17_levels():
    for part in digits_splits().values():
        assert np.bincount(part.labels, minlength=10).min() >= 0.07 * len(part)
        assert set(np.unique(part.images)) <= set(np.arange(LEVELS) / 8 - 1)


def test_quantising_rounds_to_the_nearest_level_and_clips():
    x = np.array([-1.4, -1.0, -0.94, -0.93, 0.0, 0.06, 0.07, 0.99, 7.0])
    np.testing.assert_allclose(quantise(x), [-1, -1, -1, -0.875, 0, 0, 0.125, 1, 1])
    test = digits_splits()["test"].images
    np.testing.assert_array_equal(quantise(test + rng(0).uniform(-0.06, 0.06, test.shape)), test)


def test_methods_see_training_digits_only():
    problem = Digits().problem(oracle=False)
    assert (problem.task, problem.event_shape, problem.oracle) == ("digits", (1, 8, 8), None)
    batch = problem.data.batch(3000, rng=rng(0))
    assert batch.dtype == torch.float32
    seen = {image.tobytes() for image in batch.double().numpy()}
    splits = {name: {image.tobytes() for image in part.images} for name, part in digits_splits().items()}
    assert seen <= splits["train"]
    assert not seen & (splits["validation"] | splits["test"])
    assert len(seen) > 900
    assert torch.equal(problem.data.batch(50, rng=rng(0)), batch[:50])
    assert problem.data_std == pytest.approx(digits_splits()["train"].images.std())


# --- the reference --------------------------------------------------------------------------------------------


def test_blends_are_means_of_two_test_digits_of_different_classes_on_the_levels():
    blends, uniform, test = blended_digits(), uniform_images(), digits_splits()["test"]
    assert blends.shape == uniform.shape == (NUM_SAMPLES, 1, 8, 8)
    levels = set(np.arange(LEVELS) / 8 - 1)
    assert set(np.unique(blends)) <= levels
    assert set(np.unique(uniform)) == levels
    assert not {image.tobytes() for image in blends} & {image.tobytes() for image in test.images}
    means = quantise((test.images[:, None] + test.images[None]) / 2)
    different = test.labels[:, None] != test.labels[None]
    possible = {image.tobytes() for image in means[different]}
    assert all(image.tobytes() in possible for image in blends)


def test_the_truth_is_the_validation_split_in_turn():
    truth, validation = Model(sampler=validation_digits), digits_splits()["validation"].images
    seeds = torch.arange(BLOCK) + 2**61
    images = truth.sample(seeds).double().numpy()
    assert {image.tobytes() for image in images} == {image.tobytes() for image in validation}
    assert torch.equal(truth.sample(seeds[7:9]), truth.sample(seeds)[7:9])


# --- scores ---------------------------------------------------------------------------------------------------

FINGERPRINTS = {
    "fd_digits": "dd8457307b5baf19",
    "fd_digits_train": "511ea17860fbf028",
    "precision_digits": "892b47ec23301433",
    "recall_digits": "d6e10d1ad8191a51",
    "nearest_train": "06b638797e9beb25",
    "class_share_min": "06a8bdb004cdc854",
    "class_share_max": "e04bd975f48d1c16",
    "energy_auc_uniform": "db63d3d3ce60c1b2",
    "energy_auc_blends": "f50c98a3d487a693",
    "fd_digits_start": "ffea74b2cec50a6a",
    "vwkde_kl_digits": "ee2254d9ad9339b9",
}


def test_protocols_are_those_of_the_committed_records():
    """The later five are in no record yet; their fingerprints are pinned for submissions."""
    later = {
        "density_digits": "cde62b50499dcd11",
        "coverage_digits": "d0805f0a63629f51",
        "authenticity_digits": "16d9d26d627aac13",
        "fld_digits": "eb4d2a9c3137d34c",
        "vendi_digits": "aa1ee5488f80369c",
    }
    assert {metric.name: metric.protocol.fingerprint for metric in Digits().metrics} == FINGERPRINTS | later
    records = "".join(path.read_text() for path in (ROOT / "results" / "digits").rglob("*.json"))
    assert [name for name, fingerprint in FINGERPRINTS.items() if fingerprint not in records] == []


def test_the_floor_is_what_unseen_digits_score(floor):
    values = {name: estimate.value for name, estimate in floor.scores.items()}
    assert set(values) == SAMPLE_METRICS
    assert floor.nfe == 0
    assert 1.0 < values["fd_digits"] < 2.0
    assert values["precision_digits"] > 0.85
    assert values["recall_digits"] > 0.85
    assert 0.07 < values["class_share_min"] < 0.1 < values["class_share_max"] < 0.13
    assert 0.2 < values["nearest_train"] < 0.35
    assert abs(values["vwkde_kl_digits"]) < 0.1
    assert 0.9 < values["density_digits"] < 1.1
    assert values["coverage_digits"] > 0.95
    assert 0.45 < values["authenticity_digits"] < 0.65
    assert abs(values["fld_digits"]) < 5.0
    assert 3.0 < values["vendi_digits"] < 5.0


def test_memorised_digits_are_seen_as_such(floor):
    values = scored(training_digits())
    assert values["nearest_train"] == 0.0
    assert values["fd_digits_train"] < 0.05
    assert values["fd_digits"] == pytest.approx(floor.scores["fd_digits"].value, abs=0.5)
    assert values["authenticity_digits"] == 0.0
    assert values["fld_digits"] > 1000.0


WRONG: dict[str, Callable[[], np.ndarray]] = {
    "a dropped class": lambda: training_digits(without=7),
    "blurred": lambda: blurred(training_digits()),
    "noisy": lambda: training_digits() + 0.3 * rng(1).standard_normal((NUM_SAMPLES, 1, 8, 8)),
    "inverted": lambda: -training_digits(),
    "one digit": lambda: np.repeat(digits_splits()["train"].images[:1], NUM_SAMPLES, axis=0),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_digits_score_worse_than_the_floor(name, floor):
    values = scored(WRONG[name]())
    assert values["fd_digits"] > 3 * floor.scores["fd_digits"].value
    worse = {"a dropped class": "recall_digits", "one digit": "recall_digits"}.get(name, "precision_digits")
    assert values[worse] < floor.scores[worse].value - 0.05
    assert values["vwkde_kl_digits"] > 0.5
    assert (values["class_share_min"] < 0.002) == (name in ("a dropped class", "one digit"))


def gaussian_features(*, shift: float, scale: float, seed: int) -> tuple[FeatureInputs, float]:
    """400 features of a Gaussian as the reference, samples of another, and the KL between the two.

    Both along the leading axes: one moved by `shift` stds, four wider by `scale`.
    """
    stds = np.r_[np.full(24, 0.1), np.linspace(3.0, 5.0, 8)]
    mean, stretch = np.zeros(32), np.ones(32)
    mean[-8], stretch[-4:] = shift, scale
    test = rng(seed).standard_normal((BLOCK, 32)) * stds
    samples = (rng(seed + 100).standard_normal((NUM_SAMPLES, 32)) * stretch + mean) * stds
    inputs = FeatureInputs(
        samples=None,
        energy=None,
        temperature=None,
        nfe=None,
        features=PointSource(samples),
        reference={TEST: PointSource(test)},
    )
    return inputs, 0.5 * float((1 / stretch**2 - 1 + 2 * np.log(stretch) + mean**2).sum())


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1.0, 1.0), (0.0, 0.75)])
def test_the_kl_of_gaussian_features_is_near_the_truth(shift, scale):
    """400 draws in eight dimensions: the metric is good for 0.2 nats, not for more."""
    known = [gaussian_features(shift=shift, scale=scale, seed=seed) for seed in range(3)]
    found = [VWKDE_KL.measure(inputs) for inputs, _ in known]
    assert [estimate.n for estimate in found] == [NUM_SAMPLES // BLOCK] * 3
    assert np.mean([one.value for one in found]) == pytest.approx(np.mean([truth for _, truth in known]), abs=0.2)


def test_scores_do_not_depend_on_what_rounds_away():
    images = training_digits()
    assert scored(images + 0.05 * np.sign(rng(0).standard_normal(images.shape))) == scored(images)


@pytest.mark.parametrize(
    ("images", "complaint"),
    [
        (np.zeros((100, 1, 8, 8)), "exactly 4,000"),
        (np.zeros((NUM_SAMPLES + 1, 1, 8, 8)), "exactly 4,000"),
        (np.full((NUM_SAMPLES, 1, 8, 8), 9.0), "x = v / 8 - 1"),
        (np.tile([0.0, 1.0], (NUM_SAMPLES, 1, 8, 4)), "got 0 to 1"),
        (np.tile([0, 16], (NUM_SAMPLES, 1, 8, 4)) / 127.5 - 1, r"got -1 to -0\.875"),
    ],
    ids=["too few", "too many", "levels", "shares", "levels as bytes"],
)
def test_samples_made_elsewhere_have_to_be_right_in_number_and_scale(images, complaint):
    with pytest.raises(InvalidFile, match=complaint):
        Digits().evaluate_samples(images, progress=silent)


# --- energies -------------------------------------------------------------------------------------------------


def brightness_of_the_edge(x: Tensor) -> Tensor:
    """Digits are dark at the left and right edge: an energy that knows only that."""
    return x[..., 0].mean(dim=(1, 2)) + x[..., -1].mean(dim=(1, 2))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_model_that_does_not_sample_is_scored_by_its_energy(sign):
    model = Model(energy=lambda x: sign * brightness_of_the_edge(x))
    evaluation = Digits().evaluate(model, seed=0, device="cpu", progress=silent)
    assert set(evaluation.scores) == {"energy_auc_uniform", "energy_auc_blends"}
    assert SAMPLE_METRICS | {"fd_digits_start"} == set(evaluation.notes)
    told = evaluation.scores["energy_auc_uniform"].value
    assert told > 0.99 if sign > 0 else told < 0.01
    # At the edge a mean of two digits looks like a digit: brightness there cannot tell.
    assert abs(evaluation.scores["energy_auc_blends"].value - 0.5) < 0.2
    assert {"energy of test digits", "energy of uniform", "energy of blends"} <= set(evaluation.arrays)


# --- fine-tuned models ----------------------------------------------------------------------------------------


def shifted(shift: float) -> Model:
    """Validation digits, brighter by `shift`."""
    return Model(sampler=lambda seeds: validation_digits(seeds) + shift)


TUNED = replace(shifted(0.0), start=shifted(0.5))


def recheckable() -> list[Recheckable]:
    return [metric for metric in Digits().metrics if isinstance(metric, Recheckable)]


def test_evidence_of_kept_samples_gives_the_scores_of_the_run(floor):
    task = Digits()
    inputs = task.inputs_of(floor.arrays["samples"])
    for metric in task.metrics:
        if metric.name in SAMPLE_METRICS:
            assert metric.measure(inputs) == floor.scores[metric.name]


@pytest.mark.parametrize("kind", ["real", "noised"])
def test_a_part_of_the_samples_confirms_an_honest_claim_and_refutes_a_better_one(kind):
    images = training_digits()
    if kind == "noised":
        images = images + 0.4 * rng(3).standard_normal(images.shape)
    claims = scored(images)
    part = Digits().inputs_of(images[rng(1).permutation(len(images))[:2000]])
    assert {metric.name for metric in recheckable()} == {
        "fd_digits",
        "fd_digits_train",
        "nearest_train",
        "class_share_min",
        "class_share_max",
    }
    for metric in recheckable():
        found = metric.recheck(part)
        assert found.low <= claims[metric.name] <= found.high, metric.name
        if kind == "noised" and metric.name == "fd_digits":
            assert found.low > 0.6 * claims[metric.name]
            assert found.high < 1.6 * claims[metric.name]


def test_the_start_of_a_fine_tuned_model_is_scored_by_the_same_protocol(floor):
    evaluation = Digits().evaluate(TUNED, seed=0, device="cpu", progress=silent)
    before = Digits().evaluate(shifted(0.5), seed=0, device="cpu", progress=silent)
    scores = evaluation.scores
    assert scores["fd_digits_start"].value == before.scores["fd_digits"].value
    assert (scores["fd_digits_start"].better, scores["fd_digits"].better) == ("none", "lower")
    assert scores["fd_digits"].value == pytest.approx(floor.scores["fd_digits"].value)
    assert evaluation.arrays["start_samples"].shape == (100, 1, 8, 8)
