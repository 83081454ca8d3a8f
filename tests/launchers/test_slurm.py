"""Sweeps on a real SLURM of two nodes without accounting, while jobs, nodes, controller and launchers die."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import method
from slurm_cluster import QUICK, Cluster, Sweep, cluster_in, parent, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SLOW = f"{method('Held')}[iterations=600]"
"""A run of a minute, or of a second, as the test wants it."""


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from cluster_in(tmp_path_factory.mktemp("slurm"))


@pytest.fixture
def cluster(testbed: Cluster) -> Iterator[Cluster]:
    yield testbed
    testbed.tidy()


def slow_sweep(cluster: Cluster, home: Path, seeds: str) -> Sweep:
    """Cells that are held on their way, an array task each."""
    sweep = cluster.sweep(home, "-t", QUICK, "-m", SLOW, "--seed", seeds, "--checkpoint-every", "0.2")
    sweep.hold()
    return sweep


@pytest.fixture(scope="module")
def undisturbed(testbed: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Numbers of the slow cells, from a run on this machine without SLURM."""
    sweep = slow_sweep(testbed, tmp_path_factory.mktemp("undisturbed") / "home", "0-2")
    sweep.let_go()
    assert sweep.run(launcher="local") == 0, sweep.story()
    return sweep.numbers()


def agree(sweep: Sweep, undisturbed: dict[str, object], *, cells: int) -> None:
    """The sweep is complete, and its numbers are those of an undisturbed one."""
    assert len(sweep.numbers()) == cells, sweep.story()
    assert sweep.numbers() == {run_id: undisturbed[run_id] for run_id in sweep.numbers()}


def test_a_sweep_has_the_records_of_a_local_one(cluster: Cluster, tmp_path: Path) -> None:
    small = 'backbone={"network": {"hidden": 16}, "pretraining": {"iterations": 100}}'
    row = ("-t", QUICK, "-m", "ddim:quick,fastdpm:quick", "--seed", "0,1", "--set", small)
    local = cluster.sweep(tmp_path / "local", *row)
    assert local.run(launcher="local") == 0, local.story()
    there = cluster.sweep(tmp_path / "slurm", *row)
    assert there.run() == 0, there.story()
    assert there.numbers() == local.numbers()
    assert len(there.numbers()) == 4
    starts, runs = there.submitted()
    assert (len(starts), len(runs)) == (2, 4)
    assert len(list(there.home.glob("trained/*/start-*.json"))) == 2
    trained = [file.stat().st_mtime for file in there.home.glob("trained/*/*.safetensors")]
    began = [file.stat().st_mtime for file in there.home.glob("work/*/*/*-s?/log*")]
    assert all(one < other for one in trained for other in began)


def test_a_killed_cell_is_tried_again_and_a_requeued_one_goes_on(
    cluster: Cluster, tmp_path: Path, undisturbed: dict[str, object]
) -> None:
    sweep = slow_sweep(cluster, tmp_path / "home", "0-1")
    process = sweep.start()
    at_work = sweep.wait_for_steps(0, 1)
    job = cluster.job_of(at_work[1])
    os.kill(at_work[0], signal.SIGKILL)
    cluster.slurm("scontrol", "requeue", job)
    sweep.let_go()
    until(lambda: "held by SLURM until" in sweep.said(), told=sweep.story)
    cluster.start_now(job)
    assert process.wait(timeout=240) == 0, sweep.story()
    agree(sweep, undisturbed, cells=2)
    assert sweep.submitted() == [["0", "1"], ["0"]]
    assert sweep.resumed() == 2


def test_a_job_that_is_preempted_goes_on(cluster: Cluster, tmp_path: Path, undisturbed: dict[str, object]) -> None:
    sweep = slow_sweep(cluster, tmp_path / "home", "0")
    process = sweep.start("--slurm", "partition=main")
    job = cluster.job_of(sweep.wait_for_steps(0)[0])
    cluster.slurm("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--wrap=true", f"--chdir={tmp_path}")
    cluster.start_now(job)
    sweep.let_go()
    assert process.wait(timeout=240) == 0, sweep.story()
    agree(sweep, undisturbed, cells=1)
    assert len(sweep.submitted()) == 1
    assert sweep.resumed() == 1


