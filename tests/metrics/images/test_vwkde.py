"""Weighted kernel KL where the truth is known: Gaussians of unequal covariance, and the bias that weights cancel."""

import numpy as np
import pytest

from dxbench.metrics.images.vwkde import (
    Radial,
    gaussian_scores,
    kernel_kl,
    log_weights,
    radial_functions,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def gaussian_kl(m1: np.ndarray, c1: np.ndarray, m2: np.ndarray, c2: np.ndarray) -> float:
    precision, shift = np.linalg.inv(c2), m1 - m2
    logdet = np.linalg.slogdet(c2)[1] - np.linalg.slogdet(c1)[1]
    return 0.5 * float(np.trace(precision @ c1) + shift @ precision @ shift - len(m1) + logdet)


M1, M2 = np.zeros(2), np.array([0.5, 0.5])
C1, C2 = np.diag([1.0, 1.0]), np.array([[2.0, 0.3], [0.3, 0.5]])


def draws(seed: int, n: int = 800) -> tuple[np.ndarray, np.ndarray]:
    return rng(seed).multivariate_normal(M1, C1, n), rng(seed + 100).multivariate_normal(M2, C2, n)


def test_gaussian_scores_are_those_of_the_density() -> None:
    """Gradient of the log and Laplacian over the density, by finite differences of the density itself."""
    points = rng().normal(size=(500, 2)) @ np.array([[1.5, 0.4], [0.0, 0.6]]) + 1
    mean, precision = points.mean(0), np.linalg.inv(np.cov(points.T))

    def density(x: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * np.einsum("ni,ij,nj->n", x - mean, precision, x - mean))

    x, step = rng(1).normal(size=(20, 2)), 1e-4
    found, at = gaussian_scores(points)(x), density(x)
    plus, minus = (np.stack([density(x + sign * step * axis) for axis in np.eye(2)], 1) for sign in (1, -1))
    np.testing.assert_allclose(found.gradient, (plus - minus) / (2 * step * at[:, None]), rtol=1e-4, atol=1e-5)
    laplacian = (plus + minus - 2 * at[:, None]).sum(1) / step**2 / at
    np.testing.assert_allclose(found.laplacian, laplacian, rtol=1e-3, atol=1e-3)


def test_radial_functions_agree_with_finite_differences() -> None:
    basis = Radial(rng().normal(size=(5, 3)), 0.8)
    x, v, step = rng(1).normal(size=(7, 3)), rng(2).normal(size=(7, 3)), 1e-4
    np.testing.assert_allclose(basis.along(x, v), (basis(x + step * v) - basis(x - step * v)) / (2 * step), atol=1e-6)
    gradients = np.stack([basis.along(x, np.broadcast_to(axis, x.shape)) for axis in np.eye(3)], axis=2)
    weights = rng(3).normal(size=5)
    np.testing.assert_allclose(basis.gradient(x, weights), np.einsum("nja,j->na", gradients, weights))


def test_the_leading_bias_of_the_weighted_ratio_is_h_squared_times_b() -> None:
    """In one dimension, both densities smoothed on a grid: (log ratio - truth) / h^2 -> B for any weights."""
    grid = np.linspace(-10, 10, 8001)
    dx, h = grid[1] - grid[0], 0.08
    variances, means = (1.0, 1.8), (0.0, 0.7)
    basis, w = Radial(np.array([[-1.0], [0.5]]), 1.2), np.array([0.8, -0.5])
    alpha = np.exp(basis(grid[:, None]) @ w)
    reach = np.arange(-6 * h, 6 * h + dx / 2, dx)
    kernel = np.exp(-(reach**2) / (2 * h**2))
    log_p = [-((grid - m) ** 2) / (2 * v) for m, v in zip(means, variances, strict=True)]
    smooth = [np.log(np.convolve(alpha * np.exp(p), kernel, "same")) for p in log_p]
    off = (smooth[0] - smooth[1] - log_p[0] + log_p[1]) / h**2
    s = [-(grid - m) / v for m, v in zip(means, variances, strict=True)]
    laplacians = [si**2 - 1 / v for si, v in zip(s, variances, strict=True)]
    slope = basis.gradient(grid[:, None], w)[:, 0]
    wanted = slope * (s[0] - s[1]) + (laplacians[0] - laplacians[1]) / 2
    inside = np.abs(grid) < 2
    np.testing.assert_allclose(off[inside], wanted[inside], atol=0.05)


def test_weights_cut_the_mean_square_of_b() -> None:
    x, y = draws(0)
    both = np.concatenate([x, y])
    basis = radial_functions(both, 100, rng(3))
    log_alpha = np.concatenate(log_weights(x, y, scores=gaussian_scores, basis=basis, ridge=0.01))
    weights = np.linalg.lstsq(basis(both), log_alpha, rcond=None)[0]
    s1, s2 = gaussian_scores(x)(both), gaussian_scores(y)(both)
    offset = (s1.laplacian - s2.laplacian) / 2
    b = (basis.gradient(both, weights) * (s1.gradient - s2.gradient)).sum(1) + offset
    assert np.square(b).mean() < 0.5 * np.square(offset).mean()


def test_gaussians_of_unequal_covariance_are_nearer_the_truth_than_without_weights() -> None:
    truth = gaussian_kl(M1, C1, M2, C2)
    plain, weighted = (
        np.array([kernel_kl(*draws(seed), rng=rng(), scores=way) for seed in range(4)])
        for way in (None, gaussian_scores)
    )
    error = 3 * weighted.std(ddof=1) / 2
    assert abs(weighted.mean() - truth) < min(error, abs(plain.mean() - truth))


def test_draws_of_one_law_are_at_distance_0_and_affine_maps_do_not_matter() -> None:
    x, y = (rng(seed).normal(size=(600, 2)) for seed in (0, 1))
    assert kernel_kl(x, y, rng=rng()) == pytest.approx(0.0, abs=0.05)
    x, y = draws(0, 300)
    mapping = np.array([[3.0, 1.0], [0.0, 0.01]])
    assert kernel_kl(x @ mapping + 7, y @ mapping + 7, rng=rng()) == pytest.approx(kernel_kl(x, y, rng=rng()), rel=1e-4)


def test_features_that_never_vary_are_left_out() -> None:
    x, y = draws(0, 300)
    wider = [np.c_[points, np.zeros((300, 2))] for points in (x, y)]
    assert kernel_kl(*wider, rng=rng()) == pytest.approx(kernel_kl(x, y, rng=rng()), abs=0.02)


def test_draws_that_have_collapsed_to_a_point_are_far_away() -> None:
    x, y = rng(0).normal(size=(300, 3)), np.ones((300, 3))
    assert kernel_kl(x, y, rng=rng()) > 1
    assert np.isfinite(kernel_kl(y, x, rng=rng()))


def test_bad_draws_are_refused() -> None:
    x, y = draws(0, 20)
    with pytest.raises(ValueError, match="one width"):
        kernel_kl(x, y[:, :1], rng=rng())
    with pytest.raises(ValueError, match="at least 4 draws"):
        kernel_kl(x[:3], y, rng=rng())
    with pytest.raises(ValueError, match="not finite"):
        kernel_kl(np.where(x > 0, x, np.nan), y, rng=rng())
