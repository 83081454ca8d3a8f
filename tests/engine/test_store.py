"""Trained parts kept between runs."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Ended

from dxbench.engine.checkpoint import load_checkpoint
from dxbench.engine.store import FolderStore
from dxbench.records import read_record

CONTENT = {"backbone": "MLP", "hidden": 8, "seed": 5}
SMALL = '{"hidden": 8, "depth": 1, "iterations": 6, "batch_size": 8}'


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
    (part,) = (home / "trained" / "digits@1").iterdir()
    assert load_checkpoint(part, run_id=part.stem)
    before = part.stat().st_mtime_ns
    assert dxbench(*run, "-m", "dxmi", "--preset", "quick", "--set", "iterations=2").code == 0
    (tuned,) = (home / "results" / "digits" / "dxmi").glob("*.json")
    record = read_record(tuned)
    assert record.cost.steps == 52  # type: ignore[union-attr]
    assert part.stat().st_mtime_ns == before
    assert dxbench(*run, "-m", "ddpm", "--set", "num_steps=3", "--seed", 1).code == 0
    assert len(list((home / "trained" / "digits@1").iterdir())) == 2


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
