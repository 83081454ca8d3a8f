"""The model of a run that is on record."""

from pathlib import Path

from dxbench import paths
from dxbench.api import Model, ResultRecord
from dxbench.engine.attempt import RunOptions
from dxbench.engine.plan import Cell
from dxbench.engine.process import choose_device
from dxbench.engine.reloading import trained_model
from dxbench.engine.undisturbed import undisturbed
from dxbench.errors import InvalidFile, UsageError
from dxbench.plugins.registry import MethodRef, TaskRef, load_method, load_task
from dxbench.records.files import Unreadable, precision_of, read_record


def named(record: ResultRecord) -> str:
    """A run, for people."""
    return f"{record.method} on {record.task}, seed {record.seed}"


def load_model(
    record: ResultRecord | str | Path,
    *,
    task: TaskRef | None = None,
    method: MethodRef | None = None,
    home: str | Path | None = None,
) -> Model:
    """The model of a run, from the checkpoint in its folder.

    >>> import dxbench
    >>> run = dxbench.run("gaussians8", "dxmi", preset="quick", iterations=20, progress=False)
    >>> model = dxbench.load_model(run.record)
    >>> import torch
    >>> model.sample(torch.arange(3)).shape
    torch.Size([3, 2])

    Args:
        record: of a run, or its path.
        task: where the record's is not installed, or from a file.
        method: likewise.
        home: the folder of the run's work; default DXBENCH_HOME.

    Raises:
        MissingData: if the weights are gone, or data that the method needs are absent.
        UsageError: if the installed task or method is of another version than the record, or the record is of samples
            from outside.
        InvalidFile: if the record or the checkpoint is damaged, or does not fit the code of today.
    """
    if not isinstance(record, ResultRecord):
        found = read_record(Path(record))
        if isinstance(found, Unreadable):
            raise InvalidFile(f"{found.path}: {found.reason}")
        record = found
    if record.external is not None:
        raise UsageError(f"{named(record)} is of samples from outside, which come without a model")
    task, method = task or record.task, method or record.method
    for kind, plugin, version in (
        ("task", load_task(task), record.task_version),
        ("method", load_method(method), record.method_version),
    ):
        if plugin.version != version:
            raise UsageError(
                f"{named(record)} is of {kind} {plugin.name} version {version}, installed is version "
                f"{plugin.version}; run it again, or install what it was made with (dxbench "
                f"{record.provenance.dxbench_version}, commit {record.provenance.git_sha})"
            )
    cell = Cell(
        task_ref=task,
        method_ref=method,
        task=record.task,
        task_version=record.task_version,
        method=record.method,
        method_version=record.method_version,
        preset=record.preset,
        overrides=record.overrides,
        config=record.config,
        seed=record.seed,
        precision=precision_of(record),
    )
    folder = Path(home) if home is not None else paths.home()
    with undisturbed():
        return trained_model(cell, RunOptions(home=folder, results=folder / "results", device=_device(record)))


def _device(record: ResultRecord) -> str:
    """The run's own kind of device where it is here, else a CPU."""
    try:
        return choose_device(record.cost.device if record.cost else "cpu", auto="cpu")
    except UsageError:
        return "cpu"
