"""The index over many records: equal to reading them all, brought up to date, safe to delete."""

import errno
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Ended
from made_up_records import record

from dxbench import paths
from dxbench.api import ResultRecord
from dxbench.records import index as index_module
from dxbench.records import index_file
from dxbench.records.entries import Entry
from dxbench.records.files import read_record, stored_text, write_record
from dxbench.records.index import RecordIndex, open_index


def fill(folder: Path, count: int = 12) -> list[Path]:
    """Records over three tasks and two methods."""
    return [
        write_record(
            folder,
            record(
                i,
                float(i),
                task=("task0", "task1", "task1-b")[i % 3],
                method=f"m{i % 2}",
                overrides={"x": i, "y": [1, {"z": None}]},
                config={"x": i, "text": "ä"},
                nfe=None if i % 4 else 5.0,
            ),
        )
        for i in range(count)
    ]


def everything(index: RecordIndex) -> dict[str, list[Entry]]:
    return {task: list(index.entries(task)) for task in index.tasks}


@pytest.fixture
def indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of any size get an index."""
    monkeypatch.setattr(index_module, "INDEXED_FROM", 1)


def index_files() -> list[Path]:
    return list((paths.cache() / "records").glob("*.index"))


def test_few_records_are_read_without_an_index(tmp_path: Path) -> None:
    fill(tmp_path)
    assert open_index([tmp_path]).tasks == ["task0", "task1", "task1-b"]
    assert not index_files()


@pytest.mark.usefixtures("indexed")
def test_the_index_equals_reading_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    (tmp_path / "task0/m0/bad.json").write_text("{")
    cold, warm = open_index([tmp_path]), open_index([tmp_path])
    monkeypatch.setattr(index_module, "INDEXED_FROM", 10**9)
    read = open_index([tmp_path])
    assert everything(cold) == everything(warm) == everything(read)
    assert cold.problems == warm.problems == read.problems
    assert len(cold.problems) == 1
    assert cold.entries("task9") == []


@pytest.mark.usefixtures("indexed")
def test_what_changed_is_read_again_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = fill(tmp_path)
    open_index([tmp_path])
    read: list[str] = []
    original = index_file.read_entry

    def spy(folder: Path, name: str) -> Any:
        read.append(name)
        return original(folder, name)

    monkeypatch.setattr(index_file, "read_entry", spy)
    open_index([tmp_path])
    assert read == []
    files[3].unlink()
    changed = json.loads(files[4].read_text())
    changed["scores"]["sw2"]["value"] = 77.0
    del changed["sha256"]
    files[4].write_text(json.dumps(changed))
    new = write_record(tmp_path, record(0, 5.0, task="task9", method="m0"))
    found = everything(open_index([tmp_path]))
    assert sorted(read) == sorted(str(path.relative_to(tmp_path)) for path in (files[4], new))
    assert found["task1"][0].scores["sw2"].value == 77.0 or found["task1"][1].scores["sw2"].value == 77.0
    assert [entry.path for entry in found["task9"]] == [str(new)]
    assert str(files[3]) not in {entry.path for entries in found.values() for entry in entries}


@pytest.mark.usefixtures("indexed")
def test_a_change_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    path = fill(tmp_path)[0]
    open_index([tmp_path])
    stat = path.stat()
    made = read_record(path)
    assert isinstance(made, ResultRecord)
    other = {"sw2": made.scores["sw2"].model_copy(update={"value": 9.0})}
    path.write_text(stored_text(made.model_copy(update={"scores": other})))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size
    assert {e.path: e for e in open_index([tmp_path]).entries("task0")}[str(path)].scores["sw2"].value == 9.0


@pytest.mark.usefixtures("indexed")
def test_of_one_task_no_more_is_looked_at_and_changes_are_seen(tmp_path: Path) -> None:
    files = fill(tmp_path)
    (tmp_path / "task0/m0/bad.json").write_text("{")
    open_index([tmp_path])
    one = open_index([tmp_path], task="task1-b")
    assert one.tasks == ["task1-b"]
    assert not one.problems
    assert one.entries("task1-b") == open_index([tmp_path]).entries("task1-b")
    files[2].unlink()
    assert str(files[2]) not in {entry.path for entry in open_index([tmp_path], task="task1-b").entries("task1-b")}
    assert len(open_index([tmp_path], task="task0").problems) == 1
    assert open_index([tmp_path], task="task9").tasks == []


def forged(content: bytes) -> bytes:
    """An index whose digest is right, whatever it holds."""
    return index_file._digest(content) + b"\n" + content


DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "deleted": lambda _: None,
    "truncated": lambda data: data[:100],
    "flipped": lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
    "garbage": lambda _: b"no index",
    "other rows": lambda data: forged(data.partition(b"\n")[2].replace(b'"run_id"', b'"run"')),
    "other content": lambda _: forged(b"[[1]]\n[]"),
    "deep": lambda _: forged(b"[" * 100_000),
}


@pytest.mark.usefixtures("indexed")
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_lost_or_damaged_index_is_made_again(tmp_path: Path, damage: str) -> None:
    fill(tmp_path / "a")
    before = everything(open_index([tmp_path / "a"]))
    for path in index_files():
        data = DAMAGE[damage](path.read_bytes())
        path.unlink()
        if data is not None:
            path.write_bytes(data)
    assert everything(open_index([tmp_path / "a"])) == before
    kept = {path: path.stat().st_ino for path in index_files()}
    assert everything(open_index([tmp_path / "a"])) == before
    assert {path: path.stat().st_ino for path in index_files()} == kept


@pytest.mark.usefixtures("indexed")
@pytest.mark.parametrize("kind", ["file", "pipe", "full"])
def test_where_no_index_can_be_kept_records_are_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    files = fill(tmp_path / "a")
    if kind == "file":  # root may write anywhere, but not into a file
        (tmp_path / "cache").write_text("")
        monkeypatch.setenv("DXBENCH_CACHE", str(tmp_path / "cache"))
    elif kind == "full":
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "no space")))
    else:
        open_index([tmp_path / "a"])
        for path in index_files():
            path.unlink()
            os.mkfifo(path)
    assert sum(map(len, everything(open_index([tmp_path / "a"])).values())) == len(files)


@pytest.mark.usefixtures("indexed")
def test_a_run_measured_again_in_another_folder_counts_there_too_and_a_copy_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DXBENCH_RESULTS", str(tmp_path / "yours"))
    for folder, seed, value in (("a", 0, 1.0), ("a", 1, 3.0), ("yours", 0, 2.0), ("yours", 1, 3.0), ("c", 0, 2.5)):
        write_record(tmp_path / folder, record(seed, value))
    folders = [tmp_path / name for name in ("a", "yours", "c", "c/../a")]
    found = [
        (entry.seed, entry.scores["sw2"].value, entry.origin) for entry in open_index(folders).entries("gaussians8")
    ]
    assert found == [(0, 1.0, ""), (1, 3.0, ""), (0, 2.0, "yours"), (0, 2.5, str(tmp_path / "c"))]


def test_a_copied_record_is_a_duplicate_named_and_not_counted(dxbench: Callable[..., Ended], tmp_path: Path) -> None:
    path = write_record(tmp_path, record(0, 1.0))
    copy = path.with_name("again.json")
    copy.write_bytes(path.read_bytes())
    ended = dxbench("table", "-t", "gaussians8", "--results", tmp_path, "-f", "json")
    assert ended.code == 5
    assert f"{copy}: run {path.stem} belongs in gaussians8/made-up/{path.name}; a copy would count" in ended.err
    assert json.loads(ended.out)["blocks"][0]["rows"][0]["seeds"] == 1


def test_a_published_row_without_a_source_is_refused(
    dxbench: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"id": "x", "task": "gaussians8", "table": "1", "label": "x", "scores": {}, "protocol": "p"}
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "x.json").write_text(json.dumps({"schema_version": 1, "rows": [row]}))
    monkeypatch.setattr(paths, "reference_results", lambda: tmp_path)
    ended = dxbench("table", "-t", "gaussians8", "--published")
    assert ended.code == 5
    assert "source" in ended.err


def _write(folder: Path, worker: int, count: int) -> None:
    for i in range(count):
        write_record(folder, record(i, float(i), config={"worker": worker}))


@pytest.mark.usefixtures("indexed")
def test_ten_processes_writing_at_once_lose_no_record(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write, args=(tmp_path, worker, 20)) for worker in range(10)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        assert not open_index([tmp_path]).problems
        time.sleep(0.2)
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 10
    found = {(entry.config["worker"], entry.seed) for entry in open_index([tmp_path]).entries("gaussians8")}
    assert found == {(worker, i) for worker in range(10) for i in range(20)}
