"""The index of one folder of records as a parquet file."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from hashlib import sha256
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import JsonValue, TypeAdapter

from dxbench import paths
from dxbench.api import Estimate
from dxbench.boards.entries import Entry
from dxbench.boards.index import RecordFile, read_entry
from dxbench.records import Unreadable, atomic_file

_TEXT, _WORD, _INTEGER = pa.string(), pa.dictionary(pa.int32(), pa.string()), pa.int64()
_FILE = {"name": _TEXT, "mtime_ns": _INTEGER, "size": _INTEGER, "problem": _TEXT}
_PLAIN = {
    "run_id": _TEXT,
    "task": _WORD,
    "task_version": _INTEGER,
    "method": _WORD,
    "method_version": _INTEGER,
    "family": _WORD,
    "reference": pa.bool_(),
    "selected_on_test": pa.bool_(),
    "preset": _WORD,
    "config_id": _WORD,
    "seed": _INTEGER,
    "status": _WORD,
    "failure": _WORD,
    "nfe": pa.float64(),
    "dirty": pa.bool_(),
    "created": _TEXT,
    "train_seconds": pa.float64(),
    "eval_seconds": pa.float64(),
    "parameters": _INTEGER,
    "sampling_flops": _INTEGER,
    "peak_memory_bytes": _INTEGER,
    "device": _WORD,
}
_JSON: dict[str, tuple[pa.DataType, TypeAdapter[Any]]] = {
    "overrides": (_WORD, TypeAdapter(dict[str, JsonValue])),
    "config": (_WORD, TypeAdapter(dict[str, JsonValue])),
    "headline": (_WORD, TypeAdapter(tuple[str, ...])),
    "scores": (_TEXT, TypeAdapter(dict[str, Estimate])),
}
_SCHEMA = pa.schema(
    [*_FILE.items(), *_PLAIN.items(), *((name, kind) for name, (kind, _) in _JSON.items())],
    metadata={"dxbench.layout": "1"},
)
_PARALLEL_FROM = 5_000
"""Records from which starting further processes takes less time than it saves."""


class IndexFile:
    """The parquet file that stands for a folder of records, wherever it was last brought up to date."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        key = sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        self.path = paths.cache() / "records" / f"{key}.parquet"

    def up_to_date(self, files: Sequence[RecordFile]) -> "IndexedFolder":
        """The index, with what has changed since it was written read again.

        Args:
            files: all that are in the folder now, in the order of their names.
        """
        old = self._read()
        names, times, sizes = (old.column(i).to_pylist() for i in range(3))
        if (names, times, sizes) == ([f.name for f in files], [f.mtime_ns for f in files], [f.size for f in files]):
            return IndexedFolder(self.folder, old)
        listed = zip(names, times, sizes, strict=True)
        known = {RecordFile(name=n, mtime_ns=t, size=s): i for i, (n, t, s) in enumerate(listed)}
        kept = [known[file] for file in files if file in known]
        new = pa.concat_tables([old.take(pa.array(kept, _INTEGER)), self._of([f for f in files if f not in known])])
        new = new.sort_by("name").unify_dictionaries().combine_chunks()
        with atomic_file(self.path) as out:
            pq.write_table(new, out, compression="zstd")
        return IndexedFolder(self.folder, new)

    def _read(self) -> pa.Table:
        """What was written last; empty if there is nothing, or nothing of today's layout."""
        try:
            table = pq.read_table(self.path, memory_map=True)
        except (OSError, pa.ArrowException):
            return _SCHEMA.empty_table()
        return table if table.schema.equals(_SCHEMA, check_metadata=True) else _SCHEMA.empty_table()

    def _of(self, files: Sequence[RecordFile]) -> pa.Table:
        """Rows of these files, read by all cores where there are many."""
        if len(files) < _PARALLEL_FROM:
            return _rows_of(self.folder, files)
        size = -(-len(files) // (4 * (cpu_count() or 1)))
        chunks = [files[start : start + size] for start in range(0, len(files), size)]
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            return pa.concat_tables(pool.map(_rows_of, [self.folder] * len(chunks), chunks))


class IndexedFolder:
    """Rows of an index, turned into entries task by task."""

    def __init__(self, folder: Path, table: pa.Table) -> None:
        self._folder = folder
        self._table = table.filter(table["problem"].is_null())
        bad = table.filter(table["problem"].is_valid()).select(["name", "problem"]).to_pylist()
        self.problems = [Unreadable(path=folder / row["name"], reason=row["problem"]) for row in bad]
        tasks = self._table["task"].combine_chunks().to_pylist() if len(self._table) else []
        self._first = {task: index for index, task in reversed(list(enumerate(tasks)))}
        self._count = Counter(tasks)

    @property
    def tasks(self) -> list[str]:
        """Names of tasks with a record."""
        return sorted(self._first)

    def entries(self, task: str) -> list[Entry]:
        """Entries of a task in the order of their names; of names in order, those of one task lie together."""
        if task not in self._first:
            return []
        table = self._table.slice(self._first[task], self._count[task])
        columns = {name: table[name].to_pylist() for name in _PLAIN}
        for name, (_, adapter) in _JSON.items():
            decode = cache(adapter.validate_json)
            columns[name] = [decode(text) for text in table[name].to_pylist()]
        columns["path"] = [f"{self._folder}/{name}" for name in table["name"].to_pylist()]
        names = list(columns)
        return [Entry(**dict(zip(names, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def _rows_of(folder: Path, files: Sequence[RecordFile]) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names}
    for file in files:
        found = read_entry(folder, file.name)
        for name in _FILE:
            columns[name].append(getattr(file, name, None))
        if isinstance(found, Unreadable):
            columns["problem"][-1] = found.reason
        for name in _PLAIN:
            columns[name].append(getattr(found, name, None))
        for name, (_, adapter) in _JSON.items():
            columns[name].append(adapter.dump_json(getattr(found, name)) if isinstance(found, Entry) else None)
    return pa.table([pa.array(columns[field.name], field.type) for field in _SCHEMA], schema=_SCHEMA)
