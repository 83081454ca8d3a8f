"""A SLURM of two nodes for tests, and sweeps that are launched on it by real commands."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import method

from dxbench.api import ResultRecord
from dxbench.engine.locks import owner_of
from dxbench.records.files import read_record

ROOT = Path(__file__).resolve().parents[2]
TESTBED = ROOT / "tools" / "slurm_testbed.sh"
QUICK = f"{ROOT / 'tests' / 'attack' / 'quick.py'}:Quick"
DEADLINE = 240.0
"""Seconds for what takes some on an idle machine."""
OF_A_MACHINE = {"provenance", "cost", "created"}
"""What differs between records of one run on two machines."""


def until(what: Callable[[], object], *, told: Callable[[], object] = lambda: "") -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + DEADLINE
    while not what():
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)


def toy(**settings: object) -> str:
    """A row of the toy method; a pause makes its steps slow enough to be interrupted."""
    typed = ",".join(f"{key}={value}" for key, value in settings.items())
    return f"{method('Toy')}[{typed}]"


@dataclass
class Sweep:
    """A sweep on the cluster, in a home of its own.

    Attributes:
        row: the options that name its cells, and others of `dxbench run`.
    """

    cluster: "Cluster"
    home: Path
    row: tuple[str, ...]
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        return {**os.environ, **one, "SLURM_CONF": str(self.cluster.conf), "DXBENCH_HOME": str(self.home)}

    def start(self, *more: str, launcher: str = "slurm") -> subprocess.Popen[str]:
        """The command, in the background; what it says goes to files of the home."""
        self.home.mkdir(exist_ok=True)
        with (self.home / f"out-{len(self.processes)}").open("w") as out:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "dxbench", "run", *self.row, "--no-report", "--launcher", launcher, *more],
                    env=self.environment,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        return self.processes[-1]

    def run(self, *more: str, launcher: str = "slurm") -> int:
        """The command to its end."""
        return self.start(*more, launcher=launcher).wait(timeout=DEADLINE)

    def command(self, *words: str) -> str:
        """What another command of dxbench prints."""
        return subprocess.run(
            [sys.executable, "-m", "dxbench", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=DEADLINE,
        ).stdout

    def said(self, number: int = -1) -> str:
        """What a command said so far, and the logs of jobs, for failures."""
        count = range(len(self.processes))[number]
        return (self.home / f"out-{count}").read_text()

    def story(self) -> str:
        """All that was written, for a test that fails."""
        files = [*self.home.glob("out-*"), *self.home.glob("sweeps/*/logs/*"), *self.home.glob("sweeps/*/jobs.jsonl")]
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-3000:]}" for file in files)

    @property
    def folder(self) -> Path:
        (found,) = (self.home / "sweeps").iterdir()
        return found

    def submitted(self) -> list[list[str]]:
        """Chunks of every array that was submitted."""
        return [json.loads(line)["chunks"] for line in (self.folder / "jobs.jsonl").read_text().splitlines()]

    def records(self) -> dict[str, ResultRecord]:
        """By run id."""
        found = [read_record(path) for path in (self.home / "results").glob("*/*/[!.]*.json")]
        assert all(isinstance(record, ResultRecord) for record in found), found
        return {record.run_id: record for record in found if isinstance(record, ResultRecord)}

    def numbers(self) -> dict[str, object]:
        """Records but for what tells of machines."""
        return {
            run_id: record.model_dump(mode="json", exclude=OF_A_MACHINE) for run_id, record in self.records().items()
        }

    def running(self) -> dict[int, int]:
        """Processes that have come to steps of a cell, by its seed: those that own one and have a checkpoint."""
        found = {}
        for folder in (self.home / "work").glob("*/*/*"):
            owner = owner_of(folder / "lock")
            if owner is not None and owner.standing == "running" and (folder / "checkpoint.safetensors").exists():
                found[int(folder.name.rpartition("-s")[2])] = owner.pid
        return found

    def wait_for_steps(self, *seeds: int) -> dict[int, int]:
        """Wait until cells of these seeds are at it."""
        until(lambda: self.running().keys() >= set(seeds), told=self.story)
        return self.running()

    def resumed(self) -> int:
        """How often runs went on from a checkpoint, by the logs of jobs."""
        logs = "".join(file.read_text() for file in self.folder.glob("logs/*"))
        return len(re.findall("resumed at step", logs))


@dataclass
class Cluster:
    """The testbed."""

    folder: Path
    sweeps: list[Sweep] = field(default_factory=list)

    @property
    def conf(self) -> Path:
        return self.folder / "etc" / "slurm.conf"

    def slurm(self, *command: str) -> str:
        """What a command of SLURM prints."""
        ended = subprocess.run(
            command, env={**os.environ, "SLURM_CONF": str(self.conf)}, capture_output=True, text=True, timeout=DEADLINE
        )
        assert ended.returncode == 0, f"{command}: {ended.stderr}"
        return ended.stdout

    def sweep(self, home: Path, *row: str) -> Sweep:
        self.sweeps.append(Sweep(self, home, row))
        return self.sweeps[-1]

    def queue(self) -> list[str]:
        """Jobs that have not ended, as `12_0 RUNNING 127.0.0.1`."""
        return self.slurm("squeue", "--noheader", "--array", "--format=%i %T %N").splitlines()

    def job_of(self, pid: int) -> str:
        """The array task that a process belongs to, such as 12_0."""
        words = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
        found = dict(word.partition("=")[::2] for word in words)
        return f"{found['SLURM_ARRAY_JOB_ID']}_{found['SLURM_ARRAY_TASK_ID']}"

    def start_now(self, job: str) -> None:
        """Spare a job that was put back the two minutes for which SLURM holds it."""
        until(lambda: any(line.startswith(f"{job} PENDING") for line in self.queue()), told=self.queue)
        self.slurm("scontrol", "update", f"jobid={job}", "StartTime=now")

    def daemon(self, name: str) -> int:
        """The process number of slurmctld, slurmd.127.0.0.1 or slurmd.127.0.0.2."""
        return int((self.folder / "run" / f"{name}.pid").read_text())

    def start_daemon(self, *command: str) -> None:
        subprocess.run(
            command,
            env={**os.environ, "SLURM_CONF": str(self.conf), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=DEADLINE,
        )

    def tidy(self) -> None:
        """Nothing of a test goes on after it."""
        for sweep in self.sweeps:
            for process in sweep.processes:
                process.kill()
                process.wait()
        self.sweeps.clear()
        self.slurm("scancel", "--me")
        until(lambda: not self.queue(), told=self.queue)


def alive_in(folder: Path) -> list[str]:
    """Processes that have the folder in their command line and are no zombies."""
    lines = subprocess.run(["ps", "-eo", "stat=,args="], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if str(folder) in line and not line.startswith("Z")]


def cluster_in(folder: Path) -> Iterator[Cluster]:
    """The testbed, up and in the end down."""
    if shutil.which("slurmd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
        pytest.skip("no slurmd here; apt-get install slurm-wlm munge")
    try:
        up = subprocess.run([TESTBED, "up", folder], capture_output=True, text=True, timeout=DEADLINE, check=False)
        if up.returncode:
            pytest.skip(f"SLURM does not start here: {up.stderr}")
        yield Cluster(folder)
    finally:
        subprocess.run([TESTBED, "down", folder], check=True, timeout=DEADLINE)
        assert alive_in(folder) == []


def parent(pid: int) -> int:
    """Of a cell that a batch script has become, the daemon of its step."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
