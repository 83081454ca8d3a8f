"""The worst case of a detector: threat models against their formulas, the search against enumeration."""

import numpy as np
import pytest

from dxbench.metrics.detection.robust import Affine, ThreatModel, Tone, Turn, WorstCase, _reflected

RNG = np.random.default_rng(0)
DIGITS = RNG.random((6, 64)).astype(np.float32)
THREATS = (Affine(shape=(1, 8, 8)), Tone(), Turn().fitted(RNG.normal(size=(30, 64))))


@pytest.mark.parametrize("threat", THREATS, ids=lambda t: type(t).__name__)
def test_parameters_of_zero_change_nothing_and_others_do(threat: ThreatModel):
    zero = np.zeros((6, threat.dim))
    np.testing.assert_allclose(threat.apply(DIGITS, zero), DIGITS, atol=1e-6)
    assert np.abs(threat.apply(DIGITS, zero + 0.7) - DIGITS).max(axis=1).min() > 1e-3


def test_a_turn_keeps_lengths_and_turns_by_the_angle_it_says():
    x, z = RNG.normal(size=(50, 20)), RNG.uniform(-1, 1, size=(50, 8))
    turned = Turn(degrees=10.0).fitted(RNG.normal(size=(40, 20))).apply(x, z)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(x, axis=1), rtol=1e-12)
    cosine = (x * turned).sum(axis=1) / np.square(x).sum(axis=1)
    wanted = np.minimum(np.linalg.norm(z, axis=1), 1.0) * 10.0
    np.testing.assert_allclose(np.degrees(np.arccos(np.clip(cosine, -1, 1))), wanted, atol=1e-5)


def test_a_turn_of_a_grid_turns_each_of_its_patches_as_the_vector_it_is():
    grids, z = RNG.normal(size=(5, 3, 2, 20)), RNG.uniform(-1, 1, size=(5, 8))
    normal = RNG.normal(size=(4, 3, 2, 20))
    turned = Turn().fitted(normal).apply(grids, z)
    one_by_one = Turn().fitted(normal.reshape(-1, 20))
    for i, j in np.ndindex(3, 2):
        np.testing.assert_allclose(turned[:, i, j], one_by_one.apply(grids[:, i, j], z), rtol=1e-12)


def test_what_comes_in_from_outside_is_nothing_or_the_edge_again():
    image, full = np.ones((1, 64), np.float32), np.array([[0, 0, 0, 1.0, 0]])
    dark, bright = (Affine(shape=(1, 8, 8), shift=0.25, outside=o).apply(image, full) for o in ("zeros", "border"))
    assert dark.reshape(8, 8)[:, -1].max() < 0.6
    np.testing.assert_allclose(bright, image)


def test_one_in_some_anomalies_is_changed_and_protocols_say_so():
    anomalous = np.array([0, 1, 1, 0, 1, 1, 1], bool)
    assert WorstCase(threats=THREATS, every=2).chosen(anomalous).tolist() == [1, 4, 6]
    assert WorstCase(threats=THREATS, at_most=2).chosen(anomalous).tolist() == [1, 2]
    assert "all anomalies of a group, one in 2," in WorstCase(threats=THREATS, every=2).description


def test_an_affine_move_of_one_pixel_is_a_shift_of_the_array():
    image = np.zeros((1, 64), np.float32)
    image[0, 3 * 8 + 4] = 1.0
    moved = Affine(shape=(1, 8, 8), shift=1 / 8).apply(image, np.array([[0, 0, 0, 1.0, 0]])).reshape(8, 8)
    assert moved[3, 3] == pytest.approx(1.0, abs=1e-6)  # the grid moves right, the image left
    assert moved.sum() == pytest.approx(1.0, abs=1e-6)


def test_a_rotation_turns_a_centred_disc_into_itself_and_a_bar_into_another():
    i, j = np.meshgrid(np.arange(28) - 13.5, np.arange(28) - 13.5, indexing="ij")
    disc = (np.hypot(i, j) < 9).astype(np.float32).reshape(1, -1)
    bar = ((np.abs(i) < 2) & (np.abs(j) < 11)).astype(np.float32).reshape(1, -1)
    threat, full = Affine(shape=(1, 28, 28)), np.array([[1.0, 0, 0, 0, 0]])
    assert np.abs(threat.apply(disc, full) - disc).mean() < 0.03 < np.abs(threat.apply(bar, full) - bar).mean()


