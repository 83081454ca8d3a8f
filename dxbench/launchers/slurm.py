"""Cells as array jobs of SLURM. Their records and squeue tell what became of them; accounting is not needed."""

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from dxbench.api import Frozen, ResultRecord
from dxbench.engine.locks import owner_of, take
from dxbench.engine.owners import Owner
from dxbench.engine.plan import Cell
from dxbench.engine.spread import check_support
from dxbench.errors import DxbenchError, Interrupted, MachineFault
from dxbench.files.reading import read_regular
from dxbench.files.writing import append_named, write_text_atomically
from dxbench.launchers import slurm_queue
from dxbench.launchers.contract import Launch, Outcome
from dxbench.launchers.slurm_queue import QueuedTask
from dxbench.launchers.slurm_script import anew_option, chunk_seconds, job_name, script
from dxbench.plugins.registry import load_method
from dxbench.records.files import read_record, work_folder
from dxbench.sweeps.chunks import MOST_CHUNKS, chunks, selector
from dxbench.sweeps.state import done
from dxbench.sweeps.sweep import FILE_LIMIT, Sweep, chosen, read_plan

LOOKS = (1.0, 15.0)
"""Seconds between looks at the queue: at first, and at most, since a controller serves many."""
SETTLED = 5.0
"""Seconds after the end of a job in which its files may still be on their way here."""
STOPPING = 120.0
"""Seconds for which a stop is waited for; KillWait is 30 where nobody changed it."""


class Submission(Frozen):
    """A line of jobs.jsonl in a sweep's folder, written before the script is submitted, so that none is forgotten.

    Attributes:
        script: in that folder; squeue tells of jobs by it.
        chunks: what each task of the array runs, as `dxbench run --cells FILE[...]` takes it.
    """

    script: str
    chunks: tuple[str, ...]


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
        packing, anew, shown = _Packing(launch), anew_option(launch), []
        for count, group in enumerate(_groups(launch.waiting), start=1):
            waits = (
                ", once slurm-1.sh has ended" if any(cell.needs in _starts(launch.waiting) for cell in group) else ""
            )
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


def submissions(sweep: Sweep) -> list[Submission]:
    """What was submitted of a sweep, the latest last; a line that is none of ours is left out."""
    file, found = sweep.folder / "jobs.jsonl", []
    for line in read_regular(file, limit=FILE_LIMIT).splitlines() if file.is_file() else []:
        with suppress(ValidationError):
            found.append(Submission.model_validate_json(line))
    return found


def _starts(cells: Sequence[Cell]) -> set[str]:
    return {cell.run_id for cell in cells if cell.part == "start"}


