import math

import numpy as np
import pytest
import torch
from scipy import linalg
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from dxbench.metrics.images.frechet import MomentAccumulator, Moments, array_moments, frechet_distance, moments_of


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def covariance(dim: int, seed: int, rank: int | None = None) -> np.ndarray:
    """A random covariance of that rank, eigenvalues over two decades."""
    factor = rng(seed).standard_normal((dim, rank or dim)) * np.logspace(0, -1, rank or dim)
    return factor @ factor.T


def features(n: int, dim: int, seed: int) -> np.ndarray:
    return rng(seed).standard_normal((n, dim)) @ rng(seed + 1).standard_normal((dim, dim)) + seed


class TestMoments:
    def test_equal_numpys_mean_and_covariance(self) -> None:
        x = features(300, 7, 1)
        got = array_moments(x)
        assert got.n == 300
        np.testing.assert_allclose(got.mean, x.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(got.cov, np.cov(x, rowvar=False), rtol=1e-12)

    @pytest.mark.parametrize("batch", [1, 7, 64, 1000])
    def test_do_not_depend_on_the_batch_size(self, batch: int) -> None:
        x = features(200, 5, 3)
        got = moments_of(x[i : i + batch] for i in range(0, len(x), batch))
        whole = array_moments(x)
        np.testing.assert_allclose(got.mean, whole.mean, rtol=1e-13)
        np.testing.assert_allclose(got.cov, whole.cov, rtol=1e-12)

    def test_of_float32_features_far_from_zero_keep_their_digits(self) -> None:
        x = (rng().standard_normal((20_000, 3)) * 0.01 + 1000).astype(np.float32)
        np.testing.assert_allclose(array_moments(x).cov, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-10)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_refuse_what_is_not_finite(self, bad: float) -> None:
        x = features(10, 3, 0)
        x[4, 1] = bad
        with pytest.raises(ValueError, match="not finite"):
            array_moments(x)

    def test_refuse_too_few_and_other_widths(self) -> None:
        with pytest.raises(ValueError, match="at least 2 features, got 1"):
            array_moments(features(1, 3, 0))
        with pytest.raises(ValueError, match="at least 2 features, got none"):
            moments_of([])
        accumulator = MomentAccumulator(3)
        with pytest.raises(ValueError, match=r"wants features \[b, 3\], got \[5, 4\]"):
            accumulator.update(features(5, 4, 0))

    def test_refuse_a_covariance_of_another_shape_or_not_finite(self) -> None:
        with pytest.raises(ValueError, match="mean"):
            Moments(n=3, mean=np.zeros(3), cov=np.eye(2))
        with pytest.raises(ValueError, match="finite"):
            Moments(n=3, mean=np.zeros(2), cov=np.full((2, 2), np.nan))


class TestFrechetDistance:
    def test_of_gaussians_with_commuting_covariances_is_known(self) -> None:
        """With one eigenbasis: ||m - m'||^2 + sum (s - s')^2."""
        basis = np.linalg.qr(rng().standard_normal((6, 6)))[0]
        s, t, shift = np.arange(1.0, 7), np.array([0.5, 3, 3, 0.1, 9, 2]), rng(1).standard_normal(6)
        a = Moments(n=None, mean=np.zeros(6), cov=basis * s**2 @ basis.T)
        b = Moments(n=None, mean=shift, cov=basis * t**2 @ basis.T)
        assert frechet_distance(a, b) == pytest.approx(shift @ shift + ((s - t) ** 2).sum(), rel=1e-12)

    def test_of_one_dimension_is_known(self) -> None:
        a = Moments(n=None, mean=np.array([1.0]), cov=np.array([[4.0]]))
        b = Moments(n=None, mean=np.array([-2.0]), cov=np.array([[0.25]]))
        assert frechet_distance(a, b) == pytest.approx(9 + 1.5**2)

    def test_equals_scipys_sqrtm(self) -> None:
        dim = 96
        a = Moments(n=None, mean=rng(1).standard_normal(dim), cov=covariance(dim, 1))
        b = Moments(n=None, mean=rng(2).standard_normal(dim), cov=covariance(dim, 2))
        root = np.asarray(linalg.sqrtm(a.cov @ b.cov)).real
        shift = a.mean - b.mean
        wanted = shift @ shift + np.trace(a.cov + b.cov - 2 * root)
        assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-8)

    def test_equals_torch_fidelity_on_the_same_features(self) -> None:
        x, y = features(500, 32, 1), features(400, 32, 5)
        theirs = fid_statistics_to_metric(
            fid_features_to_statistics(torch.from_numpy(x)), fid_features_to_statistics(torch.from_numpy(y)), False
        )["frechet_inception_distance"]
        assert frechet_distance(array_moments(x), array_moments(y)) == pytest.approx(theirs, rel=1e-6)

    @pytest.mark.parametrize(("rank_a", "rank_b"), [(5, 5), (5, 64), (64, 9), (1, 3)])
    def test_of_singular_covariances_is_exact(self, rank_a: int, rank_b: int) -> None:
        """Fewer features than dimensions: covariances A^T A and B^T B, tr (C_a C_b)^(1/2) = ||A B^T||_*."""
        dim = 64
        x, y = rng(1).standard_normal((rank_a, dim)), rng(2).standard_normal((rank_b, dim))
        a = Moments(n=rank_a, mean=np.zeros(dim), cov=x.T @ x)
        b = Moments(n=rank_b, mean=np.zeros(dim), cov=y.T @ y)
        wanted = np.trace(a.cov) + np.trace(b.cov) - 2 * np.linalg.svd(x @ y.T, compute_uv=False).sum()
        assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-10)

    def test_of_two_small_orthogonal_samples_has_no_rounding_noise(self) -> None:
        """Supports that do not meet: the overlap is 0, where a clamped eigenvalue sum would leave 1e-6."""
        x = np.zeros((8, 256))
        x[:, :8] = rng(0).standard_normal((8, 8))
        y = np.roll(x, 100, axis=1)
        a, b = array_moments(x), array_moments(y)
        shift = a.mean - b.mean
        assert frechet_distance(a, b) == pytest.approx(shift @ shift + 2 * np.trace(a.cov), rel=1e-12)

    def test_of_a_set_to_itself_is_zero_and_symmetric_otherwise(self) -> None:
        a, b = array_moments(features(200, 16, 1)), array_moments(features(200, 16, 2))
        assert 0 <= frechet_distance(a, a) < 1e-9 * np.trace(a.cov)
        assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-12)

    def test_of_constant_features_is_the_distance_of_the_means(self) -> None:
        a, b = array_moments(np.zeros((5, 3))), array_moments(np.full((5, 3), 2.0))
        assert frechet_distance(a, b) == pytest.approx(12.0)

    def test_of_draws_of_one_gaussian_falls_as_one_over_n(self) -> None:
        """The bias that makes N part of the name; about (d + d^2 / 2) / (2 n) for unit covariance and two sets."""
        distances = [
            frechet_distance(
                array_moments(rng(1).standard_normal((n, 8))), array_moments(rng(2).standard_normal((n, 8)))
            )
            for n in (500, 5000, 50_000)
        ]
        assert distances[0] > 4 * distances[1] > 16 * distances[2]
        assert math.isclose(distances[2] * 50_000, distances[0] * 500, rel_tol=0.6)

    def test_refuses_features_of_two_kinds(self) -> None:
        with pytest.raises(ValueError, match="3 and 4 dimensions"):
            frechet_distance(array_moments(features(9, 3, 0)), array_moments(features(9, 4, 0)))
