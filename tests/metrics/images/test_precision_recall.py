from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch_fidelity.metric_prc import calculate_precision_recall_full

from dxbench.metrics.images.neighbours import Tiling, inside_any_ball, kth_neighbour_distances, nearest_distances
from dxbench.metrics.images.precision_recall import precision, recall


def gaussian(n: int, dim: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((n, dim)) + shift).astype(np.float32)


class Both(NamedTuple):
    precision: float
    recall: float


def precision_recall(generated: np.ndarray, real: np.ndarray, **choices: Any) -> Both:
    return Both(precision(generated, real, **choices), recall(generated, real, **choices))


MODES = 100 * np.eye(4, 16, dtype=np.float32)


def modes(which: list[int], n: int, seed: int) -> np.ndarray:
    """n features around each of the modes named."""
    return np.concatenate([MODES[m] + gaussian(n, 16, seed + m) for m in which])


class TestNeighbours:
    @pytest.mark.parametrize("k", [1, 3, 5])
    def test_distances_are_those_of_scikit_learn(self, k: int) -> None:
        x = gaussian(300, 12, 0)
        wanted = NearestNeighbors(n_neighbors=k + 1).fit(x.astype(np.float64)).kneighbors()[0]
        np.testing.assert_allclose(kth_neighbour_distances(x, k), wanted[:, k - 1], rtol=1e-12)

    def test_nearest_distance_of_a_copy_is_zero(self) -> None:
        train, new = gaussian(200, 8, 0), gaussian(50, 8, 1)
        got = nearest_distances(np.concatenate([train[[7, 100]], new]), train)
        assert (got[:2] == 0).all()
        wanted = np.linalg.norm(new[:, None].astype(np.float64) - train, axis=-1).min(axis=1)
        np.testing.assert_allclose(got[2:], wanted, rtol=1e-12)

    def test_duplicates_are_neighbours_at_distance_zero(self) -> None:
        x = np.repeat(gaussian(20, 6, 0), 4, axis=0)
        assert (kth_neighbour_distances(x, 3) == 0).all()
        assert (kth_neighbour_distances(x, 4) > 0).all()

    def test_far_from_the_origin_nothing_is_lost_to_float32(self) -> None:
        x = np.random.default_rng(0).standard_normal((200, 8)) * 1e-3 + 1000.0
        wanted = NearestNeighbors(n_neighbors=4).fit(x).kneighbors()[0][:, 2]
        np.testing.assert_allclose(kth_neighbour_distances(x, 3), wanted, rtol=1e-9)

    @pytest.mark.parametrize("tiling", [Tiling(rows=7, columns=11), Tiling(rows=64, columns=3), Tiling(rows=1)])
    def test_do_not_depend_on_the_tiles(self, tiling: Tiling) -> None:
        x, y = gaussian(150, 64, 0), gaussian(130, 64, 1, shift=0.2)
        radii = kth_neighbour_distances(y, 3)
        assert np.array_equal(kth_neighbour_distances(y, 3, tiling=tiling), radii)
        assert np.array_equal(nearest_distances(x, y, tiling=tiling), nearest_distances(x, y))
        assert np.array_equal(inside_any_ball(x, y, radii, tiling=tiling), inside_any_ball(x, y, radii))

    def test_borders_belong_to_the_ball_and_one_ulp_beyond_does_not(self) -> None:
        centres, queries = gaussian(40, 32, 0), gaussian(60, 32, 1)
        distance = np.linalg.norm(queries[:, None].astype(np.float64) - centres, axis=-1)
        nearest = distance.argmin(axis=1)
        for i, j in enumerate(nearest):
            on, short = np.zeros(40), np.zeros(40)
            on[j] = np.sqrt(((queries[i].astype(np.float64) - centres[j]) ** 2).sum())
            short[j] = np.nextafter(on[j], 0)
            assert inside_any_ball(queries[i : i + 1], centres, on).all()
            assert not inside_any_ball(queries[i : i + 1], centres, short).any()

    def test_refuse_too_few_points_and_other_widths(self) -> None:
        with pytest.raises(ValueError, match="3-th of 3 points"):
            kth_neighbour_distances(gaussian(3, 2, 0), 3)
        with pytest.raises(ValueError, match="one width"):
            nearest_distances(gaussian(3, 2, 0), gaussian(3, 4, 0))


class TestPrecisionRecall:
    def test_equals_torch_fidelity(self) -> None:
        generated, real = gaussian(400, 16, 0, shift=0.4), gaussian(350, 16, 1)
        theirs = calculate_precision_recall_full(
            torch.from_numpy(generated).double(), torch.from_numpy(real).double(), 3
        )
        got = precision_recall(generated, real)
        assert got == pytest.approx(theirs, abs=1e-6)
        assert got.precision != got.recall

    def test_lost_modes_lower_recall_only(self) -> None:
        got = precision_recall(modes([0, 1], 200, 10), modes([0, 1, 2, 3], 100, 50))
        assert got.precision > 0.6
        assert got.recall == pytest.approx(
            0.5 * precision_recall(modes([0, 1], 200, 10), modes([0, 1], 100, 50)).recall
        )

    def test_invented_modes_lower_precision_only(self) -> None:
        got = precision_recall(modes([0, 1, 2, 3], 100, 10), modes([0, 1], 200, 50))
        assert got.recall > 0.6
        assert got.precision < 0.5

    def test_of_a_set_with_itself_is_one(self) -> None:
        x = gaussian(100, 8, 0)
        assert precision_recall(x, x) == (1.0, 1.0)

    def test_of_sets_that_do_not_meet_is_zero(self) -> None:
        assert precision_recall(gaussian(100, 8, 0), gaussian(100, 8, 1, shift=50)) == (0.0, 0.0)

    def test_order_and_tiles_do_not_matter(self) -> None:
        generated, real = gaussian(200, 24, 0, shift=0.3), gaussian(150, 24, 1)
        shuffled = np.random.default_rng(3).permutation(generated)
        got = precision_recall(generated, real)
        assert precision_recall(shuffled, real[::-1]) == got
        assert precision_recall(generated, real, tiling=Tiling(rows=13, columns=29)) == got

    def test_larger_neighbourhoods_cover_more(self) -> None:
        generated, real = gaussian(200, 16, 0), gaussian(200, 16, 1)
        three, five = precision_recall(generated, real, k=3), precision_recall(generated, real, k=5)
        assert five.precision > three.precision
        assert five.recall > three.recall
