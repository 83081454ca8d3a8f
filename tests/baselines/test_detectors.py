"""Detectors from scikit-learn against their formulas, in d >= 2 with unequal variances."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from dxbench.api import Compute, Problem
from dxbench.api.streams import RandomStreams
from dxbench.plugins.registry import load_method
from dxbench.tasks.detection import PointSet

DETECTORS = ("iforest", "kde", "knn", "mahalanobis", "pca")
RNG = np.random.default_rng(0)
TRAIN = (RNG.normal(size=(150, 4)) * [3.0, 1.0, 0.5, 0.2] + [1, -2, 0, 5]).astype(np.float32)
FAR = TRAIN.mean(axis=0) + 30 * np.eye(4, dtype=np.float32)


def energy(name: str, x: np.ndarray, *, seed: int = 0, **settings: object) -> np.ndarray:
    method = load_method(name)
    problem = Problem(task="t", event_shape=(4,), data=PointSet(points=torch.from_numpy(TRAIN)), data_std=1.0)
    config = method.Config.model_validate(settings)
    training = method().start(
        problem, config, compute=Compute(device="cpu", threads=1), rng=RandomStreams("test", name, seed)
    )
    assert training.total_steps == 0
    model = training.model()
    assert model.energy is not None
    return model.energy(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("name", DETECTORS)
def test_far_points_have_more_energy_than_training_points(name: str) -> None:
    # Along the two leading axes a point stays inside PCA's subspace, however far it goes.
    far = FAR[2:] if name == "pca" else FAR
    assert energy(name, far).min() > np.median(energy(name, TRAIN))


@pytest.mark.parametrize("name", DETECTORS)
def test_the_same_streams_give_the_same_energies_and_batches_do_not_matter(name: str) -> None:
    whole = energy(name, TRAIN)
    np.testing.assert_array_equal(whole, energy(name, TRAIN))
    np.testing.assert_allclose(whole, np.r_[energy(name, TRAIN[:40]), energy(name, TRAIN[40:])], rtol=1e-9)


def test_another_seed_grows_another_forest() -> None:
    assert not np.array_equal(energy("iforest", TRAIN, seed=1), energy("iforest", TRAIN, seed=0))


def test_knn_is_the_distance_to_the_kth_or_the_mean_of_k() -> None:
    distances = np.sort(np.linalg.norm(FAR[:, None].astype(float) - TRAIN.astype(float), axis=2), axis=1)
    np.testing.assert_allclose(energy("knn", FAR), distances[:, 4], rtol=1e-6)
    np.testing.assert_allclose(energy("knn", FAR, k=3, distance="mean"), distances[:, :3].mean(axis=1), rtol=1e-6)
    assert energy("knn", 7 * TRAIN, k=1, metric="cosine").max() < 1e-6
    assert np.isfinite(energy("knn", FAR, k=1000)).all()  # more neighbours than points: all of them


def test_knn_by_mahalanobis_is_the_distance_that_no_linear_map_of_the_features_changes() -> None:
    from sklearn.covariance import LedoitWolf

    differences = FAR[:, None] - TRAIN
    inverse = LedoitWolf().fit(TRAIN.astype(float)).precision_
    distances = np.sqrt(np.einsum("mna,ab,mnb->mn", differences, inverse, differences))
    got = energy("knn", FAR, k=2, metric="mahalanobis")
    np.testing.assert_allclose(got, np.sort(distances, axis=1)[:, 1], rtol=1e-4)


def test_mahalanobis_is_invariant_to_scale_where_points_are_many() -> None:
    shifted = TRAIN.astype(float) - TRAIN.mean(axis=0)
    sample = np.linalg.inv(shifted.T @ shifted / len(TRAIN))
    wanted = np.einsum("ni,ij,nj->n", shifted, sample, shifted)
    assert np.corrcoef(energy("mahalanobis", TRAIN), wanted)[0, 1] > 0.9


def test_pca_is_the_squared_distance_to_the_leading_subspace() -> None:
    shifted = TRAIN.astype(float) - TRAIN.mean(axis=0)
    _, stds, axes = np.linalg.svd(shifted, full_matrices=False)
    kept = int(np.searchsorted(np.cumsum(stds**2) / np.sum(stds**2), 0.95)) + 1
    outside = shifted @ axes[kept:].T
    np.testing.assert_allclose(energy("pca", TRAIN), np.square(outside).sum(axis=1), rtol=1e-4)


def test_kde_is_minus_the_log_of_the_mean_kernel() -> None:
    data = TRAIN.astype(float)
    pairs = np.linalg.norm(data[:, None] - data, axis=2)
    nearest = np.sort(pairs, axis=1)[:, 1]
    h = float(np.median(nearest))
    log_density = logsumexp(-(pairs**2) / (2 * h**2), axis=1) - np.log(len(data)) - 2 * np.log(2 * np.pi * h**2)
    np.testing.assert_allclose(energy("kde", TRAIN), -log_density, rtol=1e-9)
