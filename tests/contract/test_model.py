"""What makes a `Model`, and the errors for what makes none."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dxbench.api import Model, array_energy, array_maps, require_model


def by_seed(seeds: Tensor) -> Tensor:
    return seeds[:, None].float()


def by_class(seeds: Tensor, labels: Tensor) -> Tensor:
    return torch.stack([seeds, labels], dim=1).float()


SEEDS, LABELS = torch.tensor([4, 2]), torch.tensor([0, 2])


def test_samples_and_trajectories_are_those_of_the_functions_given() -> None:
    model = Model(sampler=by_seed, trajectory_sampler=lambda seeds: torch.stack([0 * by_seed(seeds), by_seed(seeds)]))
    assert model.sample(SEEDS).tolist() == [[4.0], [2.0]]
    assert model.trajectory(SEEDS).tolist() == [[[0.0], [0.0]], [[4.0], [2.0]]]
    conditional = Model(sampler=by_class, num_classes=3)
    assert conditional.sample(SEEDS, LABELS).tolist() == [[4.0, 0.0], [2.0, 2.0]]


@pytest.mark.parametrize(
    ("model", "labels", "words"),
    [
        (Model(sampler=by_seed), LABELS, r"unconditional; give it num_classes and a sampler\(seeds, labels\)"),
        (Model(sampler=by_class, num_classes=3), None, r"gives no labels; leave num_classes out"),
        (Model(sampler=by_class, num_classes=2), LABELS, "1 of 2 labels are out of range, the first 2"),
        (Model(sampler=by_class, num_classes=3), LABELS.float(), r"wanted int64 labels \(2,\), got torch.float32"),
        (Model(), None, r"the model has no sampler; give Model\(networks=..., sampler=...\)"),
    ],
)
def test_a_draw_that_does_not_fit_the_model_is_refused(model: Model, labels: Tensor | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        model.sample(SEEDS, labels)


def test_a_model_without_trajectories_says_so() -> None:
    with pytest.raises(ValueError, match="the model has no trajectory_sampler"):
        Model(sampler=by_seed).trajectory(SEEDS)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"networks": (by_seed,)}, "wanted a tuple of torch modules"),
        ({"networks": nn.Linear(1, 1)}, "wanted a tuple of torch modules"),
        ({"sampler": "ddim"}, "sampler is a str, wanted a function"),
        ({"energy": 3.0}, "energy is a float, wanted a function"),
        ({"value": by_class}, "value and num_steps go together"),
        ({"num_steps": 3}, "value and num_steps go together"),
        ({"num_classes": 3}, "give sampler too"),
        ({"trajectory_sampler": by_seed}, "give sampler too"),
        ({"temperature": 1.0}, "there is no energy"),
        ({"start": nn.Linear(1, 1)}, "got a Linear, wanted a dxbench.api.Model"),
        ({"parts": {"a": by_seed}}, "got a function, wanted a dxbench.api.Model"),
    ],
)
def test_fields_that_make_no_model_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        Model(**fields)


def test_what_is_no_model_is_refused_with_the_remedy() -> None:
    with pytest.raises(TypeError, match=r"return Model\(networks=\(net,\), sampler=draw\)"):
        require_model(nn.Linear(1, 1))
    model = Model()
    assert require_model(model) is model


def test_functions_of_arrays_see_rows_and_grids_in_float64() -> None:
    seen = []
    energy = array_energy(lambda rows: (seen.append(rows), rows.sum(axis=1))[1]).energy
    assert energy is not None
    assert energy(torch.ones(3, 1, 2, 2)).tolist() == [4.0] * 3
    maps = array_maps(lambda grids: (seen.append(grids), grids.sum(axis=-1))[1]).maps
    assert maps is not None
    assert maps(torch.ones(2, 3, 4, 5)).shape == (2, 3, 4)
    assert [(x.shape, str(x.dtype)) for x in seen] == [((3, 4), "float64"), ((2, 3, 4, 5), "float64")]
