"""Trained parts kept between runs."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Ended

from dxbench.engine.checkpoint import load_checkpoint
from dxbench.engine.store import Busy, FolderStore
from dxbench.records.files import read_record

CONTENT = {"backbone": "MLP", "hidden": 8, "seed": 5}
SMALL = '{"network": {"hidden": 8, "depth": 1}, "pretraining": {"iterations": 6, "batch_size": 8}}'


def test_what_was_saved_is_found_by_its_content_alone(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    assert store.slot(CONTENT).load() is None
    store.slot(CONTENT).save({"weight": torch.arange(3.0)})
    found = FolderStore(tmp_path).slot(dict(reversed(CONTENT.items()))).load()
    assert found is not None
    assert torch.equal(found["weight"], torch.arange(3.0))
    assert store.slot(CONTENT | {"seed": 6}).load() is None


def test_a_damaged_part_counts_as_absent_and_is_written_anew(tmp_path: Path) -> None:
    slot = FolderStore(tmp_path).slot(CONTENT)
    slot.save({"weight": torch.arange(3.0)})
    slot.path.write_bytes(slot.path.read_bytes()[:-4] + b"\0\0\0\1")
    assert slot.load() is None
    slot.save({"weight": torch.ones(2)})
    assert torch.equal(slot.load()["weight"], torch.ones(2))  # type: ignore[index]


def test_runs_of_one_seed_share_a_backbone_and_another_seed_trains_its_own(
    dxbench: Callable[..., Ended], home: Path
) -> None:
    run = ("run", "--task", "digits", "--no-report", "--set", f"backbone={SMALL}", "--json")
    assert dxbench(*run, "-m", "ddpm", "--set", "num_steps=3").code == 0
    (part,) = (home / "trained" / "digits@1").glob("*.safetensors")
    assert load_checkpoint(part, run_id=part.stem)
    before = part.stat().st_mtime_ns
    assert dxbench(*run, "-m", "dxmi", "--preset", "quick", "--set", "iterations=2").code == 0
    (tuned,) = (home / "results" / "digits" / "dxmi").glob("*.json")
    record = read_record(tuned)
    assert record.cost.steps == 52  # type: ignore[union-attr]
    assert part.stat().st_mtime_ns == before
    assert dxbench(*run, "-m", "ddpm", "--set", "num_steps=3", "--seed", 1).code == 0
    assert len(list((home / "trained" / "digits@1").glob("*.safetensors"))) == 2


@pytest.mark.parametrize("method", ["ddpm", "dxmi"])
def test_a_backbone_found_gives_the_numbers_of_one_trained(
    method: str, dxbench: Callable[..., Ended], home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scores = []
    for place in ("trained", "found"):
        if place == "found":  # another home with the backbone of the first
            other = tmp_path / "other"
            other.mkdir()
            (home / "trained").rename(other / "trained")
            monkeypatch.setenv("DXBENCH_HOME", str(other))
        folder = home if place == "trained" else tmp_path / "other"
        small = ("--set", f"backbone={SMALL}", "--no-report")
        assert dxbench("run", "-t", "digits", "-m", method, "--preset", "quick", *small).code == 0
        (path,) = (folder / "results" / "digits" / method).glob("*.json")
        record = read_record(path)
        scores.append({name: estimate.value for name, estimate in record.scores.items()})  # type: ignore[union-attr]
    assert scores[0] == scores[1]


def test_a_part_under_way_is_busy_for_others_and_given_up_with_its_run(tmp_path: Path) -> None:
    first, second = FolderStore(tmp_path), FolderStore(tmp_path)
    assert first.slot(CONTENT).load() is None
    assert first.slot(CONTENT).load() is None  # one run may ask twice
    with pytest.raises(Busy):
        second.slot(CONTENT).load()
    assert second.slot(CONTENT | {"seed": 6}).load() is None
    first.release()
    assert second.slot(CONTENT).load() is None
    second.slot(CONTENT).save({"weight": torch.ones(1)})
    assert first.slot(CONTENT).load() is not None


RUN = (
    "run",
    "--task",
    "digits",
    "--no-report",
    "--set",
    'backbone={"network": {"hidden": 64, "depth": 1}, "pretraining": {"iterations": 150}}',
)


def test_runs_started_together_train_their_backbone_once(home: Path) -> None:
    """Three real processes, three methods, one seed: one of them trains, and the others have found its part."""
    runs = [start(home, *RUN, "-m", "ddpm", "--set", f"num_steps={steps}") for steps in (3, 4, 5)]
    assert [run.wait(timeout=300) for run in runs] == [0, 0, 0], [run.stderr.read() for run in runs]  # type: ignore[union-attr]
    costs = [read_record(path).cost for path in (home / "results" / "digits" / "ddpm").glob("*.json")]  # type: ignore[union-attr]
    assert sorted(cost.steps for cost in costs) == [0, 0, 150]  # type: ignore[union-attr]
    assert len({cost.training.flops for cost in costs}) == 1  # type: ignore[union-attr]


def test_a_run_that_waits_ends_with_its_time_and_a_killed_holder_frees_the_part(home: Path) -> None:
    holder = FolderStore(home / "trained" / "digits@1")
    code = (
        "import sys, time\n"
        "from filelock import FileLock\n"
        "lock = FileLock(sys.argv[1], timeout=0)\n"
        "lock.acquire()\n"
        "print('held', flush=True)\n"
        "time.sleep(600)"
    )
    assert start(home, *RUN, "-m", "ddpm", "--set", "num_steps=3").wait(timeout=300) == 0
    (part,) = holder.folder.glob("*.safetensors")
    part.unlink()
    with subprocess.Popen(
        [sys.executable, "-c", code, str(part.with_suffix(".lock"))], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        late = start(home, *RUN, "-m", "ddpm", "--set", "num_steps=4", "--timeout", "2s")
        assert late.wait(timeout=300) == 3
        (path,) = [
            p for p in (home / "results" / "digits" / "ddpm").glob("*.json") if "timeout" in p.read_text("utf-8")
        ]
        assert read_record(path).status == "timeout"  # type: ignore[union-attr]
        other.kill()
    assert start(home, *RUN, "-m", "ddpm", "--set", "num_steps=4", "--again").wait(timeout=300) == 0
    assert part.exists()


def start(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    """A real process."""
    environment = {**os.environ, "DXBENCH_HOME": str(home), "DXBENCH_RESULTS": str(home / "results")}
    return subprocess.Popen(
        [sys.executable, "-m", "dxbench", *arguments], env=environment, stderr=subprocess.PIPE, text=True
    )
