"""Trackers: told of a run, refused where they cannot work, and never the end of a run."""

import csv
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from conftest import Ended

import dxbench as package
from dxbench.engine.plan import Cell
from dxbench.errors import UsageError
from dxbench.plugins import registry
from dxbench.trackers import base
from dxbench.trackers.base import Tracker

Command = Callable[..., Ended]
RUN = ("run", "--task", "gaussians8", "--method", "dxmi", "--preset", "quick", "--set", "iterations=20", "--no-report")


class Heard(Tracker):
    """Keeps what it is told, of all runs."""

    calls: ClassVar[list[tuple[str, Any]]] = []
    remedy = "Ask again."

    @classmethod
    def check(cls) -> None:
        pass

    def begin(self, cell: Cell) -> None:
        self.calls.append(("begin", cell.run_id))

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self.calls.append(("log", (step, dict(numbers))))

    def finish(self) -> None:
        self.calls.append(("finish", None))


class Dying(Heard):
    """Loses its connection at the first step."""

    remedy = "Plug the cable in."

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        raise ConnectionError("no route\nto host")


@pytest.fixture
def trackers(monkeypatch: pytest.MonkeyPatch) -> None:
    Heard.calls.clear()
    monkeypatch.setattr(base, "EVERY", 0.0)
    known = {"heard": Heard, "dying": Dying}
    load = registry.load
    monkeypatch.setattr(
        registry,
        "load",
        lambda kind, name: known[name] if kind == "trackers" and name in known else load(kind, name),
    )


@pytest.mark.usefixtures("trackers")
def test_a_tracker_hears_of_steps_and_at_the_end_of_the_scores(dxbench: Command) -> None:
    ended = dxbench(*RUN, "--track", "heard", "--json")
    assert ended.code == 0, ended.err
    (record,) = ended.json
    first, *logged, last = Heard.calls
    assert first == ("begin", record["run_id"])
    assert last == ("finish", None)
    steps = [told for _, told in logged]
    assert [step for step, _ in steps] == sorted(step for step, _ in steps)
    assert any("value_loss" in numbers for _, numbers in steps)
    assert steps[-1][1]["score/sw2"] == record["scores"]["sw2"]["value"]
    Heard.calls.clear()
    assert dxbench(*RUN, "--track", "heard").code == 0  # measured already
    assert Heard.calls == []


@pytest.mark.usefixtures("trackers")
def test_a_tracker_that_dies_warns_once_and_the_run_comes_to_its_score(dxbench: Command) -> None:
    ended = dxbench(*RUN, "--track", "dying", "--track", "heard", "--json")
    assert ended.code == 0, ended.err
    assert ended.json[0]["status"] == "ok"
    assert ended.json[0].get("warnings", []) == []
    assert ended.err.count("tracker 'dying' has stopped") == 1
    assert "(ConnectionError: no route to host); the run goes on without it. Plug the cable in." in ended.err
    assert ("finish", None) in Heard.calls  # the other goes on


def test_lines_of_csv_lie_beside_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "EVERY", 0.0)
    run = package.run("gaussians8", "dxmi", preset="quick", iterations=20, out=tmp_path, progress=False, track=["csv"])
    with (run.folder / "curves.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == {"step", "name", "value"}
    assert {"value_loss", "score/sw2"} <= {row["name"] for row in rows}
    (score,) = (row["value"] for row in rows if row["name"] == "score/sw2")
    assert float(score) == run.scores["sw2"]


# --- what stands for the trackers' own packages ---------------------------------------------------------------


class Room:
    """What `init` gives, of wandb and of trackio."""

    def __init__(self, **said: Any) -> None:
        self.said, self.logged, self.open = said, [], True

    def log(self, numbers: Mapping[str, float], *, step: int) -> None:
        self.logged.append((step, dict(numbers)))

    def finish(self) -> None:
        self.open = False


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_run_is_told_to_the_package_by_its_id(dxbench: Command, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    rooms: list[Room] = []
    stand_in = ModuleType(name)
    stand_in.__spec__ = importlib_spec(name)
    stand_in.init = lambda **said: rooms.append(Room(**said)) or rooms[-1]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, stand_in)
    monkeypatch.delenv("DXBENCH_OFFLINE", raising=False)
    ended = dxbench(*RUN, "--track", name, "--json")
    assert ended.code == 0, ended.err
    (room,) = rooms
    assert ended.json[0]["run_id"] in (room.said.get("id"), room.said["name"].rpartition("-dxmi-")[2])
    assert room.said["config"]["iterations"] == 20
    assert "score/sw2" in room.logged[-1][1]
    assert not room.open


def importlib_spec(name: str) -> Any:
    from importlib.machinery import ModuleSpec

    return ModuleSpec(name, None)


@pytest.mark.parametrize("name", ["tensorboard", "trackio", "wandb"])
def test_a_tracker_that_is_not_installed_is_refused_with_the_command(
    dxbench: Command, monkeypatch: pytest.MonkeyPatch, home: Path, name: str
) -> None:
    monkeypatch.setattr(base.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(UsageError, match=f"pip install 'dxmi-bench\\[{name}\\]'"):
        registry.load("trackers", name).check()
    with pytest.raises(UsageError, match="is not installed"):
        package.run("gaussians8", "dxmi", preset="quick", track=[name])
    assert not (home / "work").exists()  # before anything runs


@pytest.mark.parametrize(
    ("name", "variables", "remedy"),
    [
        ("wandb", {}, "WANDB_MODE=offline keeps it on this machine"),
        ("trackio", {"TRACKIO_SPACE_ID": "someone/board"}, "Without TRACKIO_SPACE_ID it stays on this machine"),
    ],
)
def test_a_tracker_that_needs_a_network_is_refused_offline(
    monkeypatch: pytest.MonkeyPatch, name: str, variables: dict[str, str], remedy: str
) -> None:
    monkeypatch.setattr(base.importlib.util, "find_spec", importlib_spec)
    monkeypatch.setenv("DXBENCH_OFFLINE", "1")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    kind = registry.load("trackers", name)
    with pytest.raises(UsageError, match=remedy):
        kind.check()
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("TRACKIO_SPACE_ID", raising=False)
    kind.check()


def test_an_unknown_tracker_is_refused_with_a_guess(dxbench: Command) -> None:
    ended = dxbench(*RUN, "--track", "wanbd")
    assert (ended.code, "Did you mean 'wandb'?" in ended.err) == (2, True), ended.err
    listed = {row["name"]: row["summary"] for row in dxbench("list", "trackers", "--json").json}
    assert set(listed) == {"csv", "tensorboard", "trackio", "wandb"}
    assert all(listed.values())
