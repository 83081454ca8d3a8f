"""What a method could reach of a task's truth."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from bad_methods import Good
from torch import Tensor

from dxbench.api import NoData, Problem, ProblemSet
from dxbench.conformance import check_method
from dxbench.conformance.hidden import reachable, revealed
from dxbench.errors import MissingData
from dxbench.plugins import registry
from dxbench.plugins.registry import load_task
from dxbench.tasks.digits_data import digits_splits
from dxbench.tasks.gaussians8 import Gaussians8, Reference, eight_gaussians


@dataclass(frozen=True)
class Holding:
    """Data that hold something."""

    held: Any

    def batch(self, n: int, *, rng: np.random.Generator) -> Tensor:
        return torch.zeros(n, 2)


def holding(held: Any) -> Problem:
    return Problem(task="t", event_shape=(2,), data=Holding(held), data_std=1.0)


class Slotted:
    __slots__ = ("inner",)

    def __init__(self, inner: Any) -> None:
        self.inner = inner


TASK = Gaussians8()
WHOLE = np.zeros((10, 2))
LEAKS = {
    "task": TASK,
    "density": eight_gaussians(),
    "reference": Reference(),
    "metric": TASK.metrics[0],
    "closure": (lambda task: lambda: task)(TASK),
    "bound method": TASK.problem,
    "partial": partial(print, TASK),
    "default": lambda task=TASK: task,
    "keyword default": lambda *, task=TASK: task,
    "slot": Slotted(TASK),
    "deep": {"a": [({"b": Slotted([TASK])},)]},
    "view": WHOLE[:5],
    "tensor view": torch.from_numpy(WHOLE)[:5],
    "inputs": TASK.inputs_of(np.zeros((3, 2))),
}


@pytest.mark.parametrize("kind", LEAKS)
def test_whatever_holds_the_truth_is_found(kind: str) -> None:
    (found, *_) = revealed(holding(LEAKS[kind]))
    assert ".held" in found


@pytest.mark.parametrize(
    "held", [None, 3, WHOLE, torch.zeros(3), WHOLE.reshape(-1), lambda: eight_gaussians(), np.float32]
)
def test_data_alone_reveal_nothing(held: Any) -> None:
    assert revealed(holding(held)) == []


def test_the_conformance_kit_says_that_the_task_has_to_mend_it() -> None:
    results = {result.name: result for result in check_method(Good, holding(eight_gaussians()), Good.Config())}
    assert results["hidden"].outcome == "fail"
    assert "['data'].held is a density" in results["hidden"].found
    assert "This is the task's to mend" in results["hidden"].remedy


def problems(name: str) -> list[Problem]:
    try:
        problem = load_task(name).problem(oracle=False)
        parts = list(problem.parts.values()) if isinstance(problem, ProblemSet) else [problem]
        for part in parts:
            if not isinstance(part.data, NoData):
                part.data.batch(2, rng=np.random.default_rng(0))
    except MissingData as missing:
        pytest.skip(str(missing))
    return parts


EXTRACTED = ("screw", "screw_lite2")  # a network goes over all images at first


def marked(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.slow) if name in EXTRACTED else name for name in names]


@pytest.mark.parametrize("name", marked(sorted(registry.plugins("tasks"))))
def test_no_task_of_the_suite_reveals_its_truth(name: str) -> None:
    for problem in problems(name):
        assert revealed(problem) == []


@pytest.mark.parametrize("name", marked(["digits", "holdout_digit", "tabular_clean", "mvtec_pooled_resnet18", "screw"]))
def test_no_array_that_a_method_can_reach_holds_a_test_point(name: str) -> None:
    task: Any = load_task(name)
    parts = problems(name)
    tests = [digits_splits()["test"].images] if name == "digits" else [group.test for group in task.loaded.values()]
    if len(tests) != len(parts):
        tests = [np.concatenate([test.reshape(len(test), -1) for test in tests])]
    for problem, test in zip(parts, tests, strict=True):
        hidden = {row.tobytes() for row in test.reshape(len(test), -1).astype(np.float32)}
        shown = {row.tobytes() for row in problem.data.points.flatten(1).numpy()} if name != "digits" else set()
        for path, value in reachable(problem):
            if isinstance(value, torch.Tensor | np.ndarray) and value.ndim > 1:
                rows = np.asarray(value, dtype=np.float32).reshape(len(value), -1)
                assert not {row.tobytes() for row in rows} & (hidden - shown), path