def _groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Arrays to be: starts, cells that need one of them, and cells that need not wait."""
    starts = _starts(cells)
    groups = [
        [cell for cell in cells if cell.part == "start"],
        [cell for cell in cells if cell.part == "run" and cell.needs in starts],
        [cell for cell in cells if cell.part == "run" and cell.needs not in starts],
    ]
    return [group for group in groups if group]


class _Packing:
    """Packs cells into chunks as a script has them.

    Attributes:
        run_ids: of all cells of the plan, in its order.
    """

    def __init__(self, launch: Launch) -> None:
        sweep = launch.sweep
        self.run_ids = [cell.run_id for cell in (read_plan(sweep.file) if sweep.file.is_file() else sweep.cells)]
        self._numbers = {run_id: number for number, run_id in enumerate(self.run_ids)}
        self._seconds = launch.seconds
        self._least = chunk_seconds(launch.settings.own.get("slurm", {}))
        self._most = min(MOST_CHUNKS, slurm_queue.largest_array() or MOST_CHUNKS)

    def __call__(self, cells: Sequence[Cell]) -> list[str]:
        packed = chunks([cell.run_id for cell in cells], self._seconds, least=self._least, most=self._most)
        return [selector(sorted(self._numbers[run_id] for run_id in chunk)) for chunk in packed]


class _Watch:
    """A launch as it goes on.

    Attributes:
        open: the cells without an outcome, by run id.
    """

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.open = {cell.run_id: cell for cell in launch.waiting}
        self._folder = launch.sweep.folder.resolve()
        self._packing = _Packing(launch)
        self._anew = anew_option(launch)
        self._seen: dict[str, tuple[int, int]] = {}
        before = {} if launch.again else done(launch.waiting, launch.options)
        self._changed(cell for cell in launch.waiting if cell.run_id not in before)  # such records are no news
        self._deaths: Counter[str] = Counter()
        self._missed: dict[str, float] = {}
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
            for group in _groups(missing):
                # A cell that died goes alone, so that it takes no other with it.
                for together in (
                    [cell for cell in group if not self._deaths[cell.run_id]],
                    *([cell] for cell in group if self._deaths[cell.run_id]),
                ):
                    if together:
                        after = {jobs[cell.needs] for cell in together if cell.needs in jobs}
                        job = self._submit_array(self._packing(together), after)
                        jobs |= dict.fromkeys((cell.run_id for cell in together), job)
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
        pause = LOOKS[0]
        while self.open:
            if self.launch.stop_requested():
                yield from self._stop()
                return
            begun = time.monotonic()
            tasks = self._tasks()  # before the records: what has left the queue has written its own
            took = time.monotonic() - begun
            ended = list(self._ended())
            yield from ended
            if tasks is not None:
                live = self._live(tasks)
                self._say_what_holds(live)
                yield from self._judge(tasks, live)
            pause = LOOKS[0] if ended else min(1.5 * pause, LOOKS[1])
            self._sleep(max(pause, 10 * took))

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.open and not self.launch.stop_requested():
            time.sleep(0.1)

    def _tasks(self) -> list[QueuedTask] | None:
        """Of this sweep in this folder."""
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
        """Of cells that have a new record, or a start that is trained."""
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

    # --- what was lost ---------------------------------------------------------------------------------------

    def _judge(self, tasks: Sequence[QueuedTask], live: Mapping[str, QueuedTask]) -> Iterator[Outcome]:
        """Submit cells again that have neither a record nor a live job, or give them up."""
        ended = {(task.script.name, task.index): task for task in tasks if task.ended}
        for name, index, chunk in self._last_chunks(self._lost(live)):
            task = ended.get((name, index))
            for run_id, charged in self._charges(name, chunk).items():
                cell = self.open[run_id]
                if task is not None and task.state == "CANCELLED":
                    error = Interrupted(f"SLURM job {task.job}_{index} was cancelled; the same command goes on")
                    yield self._close(Outcome(cell=cell, error=error))
                elif charged and self._deaths[run_id] >= self.launch.settings.retries:
                    yield self._close(Outcome(cell=cell, error=self._fault(cell, name, index, task)))
                else:
                    self._deaths[run_id] += charged
                    self._again[run_id] = cell
        if self._again and self.submit(list(self._again.values())):
            self._again.clear()

    def _lost(self, live: Mapping[str, QueuedTask]) -> set[str]:
        """Cells that have been in no live job for some seconds, nor has anybody else been at them."""
        now = time.monotonic()
        missed = [run_id for run_id in self.open if run_id not in live and run_id not in self._again]
        self._missed = {run_id: self._missed.get(run_id, now) for run_id in missed}
        settled = [run_id for run_id, since in self._missed.items() if now - since >= SETTLED]
        return {run_id for run_id in settled if not self._worked_at(self.open[run_id])}

    def _last_chunks(self, lost: set[str]) -> list[tuple[str, int, list[str]]]:
        """The chunks that lost cells were in at last: script, number of the task, run ids."""
        last: dict[str, tuple[str, int, list[str]]] = {}
        for one in submissions(self.launch.sweep):
            for index, which in enumerate(one.chunks):
                chunk = chosen(self._packing.run_ids, which)
                last |= dict.fromkeys(lost.intersection(chunk), (one.script, index, chunk))
        return list({(name, index): (name, index, chunk) for name, index, chunk in last.values()}.values())

    def _charges(self, name: str, chunk: Sequence[str]) -> dict[str, bool]:
        """Of each cell of a chunk that is open: whether that it is lost counts against its retries.

        It does not if the run was interrupted and had come further, nor if the chunk did not get as far as to it.
        """
        since = (self._folder / name).stat().st_mtime
        reached = [run_id not in self.open or self._begun(self.open[run_id], since) for run_id in chunk]
        last = max((number for number, was in enumerate(reached) if was), default=len(chunk))
        return {
            run_id: number <= last and not self._came_further(self.open[run_id], since)
            for number, run_id in enumerate(chunk)
            if run_id in self.open
        }

    def _work(self, cell: Cell) -> Path:
        return work_folder(self.launch.options.home, task=cell.task, method=cell.method, run_id=cell.run_id)

    def _owner(self, cell: Cell) -> Owner | None:
        """Who is at a cell, or was and left it unfinished."""
        try:
            return owner_of(self._work(cell) / "lock")
        except DxbenchError:  # the run itself will say so
            return None

    def _worked_at(self, cell: Cell) -> bool:
        """Somebody runs it outside of the jobs of the sweep, and is waited for."""
        owner = self._owner(cell)
        return owner is not None and owner.standing == "running"

    def _begun(self, cell: Cell, since: float) -> bool:
        owner = self._owner(cell)
        return owner is not None and owner.beaten > since

    def _came_further(self, cell: Cell, since: float) -> bool:
        """Interrupted, with more done than when it was submitted: it may go on for as long as that is so."""
        owner, checkpoint = self._owner(cell), self._work(cell) / "checkpoint.safetensors"
        interrupted = owner is not None and owner.state == "interrupted"
        return interrupted and checkpoint.is_file() and checkpoint.stat().st_mtime > since

    def _fault(self, cell: Cell, name: str, index: int, task: QueuedTask | None) -> MachineFault:
        log = self._folder / "logs" / f"{name.removesuffix('.sh')}_{index}.log"
        state = f" ({task.state} in SLURM)" if task is not None else ""
        times = self._deaths[cell.run_id] + 1
        return MachineFault(
            f"{cell.method} on {cell.task}, seed {cell.seed}, ended {times} times without a record{state}; "
            f"{log} says how{_tail(log)}"
        )

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


def _tail(log: Path) -> str:
    """The last line of a log, for an error."""
    with suppress(OSError):
        lines = log.read_bytes()[-2000:].decode(errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""
    return ""
