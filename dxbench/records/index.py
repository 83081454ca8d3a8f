"""All records of some folders at once.

Few records are read as they are. Of many, an index is kept under `paths.cache()`, which knows each file's size, times
and inode, is brought up to date whenever it is opened, and may be deleted at any time.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from stat import S_ISDIR
from typing import NamedTuple, Protocol

from dxbench import paths
from dxbench.api import ResultRecord
from dxbench.errors import InvalidFile, unknown
from dxbench.plain import counted
from dxbench.records.entries import YOURS, Entry
from dxbench.records.files import Unreadable, read_record

INDEXED_FROM = 2_000
"""Files from which an index pays: below, reading them takes less than half a second."""


class RecordFile(NamedTuple):
    """A file where a record should be, as its folder lists it; <task>/<method>/<run>.json is its name."""

    name: str
    mtime_ns: int
    ctime_ns: int
    size: int
    inode: int

    @property
    def task(self) -> str:
        return self.name.partition("/")[0]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Files of a folder, task by task in the order of their names, and what could not be looked at."""

    files: list[RecordFile] = field(default_factory=list)
    problems: list[Unreadable] = field(default_factory=list)


class FolderRecords(Protocol):
    """The records of one folder, however they are kept."""

    @property
    def tasks(self) -> Sequence[str]: ...

    @property
    def problems(self) -> Sequence[Unreadable]: ...

    def entries(self, task: str) -> Sequence[Entry]: ...


class ReadFolder:
    """Records of a folder, every file read."""

    def __init__(self, folder: Path, listing: Listing) -> None:
        self.problems = list(listing.problems)
        self._entries: dict[str, list[Entry]] = defaultdict(list)
        for file in listing.files:
            found = read_entry(folder, file.name)
            if isinstance(found, Unreadable):
                self.problems.append(found)
            else:
                self._entries[found.task].append(found)

    @property
    def tasks(self) -> list[str]:
        """Names of tasks with a record."""
        return sorted(self._entries)

    def entries(self, task: str) -> Sequence[Entry]:
        """Entries of a task in the order of their names."""
        return self._entries.get(task, ())


class RecordIndex:
    """Entries of the records in some folders, each with the folder it is from.

    Attributes:
        problems: files that are no records of ours, or lie where they do not belong.
    """

    def __init__(self, folders: Sequence[FolderRecords], origins: Sequence[str]) -> None:
        """`origins` are as `Entry.origin`, of each folder."""
        self._folders, self._origins = folders, origins
        self._last: tuple[str, list[Entry]] = ("", [])
        self.problems = tuple(problem for folder in folders for problem in folder.problems)

    @property
    def tasks(self) -> list[str]:
        """Names of tasks with a record."""
        return sorted({task for folder in self._folders for task in folder.tasks})

    def refuse_problems(self) -> None:
        """Raise InvalidFile, naming every file that is no record, if there is one."""
        if self.problems:
            listing = "\n".join(f"  {problem.path}: {problem.reason}" for problem in self.problems)
            raise InvalidFile(
                f"not to be believed among the records: {counted(len(self.problems), 'file')}:\n{listing}"
            )

    def entries(self, task: str) -> list[Entry]:
        """Entries of a task, folder by folder in the order of their names; none for a task without records.

        A run that was measured again in another folder has an entry from either; a mere copy counts once.
        """
        # Boards ask for one task several times over, and then for the next.
        if self._last[0] != task:
            first: dict[tuple[str, str], Entry] = {}
            found = []
            for folder, origin in zip(self._folders, self._origins, strict=True):
                for entry in folder.entries(task):
                    known = first.setdefault((entry.method, entry.run_id), entry)
                    if known is entry or replace(entry, path=known.path) != known:
                        found.append(replace(entry, origin=origin) if origin else entry)
            self._last = (task, found)
        return list(self._last[1])


