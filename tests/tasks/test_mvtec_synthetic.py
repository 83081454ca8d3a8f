"""The whole pixel pipeline on a set whose right answer is known."""

import html
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Ended
from scipy import integrate, stats
from sklearn.metrics import roc_auc_score

from dxbench.api import Evaluation, Model, PatchData, Problem, array_energy, array_maps
from dxbench.metrics.detection.ranking import auroc
from dxbench.tasks import mvtec_synthetic as synthetic
from dxbench.tasks.mvtec_synthetic import (
    CATEGORIES,
    DEFECTS,
    DIM,
    GOOD,
    GRID,
    NOISE,
    PER_DEFECT,
    RANK,
    TRAIN,
    MVTecSynthetic,
    PatchLaw,
    laws,
)  # fmt: skip


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> MVTecSynthetic:
    """Loaded once from files of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DXBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        task = MVTecSynthetic()
        assert task.loaded
    return task


def scored(task: MVTecSynthetic, model: object) -> Evaluation:
    return task.evaluate(model, seed=0, device="cpu", progress=lambda text: None)  # type: ignore[arg-type]


# --- the law ----------------------------------------------------------------------------------------------------


def ideal_patch_auroc(defect_noise: float) -> float:
    """Probability that a patch with `defect_noise` ranks above a good one by the optimal detector of one category.

    The odds of t = |B^T u|^2 are (inside / outside) r / (d - r) times an F(r, d - r) number, inside and outside being
    the variances: P(F_defect < c F_good), c the ratio of the two multiples.
    """
    good = next(iter(laws().values()))
    defect = PatchLaw(basis=good.basis, noise=defect_noise)
    ratio = [law.variances[0] / law.variances[1] for law in (good, defect)]
    free = (RANK, DIM - RANK)
    value, _ = integrate.quad(lambda x: stats.f.pdf(x, *free) * stats.f.cdf(x * ratio[0] / ratio[1], *free), 0, np.inf)
    return float(value)


def test_the_ideal_auroc_is_that_of_draws_and_no_other_statistic_beats_it():
    rng = np.random.default_rng(0)
    law = laws()["bands"]
    defect = PatchLaw(basis=law.basis, noise=0.5)
    good, bad = law.draw(40_000, rng), defect.draw(40_000, rng)
    ideal = ideal_patch_auroc(0.5)
    measured = auroc(-law.log_density(good), -law.log_density(bad))
    assert measured == pytest.approx(ideal, abs=5 * 0.5 / 40_000**0.5)
    ratio = [defect.log_density(u) - law.log_density(u) for u in (good, bad)]
    assert auroc(*ratio) == pytest.approx(measured, abs=1e-12)  # the density ranks as the likelihood ratio does
    assert ideal_patch_auroc(NOISE) == pytest.approx(0.5)


def test_the_density_is_that_of_an_angular_central_gaussian():
    """Against the general formula with the inverse covariance, up to the constant all categories share."""
    rng = np.random.default_rng(1)
    for law in laws().values():
        u = law.draw(50, rng)
        covariance = law.basis @ law.basis.T / law.basis.shape[1] + NOISE * np.eye(DIM) / DIM
        wanted = -DIM / 2 * np.log(np.einsum("ni,ij,nj->n", u, np.linalg.inv(covariance), u))
        np.testing.assert_allclose(law.log_density(u), wanted, rtol=1e-9)


def test_categories_have_waves_of_their_own():
    bases = np.concatenate([law.basis for law in laws().values()], axis=1)
    np.testing.assert_allclose(bases.T @ bases, np.eye(bases.shape[1]), atol=1e-12)


# --- the folders ------------------------------------------------------------------------------------------------


def test_the_files_lie_as_mvtecs_do(task: MVTecSynthetic, tmp_path: Path):
    synthetic.write_set(tmp_path)
    for category in CATEGORIES:
        found = {path.relative_to(tmp_path / category).as_posix() for path in (tmp_path / category).rglob("*.png")}
        assert len(found) == TRAIN + GOOD + 2 * len(DEFECTS) * PER_DEFECT
        assert {"train/good/000.png", "test/good/000.png", "test/faint/000.png",
                "ground_truth/faint/000_mask.png"} <= found  # fmt: skip


def test_another_draw_has_as_many_other_images(tmp_path: Path):
    for folder, draw in (("set", ()), ("other", ("redrawn 0",))):
        synthetic.write_set(tmp_path / folder, *draw)
    paths = sorted(path.relative_to(tmp_path / "set") for path in (tmp_path / "set").rglob("*.png"))
    assert paths == sorted(path.relative_to(tmp_path / "other") for path in (tmp_path / "other").rglob("*.png"))
    images = [path for path in paths if "ground_truth" not in path.parts]
    same = [
        path for path in images if (tmp_path / "set" / path).read_bytes() == (tmp_path / "other" / path).read_bytes()
    ]
    assert not same


def test_features_are_the_directions_that_were_drawn(task: MVTecSynthetic):
    rng = np.random.default_rng(synthetic.derive_seed("mvtec_synthetic", 1, "bands"))
    drawn = laws()["bands"].draw(GRID**2, rng).reshape(GRID, GRID, DIM)
    read = task.loaded["bands"].train[0].astype(float)
    assert read.shape == (GRID, GRID, DIM)
    assert np.linalg.norm(read - drawn, axis=-1).max() < 0.02  # 8 bits and float16


# --- training and scoring ---------------------------------------------------------------------------------------


def test_a_method_sees_patches_as_rows_and_their_grid(task: MVTecSynthetic):
    problem = task.problem(oracle=False)
    assert isinstance(problem, Problem)
    assert isinstance(problem.data, PatchData)
    assert problem.event_shape == (DIM,)
    assert problem.data.grid == (GRID, GRID)
    assert problem.data.points.shape == (len(CATEGORIES) * TRAIN * GRID**2, DIM)
    grids = problem.data.points.unflatten(0, (-1, GRID, GRID))
    assert torch.equal(grids[TRAIN], torch.from_numpy(task.loaded["checks"].train[0]).float())
    assert problem.oracle is None


def test_the_true_density_scores_what_theory_says(task: MVTecSynthetic):
    """At the resolution of patches; weights of the kinds of defect are their numbers of patches."""
    for name, law in laws().items():
        group = task.loaded[name]
        energies = -law.log_density(group.test.reshape(-1, DIM).astype(float))
        where = group.masks[:, 2::4, 2::4].reshape(len(group.test), -1)  # type: ignore[attr-defined]
        kinds = np.repeat(["faint", "good", "strong"], [PER_DEFECT, GOOD, PER_DEFECT])
        weights = np.array([where[kinds == kind].sum() for kind in DEFECTS])
        ideal = np.average([ideal_patch_auroc(noise) for noise in DEFECTS.values()], weights=weights)
        measured = roc_auc_score(where.ravel(), energies)
        error = (ideal * (1 - ideal) / weights.sum()) ** 0.5
        assert measured == pytest.approx(ideal, abs=4 * error)


def test_the_oracle_is_above_every_detector_and_the_detectors_above_chance(task: MVTecSynthetic):
    oracle = task.problem(oracle=True).oracle  # type: ignore[union-attr]
    ideal = scored(task, oracle).scores
    length = scored(task, array_energy(lambda x: np.square(x).sum(axis=1))).scores  # unit vectors: rounding only
    rows = task.problem(oracle=False).data.points.double().numpy()  # type: ignore[union-attr]
    precision = np.linalg.inv(rows.T @ rows / len(rows))
    one_gaussian = scored(task, array_energy(lambda x: np.einsum("ni,ij,nj->n", x, precision, x))).scores
    for name in ("pixel_auroc", "aupro", "pixel_auroc_patches", "pixel_ap"):
        assert ideal[name].value > one_gaussian[name].value > length[name].value
    assert length["pixel_auroc"].value == pytest.approx(50, abs=8)


def test_defects_at_their_worst_score_below_themselves_and_a_constant_one_half(task: MVTecSynthetic):
    def score_of(model: object, name: str) -> float:
        return scored(task, model).scores[name].value

    oracle = task.problem(oracle=True).oracle  # type: ignore[union-attr]
    assert 0 < score_of(oracle, "image_robust_auroc") < score_of(oracle, "image_auroc") - 5
    assert score_of(oracle, "image_robust_min_rank") <= score_of(oracle, "image_min_rank")
    blind = array_energy(lambda x: np.zeros(len(x)))
    assert score_of(blind, "image_robust_auroc") == 50.0


def test_a_model_of_whole_grids_is_scored_like_one_of_patches(task: MVTecSynthetic):
    def energy(x: np.ndarray) -> np.ndarray:
        return np.abs(x).sum(axis=-1)

    rows, maps = scored(task, array_energy(energy)), scored(task, array_maps(energy))
    assert {name: e.value for name, e in rows.scores.items()} == {name: e.value for name, e in maps.scores.items()}
    assert set(rows.scores) == {metric.name for metric in task.metrics}


def test_energies_that_are_nan_constant_or_missing(task: MVTecSynthetic):
    with pytest.raises(ValueError, match="finite"):
        scored(task, array_maps(lambda grids: np.full(grids.shape[:3], np.nan)))
    constant = scored(task, array_maps(lambda grids: np.ones(grids.shape[:3])))
    assert constant.scores["image_auroc"].value == constant.scores["pixel_auroc"].value == 50.0
    assert constant.scores["aupro"].value == pytest.approx(15.0)
    assert "weave" in constant.notes["constant energy"]
    nothing = scored(task, Model())
    assert nothing.scores == {}
    assert nothing.notes["aupro"] == "the model has no energy"


def test_features_come_from_the_cache_the_second_time(
    task: MVTecSynthetic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DXBENCH_CACHE", str(tmp_path))
    first = MVTecSynthetic().loaded
    (kept,) = (tmp_path / "patches").glob("reading-*/*")
    assert len(list(kept.iterdir())) == len(CATEGORIES)
    monkeypatch.setattr(type(synthetic.EXTRACTOR), "load", lambda *_: pytest.fail("computed again"))
    second = MVTecSynthetic().loaded
    for name in CATEGORIES:
        np.testing.assert_array_equal(first[name].test, second[name].test)
        np.testing.assert_array_equal(first[name].masks, second[name].masks)  # type: ignore[attr-defined]


def test_pictures_show_maps_over_images_with_the_masks_outline(task: MVTecSynthetic):
    arrays = scored(task, array_energy(lambda x: np.abs(x).sum(axis=1))).arrays
    bars, _, _, maps, curves = task.pictures(arrays)
    error_bars = bars.figure.axes[0].containers[0].lines[2][0]  # type: ignore[attr-defined]
    assert len(error_bars.get_segments()) == len(CATEGORIES)
    panels = [axes for axes in maps.figure.axes if axes.images]
    assert len(panels) == len(CATEGORIES) * 6
    outlined = [bool(axes.collections) for axes in panels[:6]]
    assert outlined == [True, True, True, True, False, False]  # good images have none
    np.testing.assert_array_equal(panels[0].images[0].get_array(), arrays["bands/shown_images"][0])
    assert [len(axes.lines) for axes in curves.figure.axes] == [3, 3]
    bare = {key: value for key, value in arrays.items() if "shown_images" not in key}
    assert len([axes for axes in task.pictures(bare)[3].figure.axes if axes.images]) == len(CATEGORIES) * 3


def test_the_images_shown_are_a_typical_defect_and_the_worst_misses(task: MVTecSynthetic):
    arrays = scored(task, array_energy(lambda x: np.abs(x).sum(axis=1))).arrays
    scores, anomalous = arrays["bands/scores"], arrays["bands/anomalous"]
    _, miss, alarm = arrays["bands/shown_scores"]
    assert miss == scores[anomalous].min()
    assert alarm == scores[~anomalous].max()


def test_a_run_of_a_detector_ends_well(dxbench: Callable[..., Ended], home: Path):
    ended = dxbench("run", "--task", "mvtec_synthetic", "--method", "mahalanobis", "--json")
    assert ended.code == 0
    (record,) = ended.json
    assert record["status"] == "ok"
    assert record["scores"]["pixel_auroc"]["value"] > 95
    protocol = record["protocols"][record["scores"]["pixel_auroc"]["fingerprint"]]
    assert "align_corners=False" in protocol["fields"]["maps"]
    assert '"patch":4' in protocol["fields"]["reference"]


def test_a_report_takes_no_remark_for_a_score_that_is_missing(dxbench: Callable[..., Ended], home: Path):
    assert dxbench("run", "--task", "mvtec_synthetic", "--method", "mahalanobis", "--report").code == 0
    (report,) = home.rglob("report.html")
    page = html.unescape(report.read_text(encoding="utf-8"))
    assert ">sha256 of the groups' files" in page
    assert "not measured" not in page


def test_a_method_of_patches_is_skipped_where_there_are_none(dxbench: Callable[..., Ended], tmp_path: Path):
    (tmp_path / "position.py").write_text(POSITION_MEAN)
    ended = dxbench("run", "--task", "mvtec_synthetic", "--method", f"{tmp_path}/position.py:PositionMean", "--json")
    assert ended.json[0]["status"] == "ok"
    ended = dxbench("run", "--task", "holdout_digit", "--method", f"{tmp_path}/position.py:PositionMean", "--json")
    assert ended.json[0]["status"] == "skipped"
    assert "patches of images" in ended.json[0]["failure"]["message"]


POSITION_MEAN = '''
"""A detector that looks at places."""

import numpy as np
from dxbench.api import Config, PatchDetector


class PositionMeanConfig(Config):
    """Nothing to choose."""


class PositionMean(PatchDetector):
    """Distance to the mean patch of the place."""

    name, version, Config = "position_mean", 1, PositionMeanConfig

    def fit(self, grids, config, *, seed):
        mean = grids.mean(axis=0)
        return lambda x: np.square(x - mean).sum(axis=-1)
'''
