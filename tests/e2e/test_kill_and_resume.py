"""Real processes, really killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import method

from dxbench.api import ResultRecord
from dxbench.records.files import read_record

DXMI = (
    *("run", "-t", "gaussians8", "-m", "dxmi", "--no-report", "--checkpoint-every", "0.2"),
    *("--set", "iterations=500", "--set", 'critic={"hidden": 16}'),
)
NETWORK = '"network": {"hidden": 16}'
SCRATCH = ("--set", f"backbone={{{NETWORK}}}")
FROM_DDPM = (
    *("--set", 'sampler={"kind": "strided", "fix_last": false}'),
    *("--set", f'backbone={{{NETWORK}, "pretraining": {{"iterations": 250}}}}'),
)
TWO_TOYS = ("run", "-t", "gaussians8", "-m", method("Toy"), "--no-report", "--seed", "0,1", "-j", "2")


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dxbench", *arguments],
        env={**os.environ, "DXBENCH_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def record(home: Path) -> dict[str, object]:
    (path,) = (home / "results").glob("*/*/*.json")
    found = read_record(path)
    assert isinstance(found, ResultRecord)
    return found.model_dump(mode="json")


def wait_for_checkpoint(process: subprocess.Popen[str], home: Path, *, newer_than: float) -> None:
    deadline = time.monotonic() + 200  # two processes that import torch on a busy machine
    while time.monotonic() < deadline and process.poll() is None:
        if any(path.stat().st_mtime > newer_than for path in home.rglob("checkpoint.safetensors")):
            return
        time.sleep(0.02)
    raise AssertionError(f"no checkpoint came: {process.stderr and process.stderr.read()}")


def start_both(home: Path, run: tuple[str, ...]) -> subprocess.Popen[str]:
    """Start two parallel cells and wait until each has a checkpoint."""
    process = start(home, *run, "--checkpoint-every", "0.2")
    deadline = time.monotonic() + 60
    while len(list(home.rglob("checkpoint.safetensors"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


def numbers(found: dict[str, object]) -> dict[str, object]:
    return {key: found[key] for key in ("run_id", "config", "scores", "curves", "nfe", "protocols", "notes", "status")}


@pytest.mark.slow
@pytest.mark.parametrize("extra", [SCRATCH, FROM_DDPM], ids=["from scratch", "from a DDPM"])
def test_a_run_killed_three_times_ends_bit_equal_to_one_never_killed(tmp_path: Path, extra: tuple[str, ...]) -> None:
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    assert start(quiet, *DXMI, *extra).wait(timeout=200) == 0
    kills = 0
    for _ in range(3):
        process = start(killed, *DXMI, *extra)
        wait_for_checkpoint(process, killed, newer_than=time.time())
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills == 3
    assert not list((killed / "results").rglob("*.json"))
    assert start(killed, *DXMI, *extra).wait(timeout=200) == 0
    resumed, whole = record(killed), record(quiet)
    assert resumed["provenance"]["resumed"] >= 1  # type: ignore[index]
    assert numbers(resumed) == numbers(whole)
    (a,), (b,) = (list(home.rglob("checkpoint.safetensors")) for home in (quiet, killed))
    assert tensors(a) == tensors(b)


def tensors(path: Path) -> dict[str, bytes]:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_exits_130_and_the_same_command_goes_on(tmp_path: Path, sent: signal.Signals) -> None:
    run = ("run", "-t", "gaussians8", "-m", method("Toy"), "--no-report", "--set", "pause=0.1")
    process = start(tmp_path, *run, "--checkpoint-every", "0.2")
    wait_for_checkpoint(process, tmp_path, newer_than=0)
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the state is saved" in err or "state saved" in err
    assert not list((tmp_path / "results").rglob("*.json"))
    again = start(tmp_path, *run)
    _, err = again.communicate(timeout=100)
    assert again.returncode == 0
    assert "resumed at step" in err
    assert record(tmp_path)["status"] == "ok"


@pytest.mark.slow
def test_ctrl_c_stops_parallel_jobs_and_all_go_on(tmp_path: Path) -> None:
    run = (*TWO_TOYS, "--set", "pause=0.2")
    process = start_both(tmp_path, run)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert start(tmp_path, *run).wait(timeout=120) == 0
    assert len(list((tmp_path / "results").glob("gaussians8/*/*.json"))) == 2


@pytest.mark.slow
def test_a_worker_killed_by_the_system_is_named(tmp_path: Path) -> None:
    run = (*TWO_TOYS, "--set", "pause=0.3", "--retries", "0")
    process = start_both(tmp_path, run)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [c for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]
    os.kill(int(workers[0]), signal.SIGKILL)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 8
    assert "died (exit code -9)" in err
    assert len(list((tmp_path / "results").glob("gaussians8/*/*.json"))) == 1


# --- several processes for one run ----------------------------------------------------------------------------

SHORT = tuple("iterations=60" if word.startswith("iterations=") else word for word in DXMI)
TWO = ("--device", "cpu", "--devices", "2")


def children_gone(process: subprocess.Popen[str], workers: list[int]) -> bool:
    """Whether the workers of a process have ended, within half a minute."""
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(Path(f"/proc/{worker}").exists() for worker in workers)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


@pytest.mark.slow
def test_two_processes_killed_and_stopped_end_as_one_process_that_never_was(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert start(one, *SHORT).wait(timeout=200) == 0
    again = (*SHORT, *TWO)
    process = start(two, *again, "--checkpoint-every", "0")
    wait_for_checkpoint(process, two, newer_than=0)
    workers = workers_of(process)
    assert len(workers) == 2
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert children_gone(process, workers), "workers outlive the process that started them"
    process = start(two, *again, "--checkpoint-every", "0")
    wait_for_checkpoint(process, two, newer_than=time.time())
    workers = workers_of(process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode in (0, 130), err  # 0: it was done before the signal came
    assert children_gone(process, workers)
    assert start(two, *again).wait(timeout=200) == 0
    whole, spread = record(one), record(two)
    assert spread["cost"]["devices"] == 2  # type: ignore[index]
    assert spread["provenance"]["resumed"] >= 1  # type: ignore[index]
    assert spread["nfe"] == whole["nfe"]
    for name, estimate in whole["scores"].items():  # type: ignore[attr-defined]
        assert spread["scores"][name]["value"] == pytest.approx(estimate["value"], rel=1e-3, abs=1e-3)  # type: ignore[index]


@pytest.mark.slow
def test_one_of_two_processes_killed_ends_the_run_and_the_same_command_goes_on(tmp_path: Path) -> None:
    process = start(tmp_path, *DXMI, *TWO)
    wait_for_checkpoint(process, tmp_path, newer_than=0)
    workers = workers_of(process)
    os.kill(workers[1], signal.SIGKILL)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 8, err
    assert "process" in err
    assert children_gone(process, workers)
    assert not list((tmp_path / "results").rglob("*.json"))
    again = start(tmp_path, *DXMI, *TWO)
    _, err = again.communicate(timeout=200)
    assert again.returncode == 0, err
    assert "resumed at step" in err


@pytest.mark.slow
def test_torchrun_starts_the_processes_of_a_run(tmp_path: Path) -> None:
    torchrun = (*("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"), "-m", "dxbench")
    process = subprocess.run(
        [sys.executable, *torchrun, *SHORT, *TWO, "--seed", "0,1", "--json"],
        env={**os.environ, "DXBENCH_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    shown = json.loads(process.stdout)
    assert [(row["status"], row["cost"]["devices"], row["seed"]) for row in shown] == [("ok", 2, 0), ("ok", 2, 1)]
