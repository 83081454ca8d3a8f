"""Official weights a method begins from, and those a task scores with: asked for before anything is trained."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Ended
from methods import Toy

from dxbench.api import Problem, ResultRecord
from dxbench.errors import MissingData, UsageError
from dxbench.records.files import read_record
from dxbench.tasks.gaussians8 import Gaussians8

HERE = Path(__file__)
PREPARE = "fetch it with `dxbench prepare --task gaussians8`"


class NotFetched:
    """Grants weights that nobody has fetched."""

    names = ("official",)

    def require(self, name: str) -> None:
        if name not in self.names:
            raise UsageError(f"no weights named {name!r}; there are {', '.join(self.names)}")
        raise MissingData(f"no official.pt; {PREPARE}")

    def load(self, name: str) -> Mapping[str, torch.Tensor]:
        raise AssertionError("asked for before")


class Granting(Gaussians8):
    """Grants official weights."""

    def problem(self, *, oracle: bool) -> Problem:
        return replace(super().problem(oracle=oracle), pretrained=NotFetched())


class Unprepared(Gaussians8):
    """Cannot score."""

    def require(self, *, training: bool) -> None:
        assert training
        raise MissingData(f"no feature net; {PREPARE}")


class NoData(Gaussians8):
    """Has everything but its training data."""

    def require(self, *, training: bool) -> None:
        if training:
            raise MissingData(f"no training data; {PREPARE}")


class OfficialConfig(Toy.Config):
    """Official weights as they are, or trained on."""

    tuned: bool = True

    def official_weights(self) -> tuple[str, ...]:
        return ("official",)

    def uses_data(self) -> bool:
        return self.tuned

    def selected_on_test(self) -> bool:
        return not self.tuned


class FineTuner(Toy):
    """Begins from official weights."""

    name = "finetuner"
    Config = OfficialConfig


class Untrained(Toy):
    """Samples something as it is, if it is told to."""

    name = "untrained"

    class Config(OfficialConfig):
        def official_weights(self) -> tuple[str, ...]:
            return ()


class Misnamed(Toy):
    """Begins from weights that nobody grants."""

    name = "misnamed"

    @classmethod
    def pretrained(cls, config: Any) -> tuple[str, ...]:
        return ("offical",)


def test_absent_weights_end_the_run_before_it_begins(dxbench: Callable[..., Ended], home: Path) -> None:
    ended = dxbench("run", "-t", f"{HERE}:Granting", "-m", f"{HERE}:FineTuner", "--no-report")
    assert ended.code == 7
    (record,) = [read_record(path) for path in (home / "results").glob("*/*/*.json")]
    assert isinstance(record, ResultRecord)
    assert record.failure is not None
    assert (record.status, record.failure.type, record.failure.phase) == ("skipped", "MissingData", "setup")
    assert f"no official.pt; {PREPARE}" in record.failure.message
    assert f"no official.pt; {PREPARE}" in ended.err


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("Granting", "no weights named 'offical'; there are official"),
        ("Gaussians8", "task gaussians8 grants no pretrained weights"),
    ],
)
def test_weights_that_the_task_does_not_grant_are_a_usage_error(
    dxbench: Callable[..., Ended], home: Path, task: str, words: str
) -> None:
    ended = dxbench("run", "-t", f"{HERE}:{task}", "-m", f"{HERE}:Misnamed", "--no-report")
    assert ended.code == 2
    assert words in ended.err
    assert not list((home / "results").rglob("*.json"))


def test_what_scoring_needs_is_asked_for_before_training(dxbench: Callable[..., Ended], home: Path) -> None:
    """A step takes a minute, so a run that trained first would time out here."""
    toy = ("-m", f"{HERE.parent.parent / 'methods.py'}:Toy", "--set", "pause=60")
    ended = dxbench("run", "-t", f"{HERE}:Unprepared", *toy, "--no-report")
    assert ended.code == 7
    assert f"no feature net; {PREPARE}" in ended.err
    assert not list(home.rglob("checkpoint*"))


def test_training_data_are_asked_for_only_where_they_are_used(dxbench: Callable[..., Ended]) -> None:
    run = ("run", "-t", f"{HERE}:NoData", "-m", f"{HERE}:Untrained", "--no-report")
    ended = dxbench(*run, "--set", "tuned=true")
    assert ended.code == 7
    assert "no training data" in ended.err
    assert dxbench(*run, "--set", "tuned=false").code == 0


@pytest.mark.parametrize("tuned", [True, False])
def test_a_record_says_of_a_configuration_that_its_weights_were_chosen_by_the_score(
    dxbench: Callable[..., Ended], home: Path, tuned: bool
) -> None:
    untrained = ("-m", f"{HERE}:Untrained", "--set", f"tuned={tuned}".lower())
    assert dxbench("run", "-t", "gaussians8", *untrained, "--no-report").code == 0
    (record,) = [read_record(path) for path in (home / "results").glob("*/*/*.json")]
    assert isinstance(record, ResultRecord)
    assert record.selected_on_test == (not tuned)


def test_the_kit_does_not_judge_a_method_whose_weights_are_absent() -> None:
    from dxbench.conformance import check_method

    results = check_method(FineTuner, Granting().problem(oracle=False), FineTuner.Config())
    training = next(result for result in results if result.name == "training")
    assert training.outcome == "skipped"
    assert PREPARE in training.found
