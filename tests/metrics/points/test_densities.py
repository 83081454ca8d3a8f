import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from dxbench.metrics.points.densities import GaussianMixture, ProjectedMixture

MIXTURE_3D = GaussianMixture(
    centres=np.array([[1.0, -0.5, 2.0], [-1.5, 0.0, 0.5], [0.3, 2.5, -1.0]]),
    weights=np.array([0.6, 0.3, 0.1]),
    std=0.7,
)
MIXTURE_2D = GaussianMixture(centres=np.array([[1.0, -0.5], [-1.5, 0.8]]), weights=np.array([0.7, 0.3]), std=0.4)
LINES = {
    "overlapping": ProjectedMixture(means=np.array([0.3, -0.4, 1.0]), weights=np.array([0.5, 0.2, 0.3]), std=0.6),
    "apart": ProjectedMixture(means=np.array([-3.0, 2.0]), weights=np.array([0.3, 0.7]), std=0.2),
    "one": ProjectedMixture(means=np.array([1.5]), weights=np.array([1.0]), std=2.0),
}
every_line = pytest.mark.parametrize("law", LINES.values(), ids=LINES.keys())


def pdf(law: ProjectedMixture, t: float) -> float:
    return float(law.weights @ stats.norm.pdf(t, law.means, law.std))


def support(law: ProjectedMixture) -> tuple[float, float]:
    return law.means.min() - 10 * law.std, law.means.max() + 10 * law.std


def test_density_has_mass_one():
    t = np.linspace(-5, 5, 401)
    grid = np.stack(np.meshgrid(t, t, indexing="ij"), axis=-1).reshape(-1, 2)
    assert np.exp(MIXTURE_2D.log_prob(grid)).sum() * (t[1] - t[0]) ** 2 == pytest.approx(1.0, abs=1e-10)


def test_log_density_is_that_of_torch_in_three_dimensions_with_unequal_weights():
    x = 2 * np.random.default_rng(0).standard_normal((200, 3))
    components = Independent(Normal(torch.tensor(MIXTURE_3D.centres), MIXTURE_3D.std), 1)
    law = MixtureSameFamily(Categorical(torch.tensor(MIXTURE_3D.weights)), components)
    np.testing.assert_allclose(MIXTURE_3D.log_prob(x), law.log_prob(torch.tensor(x)).numpy(), rtol=1e-12, atol=1e-12)


def test_log_density_is_finite_far_away():
    far = MIXTURE_2D.log_prob(np.array([[1e4, -1e4]]))
    assert np.isfinite(far).all()
    assert far[0] < -1e8


def test_samples_have_the_moments_of_the_mixture():
    n = 200_000
    x = MIXTURE_3D.sample(n, np.random.default_rng(1))
    w, c, s = MIXTURE_3D.weights, MIXTURE_3D.centres, MIXTURE_3D.std
    mean = w @ c
    covariance = (w[:, None] * (c - mean)).T @ (c - mean) + s**2 * np.eye(3)
    assert (np.abs(x.mean(0) - mean) < 5 * np.sqrt(np.diag(covariance) / n)).all()
    centred = x - mean
    products = centred[:, :, None] * centred[:, None, :]
    assert (np.abs(products.mean(0) - covariance) < 5 * products.std(0) / math.sqrt(n)).all()


def test_samples_fall_to_components_by_weight_and_with_the_std():
    n = 100_000
    far = GaussianMixture(centres=100 * MIXTURE_3D.centres, weights=MIXTURE_3D.weights, std=0.7)
    x = far.sample(n, np.random.default_rng(2))
    nearest = np.linalg.norm(x[:, None] - far.centres, axis=-1).argmin(axis=1)
    for j, weight in enumerate(far.weights):
        inside = x[nearest == j] - far.centres[j]
        assert abs(len(inside) / n - weight) < 5 * math.sqrt(weight * (1 - weight) / n)
        assert (np.abs(inside.std(0) / 0.7 - 1) < 5 / math.sqrt(2 * len(inside))).all()


