"""Runs from Python: the same cells, checkpoints and records as those of the command."""

import json
import threading
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from dxbench import paths
from dxbench.api import Model, ResultRecord, Task
from dxbench.engine.attempt import RunOptions
from dxbench.engine.cell import run_cell
from dxbench.engine.listener import SILENT
from dxbench.engine.plan import Cell, measured, plan, plan_row
from dxbench.engine.stopping import AT_ONCE, StopSignals
from dxbench.engine.tracking import check_trackers
from dxbench.engine.undisturbed import undisturbed
from dxbench.errors import Interrupted, MissingData, RunFailed, UsageError
from dxbench.files.writing import check_writable
from dxbench.plugins.configure import DEFAULT_PRESET
from dxbench.plugins.registry import MethodRef, TaskRef, load_task, shadowed
from dxbench.plugins.rows import RowName
from dxbench.python.loading import load_model, named
from dxbench.python.scores import Scores, html_table, shown
from dxbench.records.files import record_path, work_folder
from dxbench.terminal.console import console
from dxbench.terminal.progress import listener_for

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A run that came to scores.

    Attributes:
        record: all that is known of it.
        task: the task it was scored by.
        method: the method, as it was given.
        home, results: where the work of runs and their records lie.
    """

    record: ResultRecord
    task: Task
    method: MethodRef
    home: Path
    results: Path

    @property
    def scores(self) -> Scores:
        """Its numbers by name of metric."""
        return Scores.of(self.record, n=self.task.num_samples or None)

    @property
    def folder(self) -> Path:
        """The folder of its checkpoint, arrays and report."""
        record = self.record
        return work_folder(self.home, task=record.task, method=record.method, run_id=record.run_id)

    @cached_property
    def model(self) -> Model:
        """The trained model, read when first asked for; raises as `load_model`."""
        return load_model(self.record, task=self.task, method=self.method, home=self.home)

    @cached_property
    def samples(self) -> "np.ndarray":
        """The samples that were scored, [n, *event].

        Raises:
            MissingData: if the method draws none, or the run's folder is gone.
        """
        if self.record.samples_sha256 is None:
            raise MissingData(f"{named(self.record)}: the method draws no samples")
        return _arrays(self)["samples"]

    @cached_property
    def report(self) -> Path:
        """The path of its report, one HTML file, which is written when first asked for.

        Raises:
            MissingData: if the run's folder is gone.
        """
        from dxbench.boards.report import write_report
        from dxbench.boards.tables import result_beside_published
        from dxbench.records.entries import Entry
        from dxbench.records.index import open_index

        _arrays(self)
        index = open_index([paths.reference_results(), self.results], task=self.record.task)
        entry = Entry.of(self.record, str(record_path(self.results, self.record)))
        table = result_beside_published(index, [entry])
        with undisturbed():
            return write_report(self.record, self.folder, task=self.task, table=table).resolve()

    def __repr__(self) -> str:
        return f"Run({named(self.record)}: {self.scores!r})"

    def _repr_html_(self) -> str:
        cost = self.record.cost
        rows = [(name, shown(estimate)) for name, estimate in self.record.scores.items()]
        if self.record.nfe is not None:
            rows.append(("NFE", f"{self.record.nfe:g}"))
        if cost is not None:
            rows.append(("seconds", f"{cost.train_seconds + cost.eval_seconds:.0f}"))
        return html_table((named(self.record), self.record.status), rows)


def _arrays(run: Run) -> "dict[str, np.ndarray]":
    """Read what the run keeps for pictures.

    Raises:
        MissingData: saying what to do.
    """
    from dxbench.readers import load_arrays

    path = run.folder / "arrays.npz"
    if not path.is_file():
        raise MissingData(
            f"what {named(run.record)} kept is not in {path}; set DXBENCH_HOME to the folder of its runs, or "
            "run it again with again=True"
        )
    return load_arrays(path)


def run(
    task: TaskRef,
    method: MethodRef,
    *,
    seed: int = 0,
    preset: str | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    again: bool = False,
    timeout: float | None = None,
    progress: bool = True,
    track: Sequence[str] = (),
    **settings: Any,
) -> Run:
    """Train and score a method on a task, as `dxbench run` does: the same numbers, checkpoints and records.

    A run that was stopped goes on where it was; one that is done is read, not run again. Ctrl-C, or the stop button of
    a notebook, saves the state first.

    >>> import dxbench
    >>> run = dxbench.run("gaussians8", "dxmi", preset="quick", iterations=20, progress=False)
    >>> run.record.status
    'ok'
    >>> sorted(run.scores)[:2]
    ['energy_auc', 'energy_distance']
    >>> run.samples.shape
    (100000, 2)

    Args:
        task: by name, `path/to/file.py:Class`, class or object.
        method: likewise; or the name of a row, such as `dxmi:pretrained[tau=0.01]`.
        seed: of training and sampling.
        preset: a configuration of the method for the task, by default its `default`; see `dxbench info`.
        device: "auto", "cpu" or "cuda".
        out: a folder for the work of the run and, in its results/, its record; else DXBENCH_HOME and DXBENCH_RESULTS.
        again: measure anew what has a record.
        timeout: seconds that the run may take.
        progress: bars in a terminal and lines elsewhere, on stderr.
        track: trackers that are told of the run: "csv", "tensorboard", "wandb", "trackio".
        **settings: keys of the method's configuration, over the preset.

    Raises:
        UsageError: for a wrong name, preset, key or value, with the nearest that is right.
        MissingData: if data or weights are absent, with the command that fetches them.
        RunFailed: if it came to no score; the record says why.
        Interrupted: when it is stopped; the state is saved.
        MachineFault: where there is no room or no permission; the last checkpoint is kept.
    """
    overrides = {key: _plain(key, value) for key, value in settings.items()}
    if isinstance(method, str):
        (cell,) = plan_row(task, RowName.typed(method, preset=preset, overrides=overrides), seeds=[seed])
    else:
        (cell,) = plan(task, method, preset=preset or DEFAULT_PRESET, overrides=overrides, seeds=[seed])
    home = Path(out) if out is not None else paths.home()
    options = RunOptions(
        home=home,
        results=home / "results" if out is not None else paths.results(),
        device=device,
        timeout=timeout,
        fresh=again,
        command=_typed(cell),
        trackers=tuple(track),
    )
    check_trackers(options.trackers)
    if (warning := shadowed(task)) is not None:
        warnings.warn(warning, stacklevel=2)
    record = None if again else measured([cell], options.results).get(cell.run_id)
    if record is None:
        check_writable(options.home, remedy=paths.HOME_REMEDY)
        record = _carry_out(cell, options, progress=progress)
    if record.status not in ("ok", "partial"):
        _refuse(record, record_path(options.results, record))
    return Run(record=record, task=load_task(task), method=cell.method_ref, home=home, results=options.results)


def _carry_out(cell: Cell, options: RunOptions, *, progress: bool) -> ResultRecord:
    here = threading.current_thread() is threading.main_thread()  # no other gets signals
    told = listener_for(console(stderr=True, soft_wrap=True)) if progress else nullcontext(SILENT)
    with undisturbed(), told as listener, StopSignals() if here else nullcontext() as stop:
        try:
            asked = stop.requested if stop is not None else lambda: False
            record = run_cell(cell, options, listener=listener, stop_requested=asked)
        except KeyboardInterrupt:
            raise Interrupted(AT_ONCE) from None
    assert record is not None, "one process is the first"
    return record


def _refuse(record: ResultRecord, path: Path) -> None:
    assert record.failure is not None
    if record.failure.type == "MissingData":
        raise MissingData(record.failure.message)
    raise RunFailed(
        f"{named(record)}: {record.status} ({record.failure.phase}: {record.failure.type}: {record.failure.message}); "
        f"the record is {path}"
    )


def _plain(key: str, value: Any) -> JsonValue:
    """A value of a configuration as JSON has it; a number of NumPy's is a number.

    Raises:
        UsageError: for what is no plain value.
    """
    item = getattr(value, "item", None)
    try:
        return json.loads(json.dumps(item() if item is not None else value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{key} wants a number, a text, or a list or dict of them, got {value!r} ({error})") from None


def _typed(cell: Cell) -> str:
    """The call, for the record."""
    preset = {} if cell.preset == DEFAULT_PRESET else {"preset": cell.preset}
    keywords = {"seed": cell.seed, **preset, **cell.overrides}
    names = [
        ref if isinstance(ref, str) else name
        for ref, name in ((cell.task_ref, cell.task), (cell.method_ref, cell.method))
    ]
    return f"dxbench.run({', '.join([*map(repr, names), *(f'{key}={value!r}' for key, value in keywords.items())])})"
