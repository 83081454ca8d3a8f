"""Full disks, forbidden folders, signals and races: the machine's fault is not the method's."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import method
from small_disk import small_disk

from dxbench.api import ResultRecord
from dxbench.engine.locks import owner_of
from dxbench.engine.store import FolderStore
from dxbench.records.files import read_record

pytestmark = [pytest.mark.attack, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
RUN = ("run", "-t", f"{HERE / 'quick.py'}:Quick", "-m", method("Toy"), "--no-report", "--checkpoint-every", "0")


def start(home: Path, *arguments: str, before: Callable[[], None] | None = None) -> "subprocess.Popen[str]":
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", "dxbench", *RUN, *arguments],
        env={**os.environ, "DXBENCH_HOME": str(home), "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in out + err, err
    return process.returncode, err


def records(home: Path) -> list[dict[str, object]]:
    found = [read_record(path) for path in home.rglob("results/*/*/*.json")]
    return [one.model_dump(mode="json") for one in found if isinstance(one, ResultRecord)]


def left_over(home: Path) -> list[Path]:
    return [path for path in home.rglob(".*.*") if path.is_file()]


def nobody_is_at_it(home: Path) -> bool:
    return not any(owner_of(lock) for lock in home.rglob("work/**/lock"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The record of a run that nothing disturbed."""
    home = tmp_path_factory.mktemp("whole")
    assert ended(start(home))[0] == 0
    (record,) = records(home)
    return record


def same(one: dict[str, object], other: dict[str, object]) -> bool:
    return all(one[key] == other[key] for key in ("scores", "curves", "samples_sha256", "status"))


SIZES = ["size=4k", "size=40k", "size=120k", "size=800k", "size=880k"]
NODES = [f"size=20m,nr_inodes={count}" for count in (4, 9, 11, 13)]


@pytest.mark.parametrize("options", [*SIZES, *NODES])
def test_a_full_disk_ends_with_a_sentence_and_with_room_the_run_goes_on(
    tmp_path: Path, options: str, whole: dict[str, object]
) -> None:
    with small_disk(tmp_path / "disk", options) as home:
        code, err = ended(start(home))
        if code:
            assert code == 8
            assert str(home) in err
            assert "no space is left" in err or "No space left" in err
            assert not records(home)
            assert not left_over(home)
            assert nobody_is_at_it(home)
            roomy = "remount,size=40m,nr_inodes=1000"
            subprocess.run(["mount", "-o", roomy, home], check=True)
            assert ended(start(home))[0] == 0
        (record,) = records(home)
        assert same(record, whole)
        assert nobody_is_at_it(home)


@pytest.mark.parametrize("limit", [100, 20_000, 200_000])
def test_a_limit_on_file_sizes_ends_with_a_sentence(tmp_path: Path, limit: int, whole: dict[str, object]) -> None:
    code, err = ended(start(tmp_path, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))))
    assert code == 8
    assert "larger than is allowed" in err
    assert not records(tmp_path)
    assert not left_over(tmp_path)
    assert ended(start(tmp_path))[0] == 0
    assert same(records(tmp_path)[0], whole)


@pytest.mark.parametrize("open_files", [5, 20])
def test_too_few_files_blame_nobody(tmp_path: Path, open_files: int) -> None:
    """Python itself may not come far enough to say anything of its own."""
    process = start(tmp_path, before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files)))
    process.communicate(timeout=120)
    assert all(record["status"] == "ok" for record in records(tmp_path))
    assert not left_over(tmp_path)


@pytest.mark.parametrize("what", ["home", "results"])
def test_a_read_only_disk_names_what_to_choose_another_place_by(tmp_path: Path, what: str) -> None:
    with small_disk(tmp_path / "disk", "size=1m,ro") as disk:
        home = disk if what == "home" else tmp_path / "home"
        code, err = ended(start(home, *(("--results", str(disk / "results")) if what == "results" else ())))
        assert code == 8
        assert str(disk) in err
        assert ("DXBENCH_HOME" if what == "home" else "--results") in err


def test_a_method_that_writes_to_a_full_disk_is_not_to_blame(tmp_path: Path) -> None:
    for way in ("plain", "torch", "safetensors", "numpy", "device"):
        with small_disk(tmp_path / way, "size=16k") as disk:
            home = tmp_path / f"home-{way}"
            arguments = ("-m", f"{HERE / 'writers.py'}:Writer", "--set", f"way={way}", "--set", f"place={disk}")
            code, err = ended(start(home, *arguments))
            assert code == 8, (way, err)
            assert "no space is left" in err, (way, err)
            assert not records(home), way


