"""The kit for tasks passes what is sound and finds what is not, each fault by the check that is there for it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bad_tasks import BAD, Good, NoDocstring
from conftest import Ended

from dxbench.api import Task
from dxbench.conformance import CheckResult, check_task
from dxbench.conformance.task_kit import CHECKS
from dxbench.metrics.detection.metrics import detection_metrics
from dxbench.plugins import registry
from dxbench.plugins.registry import load_task
from dxbench.tasks.detection import DetectionTask, Group

FILE = Path(__file__).with_name("bad_tasks.py")
QUICK = {"holdout_digit"}


def failed(results: list[CheckResult]) -> list[str]:
    return [result.name for result in results if result.outcome == "fail"]


def test_a_sound_task_passes_every_check() -> None:
    assert [(result.name, result.outcome, result.found) for result in check_task(Good)] == [
        (check.name, "pass", "") for check in CHECKS
    ]


@pytest.mark.parametrize(("check", "bad"), BAD, ids=[bad.__name__ for _, bad in BAD])
def test_each_fault_is_found_by_its_check_and_no_other(check: str, bad: type[Task]) -> None:
    results = check_task(bad)
    assert failed(results) == [check], [(r.name, r.found) for r in results if r.outcome == "fail"]
    (result,) = [result for result in results if result.outcome == "fail"]
    assert result.found
    assert result.remedy


def test_every_check_has_a_task_that_fails_it() -> None:
    assert {check for check, _ in BAD} == {check.name for check in CHECKS}


class Blob(DetectionTask):
    """Points of one blob are normal, points around it are not."""

    name, version = "blob", 1
    headline = ("auroc",)
    groups = ("blob",)
    unified = True
    scored_by = detection_metrics(reference="blob@1", image_score="energy", prefix="")

    def load(self) -> dict[str, Group]:
        rng = np.random.default_rng(0)
        train, test = (rng.standard_normal((300, 4)).astype(np.float32) for _ in range(2))
        test[:150] *= 2.5
        return {"blob": Group(train=train, test=test, anomalous=np.arange(300) < 150)}


class Reversed(Blob):
    """It takes anomalies for normal points."""

    def load(self) -> dict[str, Group]:
        (group,) = super().load().values()
        return {"blob": Group(train=group.train, test=group.test, anomalous=~group.anomalous)}


def test_a_task_of_energies_refuses_the_reversed_one() -> None:
    results = {result.name: result for result in check_task(Blob)}
    assert {name for name, result in results.items() if result.outcome != "pass"} == {"seeds", "without-model"}
    assert results["seeds"].found == "the task scores energies and draws no samples"
    assert failed(check_task(Reversed)) == ["wrong-law"]


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])
        for name in sorted(registry.plugins("tasks"))
        # a feature net, or neighbours, of 50,000 images, many times over
        if name not in ("cifar10_jpeg75", "cifar10_subset", "fashion_mnist", "fashion_mnist_classes")
    ],
)
def test_every_task_of_ours_whose_data_are_at_hand_keeps_all_of_it(name: str) -> None:
    results = check_task(type(load_task(name)))
    assert not [(result.name, result.found) for result in results if result.outcome == "fail"]
    if skipped := [result.found for result in results[3:5] if result.outcome == "skipped"]:
        pytest.skip(skipped[0])


def test_the_command_says_what_is_wrong_and_what_to_do(dxbench: Callable[..., Ended]) -> None:
    sound = dxbench("check-task", f"{FILE}:Good", "--json")
    assert (sound.code, sound.json["ok"], len(sound.json["checks"])) == (0, True, len(CHECKS))
    ended = dxbench("check-task", f"{FILE}:NoDocstring")
    assert ended.code == 5
    assert "fail    identity" in ended.out
    assert "remedy: Set the class attributes" in ended.out
    assert "skipped evaluation" in ended.out
    found = dxbench("check-task", f"{FILE}:NoDocstring", "--json")
    assert (found.code, found.json["ok"]) == (5, False)
    assert {check["name"]: check["remedy"] for check in found.json["checks"]}["identity"]
    assert "Did you mean 'gaussians8'?" in dxbench("check-task", "gausians8").err
    assert NoDocstring.__doc__ is None


def test_a_task_without_its_data_is_not_said_to_be_sound(
    dxbench: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DXBENCH_DATA", str(tmp_path))
    ended = dxbench("check-task", "tabular_clean")
    assert ended.code == 6
    assert "hardly anything was checked" in ended.err
    assert "dxbench prepare --task tabular_clean" in ended.err
