"""The index of one folder of records: a file per task, of one line per record."""

import gc
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from hashlib import sha256
from itertools import chain, groupby, repeat
from multiprocessing import get_context
from pathlib import Path

from pydantic import TypeAdapter

from dxbench import paths
from dxbench.errors import InvalidFile
from dxbench.files.reading import read_regular
from dxbench.files.writing import atomic_file
from dxbench.records.entries import Entry
from dxbench.records.files import Unreadable
from dxbench.records.index import Listing, RecordFile, read_entry

_LAYOUT = b"dxbench index 6\n"
_LIMIT = 2**31
"""Bytes of an index: a million records of one task."""
_PARALLEL_FROM = 5_000
"""Records from which starting further processes takes less time than it saves."""
_CHUNK = 500


class IndexedFolder:
    """The records of a folder, of which no more is held than the files' names.

    The index of a task names every sound file by what it was, and holds the entry that was made of it. What it does not
    hold is read again, so that a lost or damaged index costs time and nothing else, as does a cache that cannot be
    written.
    """

    def __init__(self, folder: Path, listing: Listing) -> None:
        self._folder = folder
        files = {task: list(of_task) for task, of_task in groupby(listing.files, lambda file: file.task)}
        known = {task: set(self._stored(task)) for task in files}
        found = self._read([file for task, of_task in files.items() for file in of_task if file not in known[task]])
        bad = {file: one for file, one in found.items() if isinstance(one, Unreadable)}
        self.problems = [*listing.problems, *bad.values()]
        self._files = {task: sound for task in files if (sound := [file for file in files[task] if file not in bad])}
        self._unwritten: dict[str, Mapping[RecordFile, bytes]] = {}
        for task, sound in self._files.items():
            if known[task] != set(sound):
                self._write(task, {**self._stored(task), **_sound(found)})
        self.tasks = sorted(self._files)

    def entries(self, task: str) -> list[Entry]:
        """Entries of a task in the order of their names."""
        files = self._files.get(task, [])
        try:
            return self._decoded(files, self._unwritten.get(task) or self._stored(task))
        except (KeyError, ValueError):  # damaged, or replaced by another process since
            lines = _sound(self._read(files))
            self._write(task, lines)
            return self._decoded(list(lines), lines)

    def _decoded(self, files: Sequence[RecordFile], lines: Mapping[RecordFile, bytes]) -> list[Entry]:
        entries = _entries().validate_json(b"[" + b",".join([lines[file] for file in files]) + b"]")
        return [replace(entry, path=f"{self._folder}/{file.name}") for file, entry in zip(files, entries, strict=True)]

    def _read(self, files: Sequence[RecordFile]) -> dict[RecordFile, bytes | Unreadable]:
        """Lines of these files, read by all cores where there are many."""
        names = [file.name for file in files]
        if len(files) < _PARALLEL_FROM:
            return dict(zip(files, _lines(self._folder, names), strict=True))
        chunks = [names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK)]
        # Collectors would but walk what has been imported again and again.
        with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=gc.freeze) as pool:
            found = chain.from_iterable(pool.map(_lines, repeat(self._folder), chunks))
            return dict(zip(files, found, strict=True))

    def _place(self, task: str) -> Path:
        key = sha256(f"{self._folder.resolve()}\0{task}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
        return paths.cache() / "records" / f"{key}.index"

    def _stored(self, task: str) -> dict[RecordFile, bytes]:
        """A line per file that was sound; nothing where there is no index, or none that can be believed."""
        try:
            digest, _, content = read_regular(self._place(task), limit=_LIMIT).partition(b"\n")
            if digest != _digest(content):
                return {}
            files, *lines = content.split(b"\n")
            return {RecordFile(*file): line for file, line in zip(json.loads(files), lines, strict=True)}
        except (OSError, InvalidFile, ValueError, TypeError, RecursionError):
            return {}

    def _write(self, task: str, lines: Mapping[RecordFile, bytes]) -> None:
        """Keep what these lines say of the task's files; in memory where nothing can be written."""
        kept = {file: lines[file] for file in self._files[task] if file in lines}
        content = b"\n".join([json.dumps(list(kept)).encode(), *kept.values()])
        try:
            with atomic_file(self._place(task)) as out:
                out.write(_digest(content) + b"\n" + content)
        except OSError:
            self._unwritten[task] = kept


def _digest(content: bytes) -> bytes:
    return sha256(_LAYOUT + content).hexdigest().encode()


def _sound(found: Mapping[RecordFile, bytes | Unreadable]) -> dict[RecordFile, bytes]:
    return {file: line for file, line in found.items() if isinstance(line, bytes)}


@cache
def _entries() -> TypeAdapter[list[Entry]]:
    return TypeAdapter(list[Entry])


def _lines(folder: Path, names: Sequence[str]) -> list[bytes | Unreadable]:
    """The entry of each file in a line of JSON, without its path, which depends on how the folder was named."""
    found = [read_entry(folder, name) for name in names]
    entry = TypeAdapter(Entry)
    return [one if isinstance(one, Unreadable) else entry.dump_json(replace(one, path="")) for one in found]
