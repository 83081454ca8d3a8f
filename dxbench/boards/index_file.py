"""The index of one folder of records as a parquet file."""

import gc
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from hashlib import sha256
from itertools import accumulate
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
from dxbench.files import atomic_file
from dxbench.records import Unreadable

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
    "precision": _WORD,
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
    "training_flops": _INTEGER,
    "training_passes": _INTEGER,
    "training_seconds": pa.float64(),
}
_JSON: dict[str, tuple[pa.DataType, TypeAdapter[Any]]] = {
    "overrides": (_WORD, TypeAdapter(dict[str, JsonValue])),
    "config": (_WORD, TypeAdapter(dict[str, JsonValue])),
    "headline": (_WORD, TypeAdapter(tuple[str, ...])),
    "on_trust": (_WORD, TypeAdapter(tuple[str, ...])),
    "scores": (_TEXT, TypeAdapter(dict[str, Estimate])),
}
_SCHEMA = pa.schema(
    [*_FILE.items(), *_PLAIN.items(), *((name, kind) for name, (kind, _) in _JSON.items())],
    metadata={"dxbench.layout": "4"},
)
_PARALLEL_FROM = 5_000
"""Records from which starting further processes takes less time than it saves."""
_GROUP = 4_096
"""Rows that are read together."""


class IndexFile:
    """The parquet file that stands for a folder of records, rows in the order of their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        key = sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        self.path = paths.cache() / "records" / f"{key}.parquet"

    def up_to_date(self, files: Sequence[RecordFile]) -> "IndexedFolder":
        """The index, with what has changed since it was written read again.

        Args:
            files: all that are in the folder now, in the order of their names.
        """
        stored = self._stored()
        known = _listed(stored) if stored else []
        if stored is None or known != list(files):
            self._write(self._refreshed(files, known, stored.read() if stored else _SCHEMA.empty_table()))
            stored = self._stored()
        assert stored is not None
        return IndexedFolder(self.folder, stored, files)

    def of_task(self, task: str, files: Sequence[RecordFile]) -> "IndexedFolder | None":
        """The index as it was written last, if it is up to date as far as the files of this task go."""
        stored = self._stored()
        known = _listed(stored) if stored else []
        if stored is None or [file for file in known if file.task == task] != list(files):
            return None
        return IndexedFolder(self.folder, stored, known, only=task)

    def _stored(self) -> pq.ParquetFile | None:
        """What was written last; None if there is nothing, or nothing of today's layout."""
        try:
            stored = pq.ParquetFile(self.path)
        except (OSError, pa.ArrowException):
            return None
        return stored if stored.schema_arrow.equals(_SCHEMA, check_metadata=True) else None

    def _refreshed(self, files: Sequence[RecordFile], known: Sequence[RecordFile], old: pa.Table) -> pa.Table:
        row = {file: index for index, file in enumerate(known)}
        kept = [row[file] for file in files if file in row]
        changed = [file for file in files if file not in row]
        table = pa.concat_tables([old.take(pa.array(kept, _INTEGER)), *self._read(changed)]).unify_dictionaries()
        # In the order of the folder, which is not that of the whole names: "a-b/c" < "a/c", and yet a < a-b.
        place = {name: index for index, name in enumerate(table["name"].to_pylist())}
        order = [place[file.name] for file in files]
        return table if order == list(range(len(files))) else table.take(pa.array(order, _INTEGER))

    def _read(self, files: Sequence[RecordFile]) -> list[pa.Table]:
        """Rows of these files, read by all cores where there are many."""
        if len(files) < _PARALLEL_FROM:
            return [_rows_of(self.folder, files)]
        size = -(-len(files) // (4 * (cpu_count() or 1)))
        chunks = [files[start : start + size] for start in range(0, len(files), size)]
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            return list(pool.map(_rows_alone, [self.folder] * len(chunks), chunks))

    def _write(self, table: pa.Table) -> None:
        with atomic_file(self.path) as out:
            pq.write_table(table, out, compression="zstd", row_group_size=_GROUP)


def _listed(stored: pq.ParquetFile) -> list[RecordFile]:
    columns = stored.read(columns=["name", "mtime_ns", "size"]).to_pydict()
    return list(map(RecordFile, columns["name"], columns["mtime_ns"], columns["size"]))


class IndexedFolder:
    """Rows of an index, turned into entries task by task. The open file stays as it is if the index is replaced."""

    def __init__(
        self, folder: Path, stored: pq.ParquetFile, files: Sequence[RecordFile], *, only: str | None = None
    ) -> None:
        """
        Args:
            only: the one task that may be asked for.
        """
        self._folder, self._stored = folder, stored
        self._count = Counter(file.task for file in files)
        before = accumulate(self._count.values(), initial=0)
        self._first = dict(zip(self._count, before, strict=False))
        reasons = stored.read(columns=["problem"])["problem"].to_pylist()
        bad = [(file, reason) for file, reason in zip(files, reasons, strict=True) if reason is not None]
        bad = [(file, reason) for file, reason in bad if only in (None, file.task)]
        self.problems = [Unreadable(path=folder / file.name, reason=reason) for file, reason in bad]
        sound = Counter(self._count)
        sound.subtract(file.task for file, _ in bad)
        self.tasks = sorted(task for task, count in sound.items() if count and only in (None, task))

    def entries(self, task: str) -> list[Entry]:
        """Entries of a task in the order of their names."""
        if task not in self.tasks:
            return []
        first, end = self._first[task], self._first[task] + self._count[task]
        groups = range(first // _GROUP, (end - 1) // _GROUP + 1)
        table = self._stored.read_row_groups(groups).slice(first - groups.start * _GROUP, end - first)
        table = table.filter(table["problem"].is_null())
        columns = {name: table[name].to_pylist() for name in _PLAIN}
        for name, (_, adapter) in _JSON.items():
            decode = cache(adapter.validate_json)
            columns[name] = [decode(text) for text in table[name].to_pylist()]
        columns["path"] = [f"{self._folder}/{name}" for name in table["name"].to_pylist()]
        names = list(columns)
        return [Entry(**dict(zip(names, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def _rows_alone(folder: Path, files: Sequence[RecordFile]) -> pa.Table:
    """`_rows_of` in a process of its own, whose garbage collector would but walk the rows again and again."""
    gc.disable()
    return _rows_of(folder, files)


def _rows_of(folder: Path, files: Sequence[RecordFile]) -> pa.Table:
    found = [read_entry(folder, file.name) for file in files]
    columns: dict[str, list[Any]] = {
        "name": [file.name for file in files],
        "mtime_ns": [file.mtime_ns for file in files],
        "size": [file.size for file in files],
        "problem": [one.reason if isinstance(one, Unreadable) else None for one in found],
    }
    for name in _PLAIN:
        columns[name] = [getattr(one, name, None) for one in found]
    for name, (_, adapter) in _JSON.items():
        dump = adapter.serializer.to_json
        columns[name] = [dump(getattr(one, name)) if isinstance(one, Entry) else None for one in found]
    return pa.table([pa.array(columns[field.name], field.type) for field in _SCHEMA], schema=_SCHEMA)
