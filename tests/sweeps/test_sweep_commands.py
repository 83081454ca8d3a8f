"""Sweeps as typed: run in whole and in parts, looked at, stopped, read."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ended

Command = Callable[..., Ended]
SWEEP = ("run", "-t", "digits", "-m", "ddim,ddpm", "--preset", "quick", "--no-report")


def plan(home: Path) -> Path:
    (found,) = (home / "sweeps").glob("*/cells.jsonl")
    return found


def scores(home: Path) -> dict[str, object]:
    read = [json.loads(path.read_text()) for path in (home / "results" / "digits").glob("*/*.json")]
    return {record["run_id"]: (record["samples_sha256"], record["scores"], record.get("curves")) for record in read}


def test_a_sweep_trains_a_shared_start_once(dxbench: Command, home: Path) -> None:
    ended = dxbench(*SWEEP)
    assert ended.code == 0, ended.err
    assert "digits start that ddim shares seed 0: trained" in ended.err
    records = [json.loads(path.read_text()) for path in (home / "results" / "digits").glob("*/*.json")]
    assert len(records) == 2
    assert [record["cost"]["steps"] for record in records] == [0, 0]
    assert all(record["cost"]["stored"]["flops"] > 0 for record in records)
    assert not list((home / "work" / "digits").glob("*/start-*/checkpoint.safetensors"))
    again = dxbench(*SWEEP)
    assert again.err.count("already measured") == 2
    assert "start" not in again.err


def test_parts_of_a_plan_give_what_the_whole_gives(
    dxbench: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dxbench(*SWEEP).code == 0
    whole = scores(home)
    other = tmp_path / "other"
    monkeypatch.setenv("DXBENCH_HOME", str(other))
    file = other / plan(home).relative_to(home)
    file.parent.mkdir(parents=True)
    file.write_bytes(plan(home).read_bytes())
    for which in ("[0]", "[2]", "[1:]"):
        assert dxbench("run", "--cells", f"{file}{which}", "--no-report").code == 0
    assert scores(other) == whole


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--cells", "nowhere/cells.jsonl[0:2]"), "no plan nowhere/cells.jsonl"),
        (("run", "--cells", "a[0:2", "-t", "digits"), "leave out what names others"),
        (("run", "--cells", "a[0:2"), "no plan a[0:2"),
        (("run", "--cells", ""), "--cells takes FILE or FILE[0:10]"),
        (("run", "--sweep", "nowhere.toml"), "no sweep file nowhere.toml"),
        (("run", "--sweep", "nowhere.toml", "-m", "dxmi"), "leave out what names others"),
        ((*SWEEP, "--slurm", "=x"), "--slurm takes key=value"),
        (("status", "nowhere"), "no sweep 'nowhere'"),
        (("cancel", "nowhere"), "no sweep 'nowhere'"),
        (("logs", "nowhere"), "no cell 'nowhere'"),
    ],
)
def test_usage_errors_exit_2_and_name_the_remedy(dxbench: Command, arguments: tuple[str, ...], words: str) -> None:
    ended = dxbench(*arguments)
    assert ended.code == 2, ended.err
    assert words in ended.err


def test_a_cell_beyond_the_plan_is_refused(dxbench: Command, home: Path) -> None:
    assert dxbench(*SWEEP).code == 0
    ended = dxbench("run", "--cells", f"{plan(home)}[0:99]")
    assert ended.code == 2
    assert "the plan has cells 0 to 2" in ended.err


def test_status_tells_of_all_sweeps_and_of_one(dxbench: Command, home: Path) -> None:
    assert "no sweep in" in dxbench("status").out
    assert dxbench(*SWEEP).code == 0
    sweep = plan(home).parent.name
    assert f"{sweep}  3      3 done" in dxbench("status").out
    one = dxbench("status", sweep[:5]).out
    assert f"sweep {sweep}: 3 done" in one
    assert "start that ddim:quick shares" in one
    record = next((home / "results" / "digits" / "ddim").glob("*.json"))
    record.unlink()
    told = dxbench("status", sweep, "--json").json[0]
    assert told["states"] == {"done": 2, "waiting": 1}
    assert {cell["run_id"]: cell["state"] for cell in told["cells"]}[record.stem] == "waiting"


def test_a_cancelled_sweep_stops_and_goes_on_when_it_is_launched_again(
    dxbench: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dxbench(*SWEEP).code == 0
    whole = scores(home)
    for path in [*(home / "results").rglob("*-s0.json"), *(home / "trained").rglob("*.safetensors")]:
        path.unlink()
    sweep = plan(home).parent
    assert "cells that run save their state and stop within seconds: 0" in dxbench("cancel", sweep.name).out
    monkeypatch.setattr("dxbench.sweeps.asked.Asked._EVERY", 0.0)
    part = dxbench("run", "--cells", plan(home), "--no-report", "--fresh")
    assert part.code == 130, part.err
    assert not list((home / "results").rglob("*-s0.json"))
    assert "(cancelled)" in dxbench("status", sweep.name).out
    assert dxbench(*SWEEP, "--fresh").code == 0
    assert "(cancelled)" not in dxbench("status", sweep.name).out
    assert scores(home) == whole


def test_a_plan_that_is_none_does_not_hide_the_others(dxbench: Command, home: Path) -> None:
    assert dxbench(*SWEEP).code == 0
    sound = plan(home).parent.name
    for name, text in (("torn", '{"layout": 1}\n{"run_id": "a-s0", "ta'), ("old", '{"layout": 0}\n'), ("empty", "")):
        (home / "sweeps" / name).mkdir()
        (home / "sweeps" / name / "cells.jsonl").write_text(text)
    listed = dxbench("status")
    assert listed.code == 0
    assert f"{sound}  3" in listed.out
    assert listed.err.count("warning: ") == 3
    assert "of layout 0, this dxbench reads 1" in listed.err
    assert dxbench("status", "torn").code == 5
    assert dxbench("status", "old").code == 2
