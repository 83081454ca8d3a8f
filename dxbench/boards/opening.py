"""Records that a user names: folders and tasks are checked, what cannot be read is named."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from stat import S_ISDIR

from dxbench import paths
from dxbench.errors import NothingMeasured, UsageError, unknown
from dxbench.plugins import registry
from dxbench.plugins.rows import RowName
from dxbench.records.index import RecordIndex, open_index, task_folders


@contextmanager
def open_records(folders: Sequence[Path] | None, *, task: str | None = None) -> Iterator[RecordIndex]:
    """The records of folders, by default the reference results and your own.

    What can be read is shown; where a file cannot, the command still ends as InvalidFile, naming it.

    Raises:
        UsageError: for a folder that is not there, or a task that neither is installed nor has a record.
        InvalidFile: at the end, if a file among the records is none.
    """
    index = open_index(check_folders(folders, task=task), task=task)
    try:
        yield index
    except NothingMeasured:
        index.refuse_problems()
        raise
    index.refuse_problems()


def check_folders(folders: Sequence[Path] | None, *, task: str | None) -> Sequence[Path]:
    """The folders that were chosen, by default the reference results and your own.

    Raises:
        UsageError: for a folder that is not there, or a task that neither is installed nor has a record.
    """
    chosen = folders or [paths.reference_results(), paths.results()]
    for folder in chosen:
        check_folder(folder)
    for folder in folders or []:
        if not folder.exists():
            raise UsageError(f"no folder {folder}; give a folder of records")
    if task is not None:
        check_task(task, chosen)
    return chosen


def check_folder(folder: Path) -> None:
    """Refuse what is there and no folder; one that is not there has no records yet.

    Raises:
        UsageError: saying how to choose another.
    """
    try:
        is_folder = S_ISDIR(folder.stat().st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"cannot look at {folder}: {error.strerror}. {paths.RESULTS_REMEDY}") from None
    if not is_folder:
        raise UsageError(f"{folder} is no folder, and records lie in one. {paths.RESULTS_REMEDY}")


def recorded_tasks(folders: Sequence[Path]) -> set[str]:
    """Tasks that have a folder of records, installed or not."""
    return {name for folder in folders for name in task_folders(folder)}


def check_task(task: str, folders: Sequence[Path]) -> None:
    """Refuse the name of a task that is not installed and has no record, with the nearest that is or has.

    Raises:
        UsageError: naming the nearest.
    """
    recorded = recorded_tasks(folders)
    if task not in recorded and task not in registry.plugins("tasks"):
        raise unknown("task", task, {*registry.plugins("tasks"), *recorded}, remedy="See `dxbench list tasks`.")


def row_name(selector: str) -> str:
    """A row as records have it: a method given as `path/to/file.py:Class`, by the name that its class says."""
    row = RowName.parse(selector)
    if not registry.in_file(row.method):
        return selector
    return str(replace(row, method=registry.load_method(row.method).name))