def entries_named(index: RecordIndex, name: str) -> list[Entry]:
    """A run by its id, or all runs of a configuration by its ten digits.

    Raises:
        UsageError: if there is none.
    """
    entries = [entry for task in index.tasks for entry in index.entries(task)]
    chosen = [entry for entry in entries if name in (entry.run_id, entry.config_id)]
    if not chosen:
        known = {entry.run_id for entry in entries}
        raise unknown("run or configuration", name, known, remedy="See `dxbench table --task TASK --format json`.")
    return chosen


def open_index(folders: Sequence[Path], *, task: str | None = None) -> RecordIndex:
    """All records of folders, each folder once; with `task`, no more than that task's need be read.

    Rows of the first folder go by their names alone; others say where they are from, those of `paths.results()` that
    they are yours.
    """
    own = paths.results().resolve()
    chosen: dict[Path, Path] = {}
    for folder in folders:
        chosen.setdefault(folder.resolve(), folder)
    origins = ["" if n == 0 else YOURS if real == own else str(name) for n, (real, name) in enumerate(chosen.items())]
    return RecordIndex([_open_folder(folder, task) for folder in chosen.values()], origins)


def _open_folder(folder: Path, task: str | None) -> FolderRecords:
    listing = list_records(folder, task=task)
    if len(listing.files) < INDEXED_FROM:
        return ReadFolder(folder, listing)
    from dxbench.records.index_file import IndexedFolder

    return IndexedFolder(folder, listing)


def list_records(folder: Path, *, task: str | None = None) -> Listing:
    """<task>/<method>/<run>.json of a results folder."""
    found = Listing()
    for of_task in task_folders(folder, found) if task is None else [task]:
        for of_method in _folders(folder / of_task, found):
            _list_runs(folder, f"{of_task}/{of_method}", found)
    return found


def task_folders(folder: Path, found: Listing | None = None) -> list[str]:
    """Names of tasks that have a folder; what could not be looked at goes to the problems of `found`."""
    return [name for name in _folders(folder, found or Listing()) if name not in paths.BESIDE_TASKS]


def _folders(folder: Path, found: Listing) -> list[str]:
    return [name for name, at in _looked_at(str(folder), found) if S_ISDIR(at.st_mode)]


def _list_runs(folder: Path, place: str, found: Listing) -> None:
    found.files.extend(
        RecordFile(f"{place}/{name}", at.st_mtime_ns, at.st_ctime_ns, at.st_size, at.st_ino)
        for name, at in _looked_at(f"{folder}/{place}", found, ending=".json")
    )


def _looked_at(folder: str, found: Listing, *, ending: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Names in a folder with what lies there, through links; none where there is no folder.

    What cannot be looked at is a problem, unless it was removed meanwhile.
    """
    try:
        for name in sorted(os.listdir(folder)):  # noqa: PTH208 - a Path costs as much as the call
            if name.endswith(ending) and name[0] != ".":
                path = f"{folder}/{name}"
                try:
                    yield name, os.stat(path)  # noqa: PTH116
                except OSError as error:
                    _note(path, error, found)
    except OSError as error:
        _note(folder, error, found)


def _note(path: str, error: OSError, found: Listing) -> None:
    if not isinstance(error, FileNotFoundError) or os.path.islink(path):  # noqa: PTH114
        found.problems.append(Unreadable(path=Path(path), reason=f"not readable ({error.strerror})"))


def read_entry(folder: Path, name: str) -> Entry | Unreadable:
    """The entry of one file."""
    found = read_placed(folder, name)
    return found if isinstance(found, Unreadable) else Entry.of(found, f"{folder}/{name}")


def read_placed(folder: Path, name: str) -> ResultRecord | Unreadable:
    """The record of one file. One that lies where it does not belong is refused: it could count twice."""
    path = f"{folder}/{name}"
    found = read_record(path)
    if isinstance(found, Unreadable):
        return found
    where = f"{found.task}/{found.method}/{found.run_id}.json"
    if where != name:
        return Unreadable(path=Path(path), reason=f"run {found.run_id} belongs in {where}; a copy would count twice")
    return found
