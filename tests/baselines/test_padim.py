"""A Gaussian per position, against scikit-learn's."""

import numpy as np
from dxbench_baselines.padim import PaDiM, PaDiMConfig
from sklearn.covariance import EmpiricalCovariance

RNG = np.random.default_rng(0)
GRIDS = (RNG.normal(size=(30, 2, 3, 5)) * RNG.uniform(0.2, 3, size=(2, 3, 5)) + RNG.normal(size=(2, 3, 5))).astype("f4")
TEST = RNG.normal(size=(4, 2, 3, 5)) * 2


def test_each_position_is_its_own_mahalanobis_distance() -> None:
    maps = PaDiM().fit(GRIDS, PaDiMConfig(ridge=1e-12), seed=0)(TEST)
    n = len(GRIDS)
    for i, j in np.ndindex(2, 3):
        own = EmpiricalCovariance().fit(GRIDS[:, i, j].astype(np.float64))
        wanted = own.mahalanobis(TEST[:, i, j]) * (n - 1) / n  # ddof 1 here, 0 there
        np.testing.assert_allclose(np.square(maps[:, i, j]), wanted, rtol=1e-6)


def test_the_ridge_is_added_to_the_covariance() -> None:
    maps = PaDiM().fit(GRIDS, PaDiMConfig(ridge=0.7), seed=0)(TEST)
    rows = GRIDS[:, 1, 2].astype(np.float64)
    shifted = TEST[:, 1, 2] - rows.mean(axis=0)
    inverse = np.linalg.inv(np.cov(rows.T) + 0.7 * np.eye(5))
    np.testing.assert_allclose(np.square(maps[:, 1, 2]), np.einsum("ni,ij,nj->n", shifted, inverse, shifted))


def test_a_random_subset_of_features_is_used_and_the_seed_draws_it() -> None:
    config = PaDiMConfig(dims=2)
    maps = {seed: PaDiM().fit(GRIDS, config, seed=seed)(TEST) for seed in range(8)}
    np.testing.assert_array_equal(maps[0], PaDiM().fit(GRIDS, config, seed=0)(TEST))
    assert any(not np.array_equal(maps[0], other) for other in maps.values())
    moved = np.stack([TEST + 5 * np.eye(5)[k] for k in range(5)])
    energy = PaDiM().fit(GRIDS, config, seed=0)
    unmoved = [np.array_equal(energy(x), maps[0]) for x in moved]
    assert sum(unmoved) == 3


def test_one_image_has_a_covariance_that_is_the_ridge_alone() -> None:
    maps = PaDiM().fit(GRIDS[:1], PaDiMConfig(ridge=0.25), seed=0)(TEST)
    np.testing.assert_allclose(maps, np.linalg.norm(TEST - GRIDS[0], axis=-1) / 0.5)