def test_brightness_contrast_and_gamma():
    x = np.array([[0.0, 0.25, 0.5]])
    tone = Tone(strength=0.2)
    np.testing.assert_allclose(tone.apply(x, np.array([[1.0, 0, 0]])), x + 0.2)
    np.testing.assert_allclose(tone.apply(x, np.array([[0, -1.0, 0]])), 0.8 * x)
    np.testing.assert_allclose(tone.apply(x, np.array([[0, 0, 1.0]])), x ** np.exp(0.2))


def test_proposals_are_reflected_into_the_cube():
    z = np.array([-1.3, -1.0, -0.4, 0.0, 0.9, 1.0, 1.25, 3.1])
    np.testing.assert_allclose(_reflected(z), [-0.7, -1.0, -0.4, 0.0, 0.9, 1.0, 0.75, -0.9], atol=1e-12)


class Shift:
    """x + z: the least energy is known."""

    dim = 2
    description = "shift"

    def fitted(self, normal: np.ndarray) -> "Shift":
        return self

    def apply(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        return x + z


def energy(x: np.ndarray) -> np.ndarray:
    return np.square(x).sum(axis=1)


def search(steps: int, **settings: float) -> np.ndarray:
    x = np.array([[3.0, 0.5], [2.0, -2.0], [0.3, 0.1]])
    worst = WorstCase(threats=(Shift(),), steps=steps, **settings)  # type: ignore[arg-type]
    return worst(energy, x, own=energy(x), normal=np.array([0.0, 1.0]), train=x, rng=np.random.default_rng(0))


def test_the_search_finds_the_least_energy_within_the_threat_and_never_more_than_the_points_own():
    np.testing.assert_allclose(search(0), [9.25, 8.0, 0.1])
    few, many = search(20), search(600)
    assert (many <= few).all()
    assert (few <= search(0)).all()
    np.testing.assert_allclose(many, [4.0, 2.0, 0.0], atol=0.15)  # moved by 1 in each coordinate, where that helps


def test_the_chain_is_metropolis_hastings():
    """At a high temperature it explores the cube evenly; the visited energies are those of the uniform law."""
    met: list[np.ndarray] = []

    def watched(x: np.ndarray) -> np.ndarray:
        met.append(x.copy())
        return np.zeros(len(x))

    x = np.zeros((400, 2))
    WorstCase(threats=(Shift(),), steps=60, step_size=0.7)(
        watched, x, own=np.zeros(400), normal=np.array([0.0, 1.0]), train=x, rng=np.random.default_rng(0)
    )
    visited = np.concatenate(met[20:])
    np.testing.assert_allclose(visited.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.square(visited).mean(axis=0), 1 / 3, atol=0.02)


def test_the_worst_of_several_threats_counts():
    x = np.array([[3.0, 0.5]])

    class Nothing(Shift):
        def apply(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
            return x

    settings = {"own": energy(x), "normal": np.array([0.0, 1.0]), "train": x}
    both = WorstCase(threats=(Nothing(), Shift()), steps=300)(energy, x, rng=np.random.default_rng(0), **settings)
    assert both[0] == pytest.approx(4.0, abs=0.1)
    none = WorstCase(threats=(Nothing(),), steps=300)(energy, x, rng=np.random.default_rng(0), **settings)
    assert none[0] == 9.25


def test_a_turn_goes_where_normal_points_vary_and_nowhere_else():
    normal = np.zeros((30, 20))
    normal[:, 3] = RNG.normal(size=30)
    threat = Turn(dim=1).fitted(normal)
    x = np.eye(20)[:2]
    turned = threat.apply(x, np.ones((2, 1)))
    np.testing.assert_allclose(np.abs(turned[:, 3]), np.sin(np.radians(10)), atol=1e-9)
    assert Turn(dim=8).fitted(normal[:3]).apply(x, np.ones((2, 8))).shape == (2, 20)  # fewer points than axes
