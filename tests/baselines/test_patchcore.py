"""The memory bank against brute force."""

import numpy as np
import pytest
import torch
from dxbench_baselines.patchcore import KCentre, PatchCoreConfig, PatchCoreTraining, nearest_distance
from scipy.spatial.distance import cdist

from dxbench.api import Compute, Problem
from dxbench.api.streams import RandomStreams
from dxbench.tasks.detection import PointSet

ROWS = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32) * np.float32([5, 1, 1, 1, 1])


def greedy(rows: np.ndarray, first: int, size: int) -> list[int]:
    """Brute force, all pairs."""
    pairs, chosen = cdist(rows, rows), [first]
    while len(chosen) < size:
        chosen.append(int(pairs[:, chosen].min(axis=1).argmax()))
    return chosen


def training(seed: int = 0, **settings: float) -> PatchCoreTraining:
    problem = Problem(task="t", event_shape=(5,), data=PointSet(points=torch.from_numpy(ROWS)), data_std=1.0)
    compute, rng = Compute(device="cpu", threads=1), RandomStreams("test", seed)
    return PatchCoreTraining(problem, PatchCoreConfig(**settings), compute, rng)  # type: ignore[arg-type]


def test_the_coreset_is_brute_forces_greedy_choice_and_its_radius_only_shrinks() -> None:
    coreset = KCentre(torch.from_numpy(ROWS), 7)
    radii = [float(coreset.step()) for _ in range(19)]
    assert coreset.chosen == greedy(ROWS, 7, 20)
    assert radii == sorted(radii, reverse=True)
    covered = cdist(ROWS, ROWS[coreset.chosen[:-1]]).min(axis=1).max()
    assert radii[-1] == pytest.approx(covered, rel=1e-5)


def test_the_energy_is_the_distance_to_the_nearest_of_the_bank() -> None:
    train = training(share=0.2)
    assert train.total_steps == 11
    for _ in range(train.total_steps):
        train.step()
    chosen = train.state_dict()["chosen"].tolist()
    assert chosen == greedy(ROWS, chosen[0], 12)  # 5 dimensions are below `projected`
    queries = ROWS[:9] + 3
    wanted = cdist(queries, ROWS[chosen]).min(axis=1)
    np.testing.assert_allclose(train.model().energy(torch.from_numpy(queries)).numpy(), wanted, rtol=1e-5)


def test_all_points_kept_is_the_nearest_neighbour_and_training_points_have_energy_0() -> None:
    train = training(share=1.0)
    for _ in range(train.total_steps):
        train.step()
    assert sorted(train.coreset.chosen) == list(range(60))
    assert float(train.model().energy(torch.from_numpy(ROWS)).max()) == 0.0


def test_projections_choose_by_the_seed_and_keep_whole_features_in_the_bank() -> None:
    def chosen(seed: int) -> list[int]:
        train = training(seed, share=0.2, projected=2)
        for _ in range(train.total_steps):
            train.step()
        assert train.model().energy(torch.from_numpy(ROWS[train.coreset.chosen])).max() == 0
        return train.coreset.chosen

    assert chosen(0) == chosen(0)
    assert chosen(0) != chosen(1)


def test_a_resumed_selection_is_the_uninterrupted_one() -> None:
    whole, first, second = training(share=0.5), training(share=0.5), training(share=0.5)
    for _ in range(29):
        whole.step()
    for _ in range(10):
        first.step()
    second.load_state_dict(first.state_dict())
    for _ in range(19):
        second.step()
    assert second.coreset.chosen == whole.coreset.chosen


def test_tiles_do_not_change_the_nearest_distance() -> None:
    rows = torch.from_numpy(ROWS)
    whole = nearest_distance(rows + 0.3, rows)
    assert torch.equal(nearest_distance(rows + 0.3, rows, columns=7), whole)
    np.testing.assert_allclose(whole.numpy(), cdist(ROWS + 0.3, ROWS).min(axis=1), rtol=1e-5)


def test_copies_of_one_point_are_a_bank_like_any_other() -> None:
    coreset = KCentre(torch.ones(5, 3), 0)
    assert float(coreset.step()) == 0.0