def test_a_cell_without_room_does_not_stop_the_others(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=16k") as disk:
        command = (
            "-m",
            f"{HERE / 'writers.py'}:Writer",
            "--set",
            "only_seed=0",
            "--set",
            f"place={disk}",
            "--seed",
            "0,1",
        )
        for jobs in ("1", "2"):
            home = tmp_path / f"home-{jobs}"
            code, err = ended(start(home, *command, "--jobs", jobs))
            assert code == 8
            assert "seed 0" in err
            assert [record["seed"] for record in records(home)] == [1]


# --- signals -------------------------------------------------------------------------------------------------

SLOW = ("--set", "pause=0.05", "--set", "iterations=400")


def checkpointed(home: Path, process: "subprocess.Popen[str]", count: int = 1) -> None:
    deadline = time.monotonic() + 60
    while len(list(home.rglob("checkpoint.safetensors"))) < count:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.parametrize("jobs", [(), ("--seed", "0,1", "--jobs", "2"), ("--device", "cpu", "--devices", "2")])
@pytest.mark.parametrize("sent", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_state_and_ends_with_130(
    tmp_path: Path, sent: signal.Signals, jobs: tuple[str, ...]
) -> None:
    if "--devices" in jobs:
        run = ("-m", "dxmi", "--set", "iterations=5000", "--set", 'critic={"hidden": 8}', *jobs)
    else:
        run = (*SLOW, *jobs)
    process = start(tmp_path, *run)
    checkpointed(tmp_path, process, 2 if "--jobs" in jobs else 1)
    process.send_signal(sent)
    code, err = ended(process)
    assert code == 130, err
    assert "state saved" in err
    assert not records(tmp_path)
    assert not left_over(tmp_path)
    owners = [owner_of(lock) for lock in tmp_path.rglob("work/**/lock")]
    assert {owner.standing for owner in owners if owner} == {"interrupted"}


@pytest.mark.parametrize("gap", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_second_ctrl_c_ends_at_once_with_130(tmp_path: Path, gap: float, jobs: str) -> None:
    process = start(tmp_path, "--seed", "0,1", "--jobs", jobs, "--set", "pause=0.3")
    checkpointed(tmp_path, process)
    process.send_signal(signal.SIGINT)
    time.sleep(gap)
    process.send_signal(signal.SIGINT)
    code, err = ended(process)
    assert code == 130, err
    assert "state saved" in err or "last checkpoint" in err
    assert not left_over(tmp_path)


def test_nohup_stays_deaf_to_a_hang_up(tmp_path: Path, whole: dict[str, object]) -> None:
    process = start(
        tmp_path, "--set", "pause=0.01", before=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN) and None
    )
    checkpointed(tmp_path, process)
    process.send_signal(signal.SIGHUP)
    assert ended(process)[0] == 0


def test_a_run_whose_listener_has_left_goes_on(tmp_path: Path) -> None:
    process = start(tmp_path, *SLOW[:2])
    assert process.stderr is not None
    process.stderr.close()
    assert process.wait(timeout=120) == 0
    assert records(tmp_path)[0]["status"] == "ok"


def test_a_reader_who_has_read_enough_is_no_error(tmp_path: Path) -> None:
    process = start(tmp_path)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    assert records(tmp_path)[0]["status"] == "ok"


# --- races ---------------------------------------------------------------------------------------------------


def test_of_several_launchers_of_one_cell_one_runs_it(tmp_path: Path, whole: dict[str, object]) -> None:
    processes = [start(tmp_path, "--set", "pause=0.05") for _ in range(3)]
    ends = [ended(process) for process in processes]
    codes = sorted(code for code, _ in ends)
    assert codes[0] == 0
    assert set(codes) <= {0, 2}
    assert all("another process is running" in err for code, err in ends if code == 2)
    assert len(records(tmp_path)) == 1
    assert not left_over(tmp_path)


def test_of_eight_that_want_one_part_one_trains_it(tmp_path: Path) -> None:
    """A damaged part is in the way; each that does not train it finds it, and it is set aside once."""
    FolderStore(tmp_path).slot({"part": 1}).path.write_bytes(b"damaged")
    processes = [
        subprocess.Popen([sys.executable, HERE / "wants_part.py", tmp_path], stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    said = [process.communicate(timeout=200)[0].split() for process in processes]
    assert sorted(word for words in said for word in words if word != "aside") == ["found"] * 7 + ["trained"]
    assert sum("aside" in words for words in said) == 1
    assert not left_over(tmp_path)
