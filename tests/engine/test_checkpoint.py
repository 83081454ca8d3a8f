"""The file of a checkpoint."""

import errno
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Ended, method

from dxbench.engine import locks
from dxbench.engine.checkpoint import load_checkpoint, save_checkpoint
from dxbench.engine.endings import CrashReport
from dxbench.engine.store import FolderStore
from dxbench.errors import InvalidFile, MachineFault, UsageError
from dxbench.files.faults import machine_fault
from dxbench.files.writing import atomic_file, set_aside, sweep_temporaries

RUN = ("run", "--task", "gaussians8", "--no-report", "-m", method("Untrained"))
STATE: dict[str, Any] = {"step": 300, "net": {"w": torch.arange(6.0)}, "best": math.inf, 1: torch.ones(1)}


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    save_checkpoint(path, STATE | {"1": torch.zeros(1), "pair": (1, [2.0])}, run_id="a")
    found = load_checkpoint(path, run_id="a")
    assert (found["step"], found["best"], found["pair"]) == (300, math.inf, (1, [2.0]))
    assert torch.equal(found["net"]["w"], torch.arange(6.0))
    assert (found[1].item(), found["1"].item()) == (1.0, 0.0)  # keys of one spelling


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"300", b"900"),
        (b"Infinity", b"1.000000"),
        (b'"run_id":"a"', b'"run_id":"b"'),
        (b"checkpoint-2", b"checkpoint-1"),
    ],
)
def test_no_word_of_the_header_can_be_changed(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = tmp_path / "checkpoint"
    save_checkpoint(path, STATE, run_id="a")
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    for run_id in ("a", "b"):
        with pytest.raises(InvalidFile):
            load_checkpoint(path, run_id=run_id)


def test_what_is_no_file_of_ours_is_refused_and_what_cannot_be_read_is_the_machines(tmp_path: Path) -> None:
    for make in (
        lambda path: path.mkdir(),
        lambda path: path.write_bytes(b""),
        lambda path: path.symlink_to("/dev/zero"),
    ):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        make(path)
        with pytest.raises(InvalidFile):
            load_checkpoint(path, run_id="a")


def test_tensors_of_an_absent_device_come_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dxbench.engine import checkpoint

    path = tmp_path / "checkpoint"
    encode = checkpoint._encode
    monkeypatch.setattr(checkpoint, "_encode", lambda *given: _elsewhere(encode(*given)))
    save_checkpoint(path, {"w": torch.ones(2)}, run_id="a")
    assert load_checkpoint(path, run_id="a")["w"].device.type == ("cuda" if torch.cuda.is_available() else "cpu")


def _elsewhere(node: Any) -> Any:
    return node | {"device": "cuda"} if "tensor" in node else node


def test_a_checkpoint_of_another_device_is_not_gone_on_with(
    dxbench: Callable[..., Ended], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("run", "--task", "gaussians8", "--no-report", "-m", method("Toy"), "--set", "iterations=3")
    assert dxbench(*run).code == 0
    (path,) = home.rglob("checkpoint.safetensors")
    run_id = path.parent.name
    save_checkpoint(path, load_checkpoint(path, run_id=run_id) | {"device": "cuda"}, run_id=run_id)
    ended = dxbench(*run, "--results", home / "other")
    assert ended.code == 2
    assert "--device cuda" in ended.err
    assert "--fresh" in ended.err
    assert load_checkpoint(path, run_id=run_id)["device"] == "cuda"


def test_a_part_without_its_cost_is_set_aside_said_and_trained_anew(tmp_path: Path) -> None:
    said: list[str] = []
    slot = FolderStore(tmp_path, warn=said.append).slot("x")
    save_checkpoint(slot.path, {"part": {"w": torch.ones(1)}}, run_id=slot.key)
    assert slot.load() is None
    assert len(said) == 1
    assert "unusable-1" in said[0]
    slot.save({"w": torch.zeros(1)})
    assert slot.load() is not None


# --- the machine ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EROFS, "Read-only file system", "/x"),
        OSError("100000 requested and 5104 written"),
        RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 576 vs 534"),
        RuntimeError("write(): fd 3 failed with No space left on device"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_what_libraries_say_of_a_full_disk_is_the_machines_fault(error: Exception) -> None:
    assert machine_fault(error) is not None
    wrapped = ValueError("cannot save")
    wrapped.__cause__ = error
    assert machine_fault(wrapped) is not None
    assert machine_fault(ValueError("a bug, error 28")) is None


def test_a_full_disk_ends_a_run_without_a_record(dxbench: Callable[..., Ended], home: Path, monkeypatch: Any) -> None:
    from dxbench.engine import cell

    def full(path: Path, arrays: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(cell, "save_arrays", full)
        ended = dxbench(*RUN)
    assert ended.code == 8
    assert "arrays.npz: no space is left there" in ended.err
    assert not list((home / "results").rglob("*.json"))
    assert dxbench(*RUN).code == 0


def test_temporaries_of_the_killed_are_swept_and_those_of_the_living_stay(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib\n"
        "from dxbench.files import atomic_file\n"
        "with atomic_file(pathlib.Path(sys.argv[1])) as file:\n"
        "    print('open', flush=True)\n"
        "    time.sleep(600)"
    )
    path = tmp_path / "a.json"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        process.kill()
    with atomic_file(path) as file:
        assert len(list(tmp_path.glob(".a.json.*"))) == 2
        sweep_temporaries(tmp_path)
        assert len(list(tmp_path.glob(".a.json.*"))) == 1
        file.write(b"x")
    assert path.read_bytes() == b"x"
    assert [found.name for found in tmp_path.iterdir()] == ["a.json"]


def test_what_is_set_aside_covers_nothing_set_aside_before(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / "a.safetensors").write_text(str(number))
        set_aside(tmp_path / "a.safetensors", "unusable")
        if number == 2:
            (tmp_path / "a.unusable-1.safetensors").unlink()
    assert {path.read_text() for path in tmp_path.iterdir()} == {"2", "3"}


def test_a_lock_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises((UsageError, MachineFault), match="lock"):
        locks.take(tmp_path / "lock")
    first = locks.take(tmp_path / "other")
    assert first is not None
    assert locks.take(tmp_path / "other") is None
    first.release()


def test_damaged_last_words_are_not_heard(tmp_path: Path) -> None:
    (tmp_path / "process-1.failed.json").write_text('{"status": ')
    begun = time.monotonic()
    assert CrashReport(tmp_path).heard(within=0.1) is None
    assert time.monotonic() - begun < 5
    CrashReport(tmp_path).clear()
    assert not list(tmp_path.iterdir())


THREADS = """
import numpy as np
from dxbench.tasks.gaussians8 import SW2_EXACT, Gaussians8
from dxbench.threads import fix_threads
task = Gaussians8()
fix_threads(task.threads)
print(SW2_EXACT.measure(task.inputs_of(np.random.default_rng(0).normal(size=(100_000, 2)))).value.hex())
"""


def test_the_environment_decides_no_digit() -> None:
    """Threads of BLAS decide the order of sums; two of them give another last digit."""
    found = set()
    for threads in ("1", "2", "3"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        ended = subprocess.run(
            [sys.executable, "-c", THREADS], env=environment, capture_output=True, text=True, check=True
        )
        found.add(ended.stdout)
    assert len(found) == 1
