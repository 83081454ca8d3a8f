"""Density, coverage, authenticity, Vendi score and FLD against independent implementations of their published codes."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import eigvalsh
from sklearn.metrics import pairwise_distances

from dxbench.metrics.images.authenticity import authenticity
from dxbench.metrics.images.likelihood import feature_likelihood_divergence
from dxbench.metrics.images.neighbours import Tiling
from dxbench.metrics.images.precision_recall import EXACT, HalfPrecision, coverage, density
from dxbench.metrics.images.vendi import vendi_score

SMALL_TILES = Tiling(rows=13, columns=29)


def draws(n: int, dim: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((n, dim)) + shift).astype(np.float32)


def prdc_density_coverage(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float]:
    """The definitions of `prdc`, with whole matrices: the k-th neighbour without itself, borders excluded."""
    real, fake = real.astype(np.float64), fake.astype(np.float64)
    radii = np.sort(pairwise_distances(real), axis=1)[:, k]
    distances = pairwise_distances(real, fake)
    inside = distances < radii[:, None]
    return inside.sum(axis=0).mean() / k, (distances.min(axis=1) < radii).mean()


@pytest.mark.parametrize(("k", "dim", "shift"), [(5, 3, 0.0), (3, 16, 0.3), (1, 64, 0.1)])
@pytest.mark.parametrize("tiling", [Tiling(), SMALL_TILES], ids=["one tile", "many"])
def test_density_and_coverage_are_prdcs(k: int, dim: int, shift: float, tiling: Tiling) -> None:
    real, fake = draws(170, dim, 0), draws(150, dim, 1, shift)
    wanted = prdc_density_coverage(real, fake, k)
    assert density(fake, real, k=k, tiling=tiling) == pytest.approx(wanted[0], abs=1e-12)
    assert coverage(fake, real, k=k, tiling=tiling) == pytest.approx(wanted[1], abs=1e-12)


def test_borders_are_out_where_whole_numbers_lie_on_them() -> None:
    """A grid has many points exactly at a radius; counting them in would give another number."""
    grid = np.stack(np.meshgrid(np.arange(9.0), np.arange(9.0)), axis=-1).reshape(-1, 2).astype(np.float32)
    other = grid[::2] + np.array([1, 0], np.float32)
    wanted = prdc_density_coverage(grid, other, 5)
    assert (density(other, grid), coverage(other, grid)) == pytest.approx(wanted, abs=1e-12)
    assert EXACT.share_inside(other, grid, k=5, tiling=SMALL_TILES) == 1.0


def test_a_lost_mode_lowers_coverage_and_an_outlier_does_not_raise_density() -> None:
    left, right = draws(200, 4, 0), draws(200, 4, 1, shift=50.0)
    assert coverage(draws(400, 4, 2), np.concatenate([left, right])) < 0.55
    outlier = np.concatenate([left, np.full((1, 4), 200.0, np.float32)])
    between = np.full((50, 4), 100.0, np.float32)
    assert EXACT.share_inside(between, outlier, k=5, tiling=SMALL_TILES) == 1.0
    assert density(between, outlier) == pytest.approx(0.2)


def test_authenticity_is_dgm_evals() -> None:
    train, fake = draws(200, 6, 0), draws(150, 6, 1)
    fake[:40] = train[:40] + 1e-3
    among = torch.cdist(torch.from_numpy(train).double(), torch.from_numpy(train).double())
    among.fill_diagonal_(math.inf)
    found = torch.cdist(torch.from_numpy(train).double(), torch.from_numpy(fake).double()).min(dim=0)
    wanted = float((among.min(dim=0).values[found.indices] < found.values).double().mean())
    assert authenticity(fake, train, tiling=SMALL_TILES) == pytest.approx(wanted, abs=1e-12)
    assert 0.0 < wanted < 1.0
    assert authenticity(train, train) == 0.0


@pytest.mark.parametrize(("n", "dim"), [(300, 7), (40, 100)])
def test_vendi_is_that_of_the_whole_kernel(n: int, dim: int) -> None:
    x = draws(n, dim, 0, shift=0.4).astype(np.float64)
    rows = x / np.linalg.norm(x, axis=1, keepdims=True)
    values = eigvalsh(rows @ rows.T / n)
    values = values[values > 0]
    assert vendi_score(x) == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=1e-9)


def test_vendi_counts_different_samples() -> None:
    assert vendi_score(np.repeat(np.eye(6), 5, axis=0)) == pytest.approx(6.0)
    assert vendi_score(np.ones((10, 3))) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="1 of 3 features are zero"):
        vendi_score(np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]))


def fld_by_hand(fake: np.ndarray, train: np.ndarray, test: np.ndarray, rng: np.random.Generator) -> float:
    """The published algorithm in numpy, Adam and the gradient of the mixture's log likelihood written out."""
    mean, std = test.mean(axis=0), test.std(axis=0, ddof=1)
    fake, train, test = ((part - mean) / std for part in (fake, train, test))

    def log_densities(squared: np.ndarray, log_variances: np.ndarray) -> np.ndarray:
        d = train.shape[1]
        return -0.5 * squared / np.exp(log_variances) - d / 2 * log_variances - d / 2 * np.log(2 * np.pi)

    def fit(centres: np.ndarray, x: np.ndarray) -> np.ndarray:
        d = x.shape[1]
        squared = pairwise_distances(x, centres) ** 2
        origin = 0.81 * ((x - x.mean(axis=0)) ** 2).sum(axis=1, keepdims=True)
        squared = np.hstack([squared, origin])
        offsets = np.append(np.full(len(centres), np.log(len(centres))), 0.0)
        s = np.append(np.log((squared[:, :-1].min(axis=0) + 1e-3) / d), 0.0)
        first, second = np.zeros_like(s), np.zeros_like(s)
        for step in range(1, 51):
            logs = log_densities(squared, s) - offsets
            shares = np.exp(logs - np.logaddexp.reduce(logs, axis=1)[:, None])
            gradient = -(shares * (0.5 * squared / np.exp(s) - d / 2)).mean(axis=0) / d
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            s = s - 0.5 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
            s[:-1] = s[:-1].clip(-40, 20)
        return s[:-1]

    def nats(centres: np.ndarray, s: np.ndarray) -> float:
        logs = log_densities(pairwise_distances(test, centres) ** 2, s) - np.log(len(centres))
        return float(-np.logaddexp.reduce(logs, axis=1).mean() / test.shape[1])

    order = rng.permutation(len(train))
    size = min(len(fake), len(train) // 2)
    half, other = train[order[:size]], train[order[size:]]
    return 100 * (nats(fake, fit(fake, train)) - nats(half, fit(half, other)))


def test_fld_is_the_published_algorithm() -> None:
    fake, train, test = (draws(n, 5, seed).astype(np.float64) for n, seed in ((60, 0), (90, 1), (50, 2)))
    wanted = fld_by_hand(fake, train, test, np.random.default_rng(7))
    got = feature_likelihood_divergence(fake, train, test, rng=np.random.default_rng(7))
    assert got == pytest.approx(wanted, rel=1e-5)


def test_fld_sees_copies_blur_and_a_lost_mode() -> None:
    rng = np.random.default_rng(0)
    train, test, fresh = (rng.standard_normal((n, 4)) + 6 * (np.arange(n) % 2)[:, None] for n in (300, 200, 300))

    def fld(samples: np.ndarray) -> float:
        return feature_likelihood_divergence(samples, train, test, rng=np.random.default_rng(1))

    good = fld(fresh)
    assert fld(train + 1e-4) > good + 100
    assert fld(fresh + rng.standard_normal(fresh.shape)) > good + 5
    assert fld(fresh[::2]) > good + 20


def adm_in_float16(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float]:
    """Precision and recall with distances in float16, element by element: |u|^2 - 2 uv + |v|^2, each term rounded."""

    def squared(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        u, v = u.astype(np.float16), v.astype(np.float16)
        norms = [np.array([np.float16(np.float32((row * row).astype(np.float32)).sum()) for row in x]) for x in (u, v)]
        products = (u.astype(np.float32) @ v.astype(np.float32).T).astype(np.float16)
        return np.maximum(norms[0][:, None] - np.float16(2) * products + norms[1][None, :], np.float16(0))

    radii = [np.sort(squared(x, x), axis=1)[:, k] for x in (real, fake)]
    across = squared(fake, real)
    return (across <= radii[0]).any(axis=1).mean(), (across <= radii[1][:, None]).any(axis=0).mean()


def test_half_precision_is_adms_arithmetic_and_a_little_generous() -> None:
    real, fake = draws(400, 64, 0), draws(400, 64, 1, shift=0.25)
    half = HalfPrecision(block=10_000)
    got = [half.share_inside(*sides, k=3, tiling=Tiling()) for sides in ((fake, real), (real, fake))]
    assert got == pytest.approx(adm_in_float16(real, fake, 3), abs=1e-12)
    exact = [EXACT.share_inside(*sides, k=3, tiling=Tiling()) for sides in ((fake, real), (real, fake))]
    assert all(one >= other for one, other in zip(got, exact, strict=True))
    assert got != exact


def test_blocks_that_overflow_float16_are_in_float32() -> None:
    """1,000 per coordinate gives squares of 6.4e7, beyond float16's 65,504."""
    real, fake = 1000 * draws(120, 64, 0), 1000 * draws(120, 64, 1)
    got = HalfPrecision().share_inside(fake, real, k=3, tiling=SMALL_TILES)
    assert got == EXACT.share_inside(fake, real, k=3, tiling=SMALL_TILES)
