"""Cells as array jobs of SLURM. Their records and squeue tell what became of them; accounting is not needed."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from dxbench.api import ResultRecord
from dxbench.engine.locks import take
from dxbench.engine.plan import Cell
from dxbench.engine.spread import check_support
from dxbench.files.writing import append_named, write_text_atomically
from dxbench.launchers import slurm_queue
from dxbench.launchers.contract import Launch, Outcome
from dxbench.launchers.slurm_arrays import Packing, Submission, groups, starts_of, submissions
from dxbench.launchers.slurm_losses import Losses
from dxbench.launchers.slurm_queue import QueuedTask
from dxbench.launchers.slurm_script import anew_option, chunk_seconds, job_name, script
from dxbench.plugins.registry import load_method
from dxbench.records.files import read_record
from dxbench.sweeps.state import done
from dxbench.sweeps.sweep import Sweep, chosen

LOOKS = (1.0, 15.0)
"""Seconds between looks at the queue: after something has moved, and at most, since a controller serves many."""
STOPPING = 120.0
"""Seconds for which a stop is waited for; KillWait is 30 where nobody changed it."""


class SlurmLauncher:
    """Arrays of jobs, in which each task runs a chunk of cells."""

    def check(self, launch: Launch) -> None:
        """Refuse what SLURM would refuse, and what contradicts itself; raises UsageError."""
        own, spread = launch.settings.own.get("slurm", {}), launch.options.spread
        methods = {cell.method: load_method(cell.method_ref) for cell in launch.waiting}
        check_support(methods.values(), replace(spread, machines=launch.settings.nodes))
        text = script(launch, ["0"], name="check")
        chunk_seconds(own)
        slurm_queue.require_slurm(own.get("partition"))
        slurm_queue.require_acceptable(text)

    def preview(self, launch: Launch) -> str:
        """The scripts, in the order in which they would be submitted."""
        packing, anew, starts = Packing(launch), anew_option(launch), starts_of(launch.waiting)
        shown = []
        for count, group in enumerate(groups(launch.waiting), start=1):
            waits = ", once slurm-1.sh has ended" if any(cell.needs in starts for cell in group) else ""
            text = script(launch, packing(group), name=f"slurm-{count}", anew=anew)
            shown.append(f"slurm-{count}.sh{waits}:\n{text}")
        return "\n".join(shown)

    def run(self, launch: Launch) -> Iterator[Outcome]:
        """Submit what is in no live job, and watch until each cell has a record; raises UsageError, MachineFault."""
        watch = _Watch(launch)
        while not watch.submit(list(watch.open.values())):  # another launcher is at it
            if launch.stop_requested():
                return
            time.sleep(LOOKS[0])
        if not launch.settings.detach:
            yield from watch.to_the_end()

    def cancel(self, sweep: Sweep) -> str:
        """Cancel all jobs of a sweep."""
        if (jobs := _live_jobs(sweep)) is None:
            return f"SLURM does not answer here; `scancel --me --name={job_name(sweep.id)}` cancels its jobs elsewhere"
        if not jobs:
            return ""
        slurm_queue.cancel(jobs)
        return f"cancelled in SLURM: job {', '.join(sorted(jobs))}"


def _live_jobs(sweep: Sweep) -> set[str] | None:
    tasks = slurm_queue.queued(job_name(sweep.id))
    folder = sweep.folder.resolve()
    return None if tasks is None else {task.job for task in tasks if task.script.parent == folder and not task.ended}


class _Watch:
    """A launch as it goes on.

    Attributes:
        open: the cells without an outcome, by run id.
    """

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.open = {cell.run_id: cell for cell in launch.waiting}
        self._folder = launch.sweep.folder.resolve()
        self._packing = Packing(launch)
        self._anew = anew_option(launch)
        self._seen: dict[str, tuple[int, int]] = {}
        before = {} if launch.again else done(launch.waiting, launch.options)
        self._changed(cell for cell in launch.waiting if cell.run_id not in before)  # such records are no news
        self._losses = Losses(launch, self._packing.run_ids)
        self._again: dict[str, Cell] = {}
        self._said: set[tuple[str, int, str]] = set()
        self._own: set[str] = set()

    # --- submitting ------------------------------------------------------------------------------------------

    def submit(self, cells: Sequence[Cell]) -> bool:
        """Submit those cells that are in no live job; False where that cannot be told now."""
        folder = self.launch.sweep.folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "logs").mkdir(exist_ok=True)
        if (lock := take(folder / "submitting")) is None:
            return False
        try:
            if (tasks := self._tasks()) is None:
                return False
            live = self._live(tasks)
            missing = [cell for cell in cells if cell.run_id not in live]
            jobs = {run_id: task.job for run_id, task in live.items()}
            for group in groups(missing):
                after = {jobs[cell.needs] for cell in group if cell.needs in jobs}
                job = self._submit_array(self._packing(group, alone=self._losses.deaths), after)
                jobs |= dict.fromkeys((cell.run_id for cell in group), job)
        finally:
            lock.release()
        if self._anew == "--fresh":  # the cells of later submissions have begun
            self._anew = ""
        return True

    def _submit_array(self, packed: Sequence[str], after: set[str]) -> str:
        name = f"slurm-{len(submissions(self.launch.sweep)) + 1}"
        path = self._folder / f"{name}.sh"
        write_text_atomically(path, script(self.launch, packed, name=name, anew=self._anew))
        line = Submission(script=path.name, chunks=tuple(packed)).model_dump_json()
        append_named(self._folder / "jobs.jsonl", f"{line}\n")

        def there() -> str | None:
            return next((task.job for task in self._tasks() or () if task.script == path), None)

        job = slurm_queue.submit(path, after=after, there=there)
        self._own.add(job)
        return job

    # --- watching --------------------------------------------------------------------------------------------

    def to_the_end(self) -> Iterator[Outcome]:
        """Outcomes as they come; what is lost is submitted again."""
        due, pause, before = 0.0, LOOKS[0], set[str]()
        while self.open:
            if self.launch.stop_requested():
                yield from self._stop()
                return
            begun = time.monotonic()
            yield from list(self._ended())
            looked = time.monotonic()
            if looked >= due and (tasks := self._tasks()) is not None:
                live = self._live(tasks)
                self._say_what_holds(live)
                yield from self._look_after(tasks, live)
                pause = min(1.5 * pause, LOOKS[1]) if live.keys() == before else LOOKS[0]
                before = set(live)
            if looked >= due:
                due = time.monotonic() + max(pause, 10 * (time.monotonic() - looked))
            self._sleep(max(LOOKS[0], 10 * (looked - begun)))

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.open and not self.launch.stop_requested():
            time.sleep(0.1)

    def _tasks(self) -> list[QueuedTask] | None:
        """The tasks of this sweep in this folder."""
        tasks = slurm_queue.queued(job_name(self.launch.sweep.id))
        return None if tasks is None else [task for task in tasks if task.script.parent == self._folder]

    def _live(self, tasks: Sequence[QueuedTask]) -> dict[str, QueuedTask]:
        """The tasks that have a cell before them, by run id."""
        packed = {one.script: one.chunks for one in submissions(self.launch.sweep)}
        return {
            run_id: task
            for task in tasks
            if not task.ended and task.index < len(packed.get(task.script.name, ()))
            for run_id in chosen(self._packing.run_ids, packed[task.script.name][task.index])
        }

    def _record_file(self, cell: Cell) -> Path:
        options = self.launch.options
        return options.results / cell.task / cell.method / f"{cell.run_id}.json"

    def _changed(self, cells: Iterable[Cell]) -> list[Cell]:
        """Those of some cells whose record has come, or was replaced, since this was asked before."""
        found, names = [], {}
        for cell in cells:
            file = self._record_file(cell)
            if file.parent not in names:  # a list of a folder is one request, and a look at a file each
                names[file.parent] = set(os.listdir(file.parent)) if file.parent.is_dir() else set()  # noqa: PTH208
            if file.name in names[file.parent]:
                with suppress(FileNotFoundError):
                    seen = file.stat()
                    if self._seen.get(cell.run_id) != (seen.st_ino, seen.st_mtime_ns):
                        self._seen[cell.run_id] = (seen.st_ino, seen.st_mtime_ns)
                        found.append(cell)
        return found

    def _ended(self) -> Iterator[Outcome]:
        """The ended cells: those with a new record, or a start that is trained."""
        cells = list(self.open.values())
        trained = done([cell for cell in cells if cell.part == "start"], self.launch.options)
        for cell in cells:
            if cell.run_id in trained:
                yield self._ended_with(cell, None)
        for cell in self._changed(cell for cell in cells if cell.part == "run"):
            if isinstance(record := read_record(self._record_file(cell)), ResultRecord):
                yield self._ended_with(cell, record)

    def _ended_with(self, cell: Cell, record: ResultRecord | None) -> Outcome:
        self.launch.listener.ended(cell, record)
        return self._close(Outcome(cell=cell, record=record))

    def _close(self, outcome: Outcome) -> Outcome:
        del self.open[outcome.cell.run_id]
        self._again.pop(outcome.cell.run_id, None)
        return outcome

    def _say_what_holds(self, live: Mapping[str, QueuedTask]) -> None:
        """Tell once why a job waits that had begun, or that somebody has to let go."""
        for run_id, task in live.items():
            if task.state != "PENDING" or run_id not in self.open:
                continue
            said = (task.job, task.index, task.start)
            with suppress(ValueError):
                if task.reason == "BeginTime" and said not in self._said:
                    until = datetime.fromisoformat(task.start)
                    self.launch.listener.warned(self.open[run_id], f"held by SLURM until {until:%H:%M}")
                    self._said.add(said)
            if "held" in task.reason.lower() and said not in self._said:
                told = f"held by SLURM ({task.reason}); `scontrol release {task.job}_{task.index}` lets it go"
                self.launch.listener.warned(self.open[run_id], told)
                self._said.add(said)

    def _look_after(self, tasks: Sequence[QueuedTask], live: Mapping[str, QueuedTask]) -> Iterator[Outcome]:
        """Submit lost cells again, or give them up."""
        elsewhere = live.keys() | self._again.keys()
        for loss in self._losses.among([cell for cell in self.open.values() if cell.run_id not in elsewhere], tasks):
            if loss.error is None:
                self._again[loss.cell.run_id] = loss.cell
            else:
                yield self._close(Outcome(cell=loss.cell, error=loss.error))
        if self._again and self.submit(list(self._again.values())):
            self._again.clear()

    # --- stopping --------------------------------------------------------------------------------------------

    def _stop(self) -> Iterator[Outcome]:
        """Cancel what was submitted here, and wait until it has saved its state."""
        live = {task.job for task in self._tasks() or () if not task.ended}
        if self._own & live:
            slurm_queue.cancel(self._own & live)
        deadline = time.monotonic() + STOPPING
        while time.monotonic() < deadline and self.open:
            tasks = self._tasks()
            yield from list(self._ended())
            if tasks is not None and not any(task.job in self._own and not task.ended for task in tasks):
                break
            time.sleep(LOOKS[0])
