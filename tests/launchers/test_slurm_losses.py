"""What becomes of cells that SLURM has lost, by what they have left in the shared folder."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from test_slurm_script import launch_of

from dxbench.engine.locks import take
from dxbench.engine.owners import Owner
from dxbench.engine.plan import Cell
from dxbench.errors import DxbenchError, Interrupted, MachineFault
from dxbench.launchers import slurm_losses
from dxbench.launchers.contract import LaunchSettings
from dxbench.launchers.slurm_arrays import Submission
from dxbench.launchers.slurm_losses import Losses
from dxbench.launchers.slurm_queue import QueuedTask
from dxbench.records.files import work_folder


class Lost:
    """A sweep of which one chunk was submitted, and its first three runs.

    Args:
        retries: of each cell.
    """

    def __init__(self, home: Path, *, retries: int) -> None:
        launch = replace(launch_of(home), settings=LaunchSettings(retries=retries))
        self.home, self.launch = home, launch
        self.cells = [cell for cell in launch.sweep.cells if cell.part == "run"][:3]
        run_ids = [cell.run_id for cell in launch.sweep.cells]
        numbers = ",".join(str(run_ids.index(cell.run_id)) for cell in self.cells)
        self.script = launch.sweep.folder / "slurm-1.sh"
        self.script.parent.mkdir(parents=True)
        self.script.write_text("#!/bin/bash\n")
        long_ago = self.script.stat().st_mtime - 100
        os.utime(self.script, (long_ago, long_ago))
        note = Submission(script="slurm-1.sh", chunks=(numbers,)).model_dump_json()
        (launch.sweep.folder / "jobs.jsonl").write_text(f"{note}\nno line of ours\n")
        self.losses = Losses(launch, run_ids)

    def folder(self, cell: Cell) -> Path:
        found = work_folder(self.home, task=cell.task, method=cell.method, run_id=cell.run_id)
        found.mkdir(parents=True, exist_ok=True)
        return found

    def interrupt(self, cell: Cell) -> None:
        claim = take(self.folder(cell) / "lock")
        assert claim is not None
        claim.release(interrupted=True)

    def die(self, cell: Cell) -> None:
        process = subprocess.Popen(["true"])
        process.wait()
        owner = Owner.of_this_process().model_copy(update={"pid": process.pid, "started": 1})
        (self.folder(cell) / "lock.owner-1").write_bytes(owner.text)

    def save(self, cell: Cell) -> None:
        (self.folder(cell) / "checkpoint.safetensors").write_text("")

    def judged(self, cells: Sequence[Cell], *, state: str = "FAILED") -> dict[str, DxbenchError | None]:
        """Errors of those that are given up, None for those that are to be submitted again, by run id."""
        tasks = [QueuedTask("12", 0, state, "None", "N/A", self.script.resolve())]
        return {loss.cell.run_id: loss.error for loss in self.losses.among(cells, tasks)}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_losses, "SETTLED", 0.0)


def test_an_interrupted_cell_goes_on_as_often_as_it_gets_further(tmp_path: Path) -> None:
    lost = Lost(tmp_path, retries=0)
    for _ in range(5):
        lost.interrupt(lost.cells[0])
        lost.save(lost.cells[0])
        assert lost.judged(lost.cells[:1]) == {lost.cells[0].run_id: None}


def test_an_interrupted_cell_that_gets_no_further_is_given_up(tmp_path: Path) -> None:
    lost = Lost(tmp_path, retries=1)
    lost.interrupt(lost.cells[0])
    assert lost.judged(lost.cells[:1]) == {lost.cells[0].run_id: None}
    (error,) = lost.judged(lost.cells[:1]).values()
    assert isinstance(error, MachineFault)
    assert "try 2 of 2 (FAILED in SLURM)" in str(error)
    assert "logs/slurm-1_0.log says how" in str(error)


def test_a_dead_cell_counts_and_those_after_it_do_not(tmp_path: Path) -> None:
    lost = Lost(tmp_path, retries=0)
    first, second, third = lost.cells
    lost.die(second)
    judged = lost.judged([second, third])  # the first has a record
    assert isinstance(judged[second.run_id], MachineFault)
    assert judged[third.run_id] is None
    assert first.run_id not in judged


def test_the_last_words_of_a_job_are_told(tmp_path: Path) -> None:
    lost = Lost(tmp_path, retries=0)
    log = lost.launch.sweep.folder / "logs" / "slurm-1_0.log"
    log.parent.mkdir()
    log.write_text("much\nslurmstepd: error: Detected 1 oom_kill event\n")
    (error,) = lost.judged(lost.cells[:1], state="OUT_OF_MEMORY").values()
    assert "OUT_OF_MEMORY" in str(error)
    assert str(error).endswith("slurmstepd: error: Detected 1 oom_kill event")


def test_a_job_that_began_nothing_counts_for_all_its_cells(tmp_path: Path) -> None:
    lost = Lost(tmp_path, retries=0)
    judged = lost.judged(lost.cells)
    assert len(judged) == 3
    assert all(isinstance(error, MachineFault) for error in judged.values())


def test_what_somebody_cancelled_is_not_submitted_again(tmp_path: Path) -> None:
    lost = Lost(tmp_path, retries=9)
    assert all(isinstance(error, Interrupted) for error in lost.judged(lost.cells, state="CANCELLED").values())


def test_a_cell_that_somebody_else_is_at_is_not_lost(tmp_path: Path) -> None:
    lost = Lost(tmp_path, retries=0)
    claim = take(lost.folder(lost.cells[0]) / "lock")
    assert claim is not None
    assert lost.judged(lost.cells[:1]) == {}
    claim.release()
    assert len(lost.judged(lost.cells[:1])) == 1


def test_a_file_on_its_way_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_losses, "SETTLED", 1e6)
    lost = Lost(tmp_path, retries=0)
    assert lost.judged(lost.cells) == {}
