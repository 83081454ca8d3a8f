"""One cell on several nodes with a device each, as srun and torchrun start it: one record, of one run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import DEADLINE, OF_A_MACHINE, QUICK, Cluster, cluster_in

from dxbench.api import ResultRecord
from dxbench.launchers.crew import free_port
from dxbench.records.files import read_record

pytestmark = pytest.mark.slow

NETS = ("--set", 'backbone={"network": {"hidden": 16}}', "--set", 'critic={"hidden": 16}')
CELL = ("run", "-t", QUICK, "-m", "dxmi", *NETS, "--set", "iterations=8", "--no-report", "--device", "cpu")
DXBENCH = (sys.executable, "-m", "dxbench", *CELL)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    for one in cluster_in(tmp_path_factory.mktemp("slurm")):
        yield one
        one.tidy()


def run(home: Path, *commands: list[str], **environment: str) -> list[subprocess.CompletedProcess[str]]:
    """Commands side by side to their ends, or to that of the test."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    own = {**os.environ, **one, "DXBENCH_HOME": str(home), **environment}
    processes = [
        subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    try:
        said = [process.communicate(timeout=DEADLINE) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *texts)
        for process, texts in zip(processes, said, strict=True)
    ]


def record_of(home: Path) -> ResultRecord:
    """The only record of a home."""
    (path,) = (home / "results").glob("quick8/*/*.json")
    record = read_record(path)
    assert isinstance(record, ResultRecord)
    return record


def numbers(record: ResultRecord) -> dict[str, Any]:
    return record.model_dump(mode="json", exclude=OF_A_MACHINE)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[int, ResultRecord]:
    """The record of one process, and of two on one machine, by their count."""
    home = tmp_path_factory.mktemp("alone")
    for count in (1, 2):
        (ended,) = run(home / str(count), [*DXBENCH, "--devices", str(count)])
        assert ended.returncode == 0, ended.stderr
    return {count: record_of(home / str(count)) for count in (1, 2)}


def agree(record: ResultRecord, alone: dict[int, ResultRecord]) -> None:
    """Bit for bit with two processes on one machine, and with one process but for the order of sums."""
    assert record.cost is not None
    assert record.cost.devices == 2
    assert numbers(record) == numbers(alone[2])
    assert record.run_id == alone[1].run_id
    assert record.config == alone[1].config
    assert {name: score.value for name, score in record.scores.items()} == pytest.approx(
        {name: score.value for name, score in alone[1].scores.items()}, rel=1e-4
    )


def test_two_nodes_of_slurm_with_a_device_each(
    cluster: Cluster, alone: dict[int, ResultRecord], tmp_path: Path
) -> None:
    srun = ["srun", "--nodes=2", "--ntasks-per-node=1", *DXBENCH, "--nodes", "2"]
    (ended,) = run(tmp_path, srun, SLURM_CONF=str(cluster.conf))
    assert ended.returncode == 0, ended.stderr
    assert "sw2" in ended.stdout
    agree(record_of(tmp_path), alone)


def test_a_first_node_without_an_address_is_told_of_at_once(tmp_path: Path) -> None:
    """The names of nodes may be SLURM's alone; the processes would look for the first one until their patience ends."""
    srun = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "2", "SLURM_NTASKS_PER_NODE": "1"}
    step = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NTASKS": "2", "SLURM_NNODES": "2"}
    (ended,) = run(tmp_path, [*DXBENCH], **srun, **step, SLURM_JOB_ID="7", SLURM_NODELIST="nowhere.invalid,n2")
    assert ended.returncode == 2, ended.stderr
    assert "'nowhere.invalid' has no address here" in ended.stderr
    assert "export MASTER_ADDR" in ended.stderr
    assert not list(tmp_path.glob("results/quick8/*/*.json"))


def test_two_nodes_of_torchrun_with_a_device_each(alone: dict[int, ResultRecord], tmp_path: Path) -> None:
    meet = ["--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={free_port()}"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", *meet]
    first, second = run(tmp_path, *([*torchrun, f"--node-rank={rank}", "-m", *DXBENCH[2:]] for rank in range(2)))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "sw2" in first.stdout
    assert second.stdout == ""
    agree(record_of(tmp_path), alone)