def test_launchers_that_die_and_a_controller_that_is_restarted_are_no_end(
    cluster: Cluster, tmp_path: Path, undisturbed: dict[str, object]
) -> None:
    sweep = slow_sweep(cluster, tmp_path / "home", "0-2")
    first = sweep.start()
    sweep.wait_for_steps(0)
    first.kill()
    controller = cluster.daemon("slurmctld")
    os.kill(controller, signal.SIGKILL)
    both = [sweep.start(), sweep.start()]
    cluster.start_daemon("slurmctld")
    sweep.let_go()
    for process in both:
        assert process.wait(timeout=240) == 0, sweep.story()
    agree(sweep, undisturbed, cells=3)
    assert sweep.submitted() == [["0", "1", "2"]]  # though a controller that is killed may start jobs a second time


def test_cells_of_a_lost_node_run_on_another(cluster: Cluster, tmp_path: Path, undisturbed: dict[str, object]) -> None:
    sweep = slow_sweep(cluster, tmp_path / "home", "0")
    process = sweep.start()
    cell = sweep.wait_for_steps(0)[0]
    job = cluster.job_of(cell)
    node = next(line.split()[2] for line in cluster.queue() if line.startswith(job))
    for lost in (cluster.daemon(f"slurmd.{node}"), parent(cell), cell):
        os.kill(lost, signal.SIGKILL)
    sweep.let_go()
    try:
        until(lambda: any(line.startswith(f"{job} PENDING") for line in cluster.queue()), told=cluster.queue)
        cluster.start_now(job)
        assert process.wait(timeout=240) == 0, sweep.story()
    finally:
        cluster.start_daemon("slurmd", "-N", node)
        until(lambda: "idle 2" in cluster.slurm("sinfo", "-h", "-p", "main", "-o", "%t %D"))
    agree(sweep, undisturbed, cells=1)


def test_a_cell_on_two_nodes_is_one_run(cluster: Cluster, tmp_path: Path) -> None:
    small = ("--set", "iterations=60", "--set", 'backbone={"network": {"hidden": 16}}')
    sweep = cluster.sweep(tmp_path / "home", "-t", QUICK, "-m", "dxmi:quick", *small, "--nodes", "2", "--device", "cpu")
    assert sweep.run() == 0, sweep.story()
    (record,) = sweep.records().values()
    assert record.cost is not None
    assert (record.status, record.cost.devices) == ("ok", 2)
    assert len(sweep.submitted()) == 1


def test_what_dies_every_time_is_given_up_and_takes_no_other_with_it(cluster: Cluster, tmp_path: Path) -> None:
    toy = method("Toy")
    rows = f"{toy}[iterations=3],{method('Killed')},{method('Crash')},{toy}[iterations=4]"
    sweep = cluster.sweep(tmp_path / "home", "-t", QUICK, "-m", rows, "--retries", "1")
    assert sweep.run("--slurm", "chunk=60") == 8, sweep.story()
    assert {record.method: record.status for record in sweep.records().values()} == {"toy": "ok", "crash": "failed"}
    assert len(sweep.records()) == 3
    assert sweep.submitted() == [["0:4"], ["2:4", "1"]]
    assert "killed on quick8, seed 0, ended without a record, try 2 of 2" in " ".join(sweep.said().split())


def test_detached_cells_are_cancelled_from_anywhere_and_go_on_later(
    cluster: Cluster, tmp_path: Path, undisturbed: dict[str, object]
) -> None:
    sweep = slow_sweep(cluster, tmp_path / "home", "0-1")
    assert sweep.run("--detach") == 0, sweep.story()
    sweep.wait_for_steps(0, 1)
    assert "cancelled in SLURM" in sweep.command("cancel", sweep.folder.name)
    until(lambda: not cluster.queue(), told=cluster.queue)
    assert not sweep.records()
    process = sweep.start()
    until(lambda: sweep.resumed() == 2, told=sweep.story)  # steps of before are on record too
    sweep.wait_for_steps(0, 1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=240) == 130, sweep.story()
    assert not cluster.queue()
    sweep.let_go()
    assert sweep.run() == 0, sweep.story()
    agree(sweep, undisturbed, cells=2)
    assert sweep.resumed() == 4
