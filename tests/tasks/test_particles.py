"""Particles: energies against formulas, draws against quadrature and other chains, and what metrics see of them."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from scipy.stats import ks_2samp, kstest

from dxbench.errors import InvalidFile
from dxbench.tasks import particle_chains
from dxbench.tasks.boltzmann import SET_SIZE
from dxbench.tasks.particle_chains import chained, cluster_energy, hamiltonian_step
from dxbench.tasks.particles import DEEPEST, DW4, LJ13, ParticleTask, double_well, lennard_jones

TARGETS = (DW4, LJ13)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DXBENCH_CACHE", str(tmp_path / "cache"))


def gas(target: type[ParticleTask], n: int, *, apart: float = 0.7) -> torch.Tensor:
    """Points whose particles are no nearer to each other than `apart`, [n, D]."""
    rng = np.random.default_rng(0)
    kept: list[NDArray[np.float64]] = []
    while len(kept) < n:
        x = 2 * rng.standard_normal((target.particles, target.dim // target.particles))
        near = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(x, 2))
        if near > apart:
            kept.append(x.ravel())
    return torch.from_numpy(np.stack(kept))


# --- energies ------------------------------------------------------------------------------------------------


def test_double_wells_are_the_sum_over_pairs_and_the_centre_a_gaussian() -> None:
    x = gas(DW4, 20)
    wanted = []
    for point in x.reshape(20, 4, 2).numpy():
        pairs = [np.linalg.norm(a - b) - 4 for a, b in itertools.permutations(point, 2)]
        centre = point.mean(axis=0)
        wanted.append(0.5 * sum(0.9 * d**4 - 4 * d**2 for d in pairs) + 2 * centre @ centre)
    assert np.allclose(DW4.energy(x).numpy(), wanted)
    assert float(double_well(np.linspace(0, 9, 100_001)).min()) == pytest.approx(DEEPEST, abs=1e-6)


def test_the_cluster_is_the_sum_over_ordered_pairs_and_a_trap() -> None:
    """As iDEM's code has it: every pair twice, and 0.5 |x - centre|^2; with the centre's Gaussian, 0.5 |x|^2."""
    x = gas(LJ13, 5)
    wanted = []
    for point in x.reshape(5, 13, 3).numpy():
        pairs = [np.linalg.norm(a - b) for a, b in itertools.permutations(point, 2)]
        wanted.append(sum(d**-12 - 2 * d**-6 for d in pairs) + 0.5 * (point**2).sum())
    assert np.allclose(LJ13.energy(x).numpy(), wanted)
    assert float(lennard_jones(torch.tensor(1.0))) == -2.0


@pytest.mark.parametrize("target", TARGETS)
def test_energies_do_not_know_how_particles_lie(target: type[ParticleTask]) -> None:
    x = target.seen(gas(target, 6).numpy())
    where = x.reshape(6, target.particles, -1)
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((where.shape[2],) * 2))
    moved = (where[:, ::-1] @ turn).reshape(6, -1)
    assert np.allclose(target.energy(torch.from_numpy(moved.copy())), target.energy(torch.from_numpy(x)))
    assert np.allclose(target.seen(moved + np.tile(np.arange(where.shape[2]), target.particles)), moved)


@pytest.mark.parametrize("target", TARGETS)
def test_gradients_are_those_of_finite_differences_and_finite_where_particles_coincide(
    target: type[ParticleTask],
) -> None:
    assert torch.autograd.gradcheck(target.energy, (gas(target, 3).requires_grad_(True),))
    near = (1e-3 * torch.randn(4, target.dim, generator=torch.Generator().manual_seed(0))).requires_grad_(True)
    energy = target.energy(torch.cat([near, torch.zeros(1, target.dim)]))
    assert torch.isfinite(energy).all()
    assert torch.isfinite(torch.autograd.grad(energy.sum(), near)[0]).all()


@pytest.mark.parametrize("target", TARGETS)
def test_particles_that_flew_apart_have_an_infinite_energy_and_not_nan(target: type[ParticleTask]) -> None:
    for reach in (1e12, 1e20):
        far = reach * torch.randn(4, target.dim, generator=torch.Generator().manual_seed(0))
        assert (target.energy(far) > 1e20).all()


def test_the_energy_of_a_pair_goes_on_smoothly_at_the_core() -> None:
    r = torch.tensor([0.6 - 1e-6, 0.6 + 1e-6], dtype=torch.float64).requires_grad_(True)
    value = lennard_jones(r)
    (slope,) = torch.autograd.grad(value.sum(), r)
    value = value.detach()
    assert float(value[0]) == pytest.approx(float(value[1]), rel=1e-3)
    assert float(slope[0]) == pytest.approx(float(slope[1]), rel=1e-3)


# --- draws ---------------------------------------------------------------------------------------------------


def quadrature(step: float = 0.125, apart: float = 0.1) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """log Z of `dw4`, and the density of a pair's distance on a grid.

    With two particles held r apart, the other two see them and each other: an integral over the plane twice, whose
    inner one is a convolution.
    """
    side = np.arange(-12.0, 12.0 + step / 2, step)
    x, y = np.meshgrid(side, side, indexing="ij")
    kernel = np.exp(DEEPEST - double_well(np.hypot(x, y)))
    grid = np.arange(0.0, 9.0, apart) + apart / 2
    density = []
    for r in grid:
        seen = np.exp(2 * DEEPEST - double_well(np.hypot(x + r / 2, y)) - double_well(np.hypot(x - r / 2, y)))
        both = (seen * fftconvolve(seen, kernel, mode="same")).sum() * step**4
        density.append(2 * math.pi * r * math.exp(DEEPEST - double_well(np.array(r))) * both)
    total = float(np.sum(density)) * apart
    return math.log(total) - 6 * DEEPEST + math.log(2 * math.pi / 4), grid, np.array(density) / total


def test_exact_draws_and_log_z_of_four_particles_are_those_of_quadrature() -> None:
    log_z, grid, density = quadrature()
    assert DW4.log_z == pytest.approx(log_z, abs=1e-6)
    x = DW4.draw(1500, np.random.default_rng(0)).reshape(1500, 4, 2)
    edges, share = np.append(grid - 0.05, 9.0), np.append(0.0, np.cumsum(density) * 0.1)
    for i, j in ((0, 1), (2, 3)):
        apart = np.linalg.norm(x[:, i] - x[:, j], axis=1)
        assert kstest(apart, lambda r: np.interp(r, edges, share)).pvalue > 1e-3
    assert kstest(x.mean(axis=1).ravel() * 2, "norm").pvalue > 1e-3


def test_the_chains_follow_the_energy_of_the_task() -> None:
    x = gas(LJ13, 4).reshape(4, 13, 3)
    x = (x - x.mean(dim=1, keepdim=True)).reshape(4, 39).requires_grad_(True)
    energy = LJ13.energy(x)
    (gradient,) = torch.autograd.grad(energy.sum(), x)
    found, slope = cluster_energy(np.ascontiguousarray(x.detach().numpy().reshape(4, 13, 3).transpose(1, 2, 0)))
    assert np.allclose(found, energy.detach().numpy())
    assert np.allclose(slope.transpose(2, 0, 1).reshape(4, 39), gradient.numpy(), rtol=1e-8)


def test_chains_from_a_gas_agree_with_those_from_the_icosahedron(monkeypatch: pytest.MonkeyPatch) -> None:
    """Energies, and distances from the centre, of two starts that are nothing like each other."""
    monkeypatch.setattr(particle_chains, "CHAINS", 100)
    rng = np.random.default_rng(1)
    x = np.ascontiguousarray(LJ13.seen(gas(LJ13, 100, apart=0.9).numpy()).reshape(100, 13, 3).transpose(1, 2, 0))
    for _ in range(150):
        x = hamiltonian_step(x, rng)
    other = chained(200, np.random.default_rng(2))
    energies = cluster_energy(x)[0], cluster_energy(np.ascontiguousarray(other.transpose(1, 2, 0)))[0]
    assert ks_2samp(*energies).pvalue > 1e-3
    radii = np.linalg.norm(x.transpose(2, 0, 1), axis=2).max(axis=1), np.linalg.norm(other, axis=2).max(axis=1)
    assert ks_2samp(*radii).pvalue > 1e-3
    assert np.array_equal(other[:20], chained(20, np.random.default_rng(2)))


@pytest.mark.parametrize("target", TARGETS)
def test_placing_a_draw_moves_no_energy(target: type[ParticleTask], monkeypatch: pytest.MonkeyPatch) -> None:
    known = gas(target, SET_SIZE // 20).numpy().reshape(SET_SIZE // 20, target.particles, -1)
    monkeypatch.setattr(target, "positions", staticmethod(lambda n, rng: known[:n]))
    drawn = target.seen(target.draw(50, np.random.default_rng(0)))
    true = target.seen(known[:50].reshape(50, -1))
    assert np.allclose(target.energy(torch.from_numpy(drawn)), target.energy(torch.from_numpy(true)))
    assert not np.allclose(drawn, true)


def test_a_set_is_drawn_once_and_a_damaged_one_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def positions(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        asked.append(n)
        return rng.standard_normal((n, 4, 2))

    monkeypatch.setattr(DW4, "positions", staticmethod(positions))
    first, same, other = (DW4.draw(7, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert asked == [7, 7]
    assert np.array_equal(first, same)
    assert not np.allclose(first, other)
    for path in (tmp_path / "cache" / "particles").iterdir():
        path.write_bytes(b"no archive")
    with pytest.raises(InvalidFile, match="is no set of draws; delete it, and it is made again"):
        DW4.draw(7, np.random.default_rng(0))


# --- the task ------------------------------------------------------------------------------------------------


def test_metrics_move_the_centre_of_samples_to_zero_first(monkeypatch: pytest.MonkeyPatch) -> None:
    known = gas(DW4, 300).numpy()
    rows = np.random.default_rng(0).integers(300, size=20_000)
    monkeypatch.setattr(DW4, "positions", staticmethod(lambda n, rng: known[rows[:n]].reshape(n, 4, 2)))
    task, samples = DW4(), known[rows[-10_000:]]
    seen, moved = (task.inputs_of(x).samples for x in (samples, samples + np.tile([5.0, -3.0], 4)))
    assert seen is not None
    assert moved is not None
    assert np.allclose(seen, moved)
    assert np.allclose(seen.reshape(-1, 4, 2).mean(axis=1), 0.0)
    assert np.allclose(task.reference.test_draws[0].reshape(-1, 4, 2).mean(axis=1), 0.0)


def test_only_a_law_whose_log_z_is_known_is_scored_by_it() -> None:
    for target, scored in ((DW4, True), (LJ13, False)):
        assert ({"log_z_error", "elbo_error"} <= {metric.name for metric in target().metrics}) is scored