def test_samples_follow_their_generator():
    first = MIXTURE_3D.sample(5, np.random.default_rng(0))
    np.random.seed(1)  # noqa: NPY002 - the global seed has to be irrelevant
    assert np.array_equal(first, MIXTURE_3D.sample(5, np.random.default_rng(0)))
    assert not np.array_equal(first, MIXTURE_3D.sample(5, np.random.default_rng(1)))


def test_mean_log_density_of_samples_is_the_negative_entropy():
    n = 100_000
    log_prob = MIXTURE_2D.log_prob(MIXTURE_2D.sample(n, np.random.default_rng(3)))
    t = np.linspace(-5, 5, 401)
    grid = np.stack(np.meshgrid(t, t, indexing="ij"), axis=-1).reshape(-1, 2)
    log_p = MIXTURE_2D.log_prob(grid)
    expected = (np.exp(log_p) * log_p).sum() * (t[1] - t[0]) ** 2
    assert abs(log_prob.mean() - expected) < 5 * log_prob.std() / math.sqrt(n)


def test_projection_is_the_law_of_the_inner_product():
    direction = np.array([0.48, -0.6, 0.64])
    law = MIXTURE_3D.project(direction)
    x = MIXTURE_3D.sample(100_000, np.random.default_rng(4)) @ direction
    assert stats.kstest(x, law.cdf).pvalue > 5.7e-7
    assert abs((x**2).mean() - law.second_moment) < 5 * (x**2).std() / math.sqrt(len(x))


@every_line
def test_cdf_and_partial_mean_are_integrals_of_the_density(law):
    low, _ = support(law)
    ends = np.array([law.means.min() - law.std, law.means.mean(), law.means.max() + 0.5 * law.std])
    for end, cdf, partial in zip(ends, law.cdf(ends), law.partial_mean(ends), strict=True):
        breaks = [m for m in law.means if low < m < end]
        mass, _ = integrate.quad(lambda t: pdf(law, t), low, end, points=breaks, epsabs=1e-13)
        mean, _ = integrate.quad(lambda t: t * pdf(law, t), low, end, points=breaks, epsabs=1e-13)
        assert cdf == pytest.approx(mass, abs=1e-10)
        assert partial == pytest.approx(mean, abs=1e-10)


@every_line
def test_second_moment_is_the_integral_of_the_square(law):
    moment, _ = integrate.quad(lambda t: t**2 * pdf(law, t), *support(law), points=list(law.means), epsabs=1e-12)
    assert law.second_moment == pytest.approx(moment, rel=1e-10)


@every_line
@pytest.mark.parametrize("n", [1, 2, 7, 10])
def test_bin_means_are_integrals_between_numeric_quantiles(law, n):
    low, high = support(law)
    edges = [optimize.brentq(lambda t, u=i / n: law.cdf(np.array([t]))[0] - u, low, high) for i in range(1, n)]
    expected = []
    for a, b in zip([low, *edges], [*edges, high], strict=True):
        breaks = [m for m in law.means if a < m < b] or None
        expected.append(integrate.quad(lambda t: t * pdf(law, t), a, b, points=breaks, epsabs=1e-13)[0])
    np.testing.assert_allclose(law.bin_means(n), expected, rtol=0, atol=1e-9)


@every_line
def test_bin_means_rise_and_sum_to_the_mean(law):
    bins = law.bin_means(100_000)
    assert bins.sum() == pytest.approx(law.weights @ law.means, abs=1e-12)
    # Up to rounding: the bins differ by less than the difference of two partial means can resolve.
    assert (np.diff(bins) > -1e-14).all()


@pytest.mark.parametrize(
    ("weights", "std"),
    [
        ([0.5, 0.4], 1.0),
        ([1.5, -0.5], 1.0),
        ([1.0, 0.0], 1.0),
        ([0.5, 0.5], 0.0),
        ([0.5, 0.5], -1.0),
        ([0.5, 0.5], float("nan")),
        ([0.5, 0.3, 0.2], 1.0),
    ],
)
def test_bad_mixtures_are_refused(weights, std):
    with pytest.raises(ValueError, match="need std > 0 and one positive weight per centre, of sum 1"):
        GaussianMixture(centres=np.zeros((2, 2)), weights=np.array(weights), std=std)
