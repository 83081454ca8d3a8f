"""The pages of all runs, by as many processes as pay."""

import gc
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from typing import Protocol, Self

from dxbench.api import ResultRecord
from dxbench.boards.site.names import run_page
from dxbench.boards.site.runs import run_text
from dxbench.errors import InvalidFile
from dxbench.records.files import Unreadable, read_record

_PARALLEL_FROM = 2_000
"""Runs from which starting further processes takes less time than it saves."""
_CHUNK = 500


class PictureSource(Protocol):
    """Where pictures of runs come from."""

    def of(self, record: ResultRecord) -> Sequence[tuple[str, str, bytes]]:
        """Title, caption and PNG of each picture of a run."""
        ...

    def gallery(self, task: str, rows: Mapping[str, Iterable[ResultRecord]]) -> Sequence[tuple[str, str, bytes]]:
        """Title, caption and PNG of each picture that sets rows of a task side by side, from the runs of each."""
        ...


class NoPictures:
    """Pictures of no run; here, so that processes without pictures import nothing to draw with."""

    def of(self, record: ResultRecord) -> Sequence[tuple[str, str, bytes]]:
        """None."""
        return []

    def gallery(self, task: str, rows: Mapping[str, Iterable[ResultRecord]]) -> Sequence[tuple[str, str, bytes]]:
        """None."""
        return []


class RunPages:
    """Writes the pages of runs, here while there are few, else in other processes beside the caller's work.

    Attributes:
        count, bytes, picture_bytes: of what was written; complete when the context has been left.
    """

    def __init__(self, folder: Path, *, pictures: PictureSource) -> None:
        self._folder = folder
        self._pictures = pictures
        self._waiting: list[tuple[str, str]] = []
        self._pool: ProcessPoolExecutor | None = None
        self._futures: list[Future[tuple[int, int]]] = []
        self.count = self.bytes = self.picture_bytes = 0

    def add(self, records: Sequence[tuple[str, str]]) -> None:
        """Paths of records whose pages are to be written, each with the origin of its entry."""
        self.count += len(records)
        self._waiting += records
        if self._pool is None and len(self._waiting) >= _PARALLEL_FROM:
            self._pool = ProcessPoolExecutor(
                cpu_count(),
                mp_context=get_context("spawn"),
                # What has been imported stays; collectors would walk it again and again.
                initializer=gc.freeze,
            )
        while self._pool is not None and self._waiting:
            chunk, self._waiting = self._waiting[:_CHUNK], self._waiting[_CHUNK:]
            self._futures.append(self._pool.submit(_write, self._folder, chunk, self._pictures))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            self._count(_write(self._folder, self._waiting, self._pictures))
            for future in self._futures:
                self._count(future.result())

    def _count(self, sizes: tuple[int, int]) -> None:
        self.bytes += sizes[0]
        self.picture_bytes += sizes[1]


def _write(folder: Path, records: Sequence[tuple[str, str]], pictures: PictureSource) -> tuple[int, int]:
    """Pages and pictures of some records; returns the bytes of either."""
    size = picture_size = 0
    places: set[str] = set()
    for path, origin in records:
        record = read_record(path)
        if isinstance(record, Unreadable):
            raise InvalidFile(f"{record.path}: {record.reason}")
        name = run_page(record.task, record.method, record.run_id, origin=origin)
        place, page = name.rsplit("/", 1)
        if place not in places:
            (folder / place).mkdir(parents=True, exist_ok=True)
            places.add(place)
        drawn, bytes_ = write_pictures(folder / name, pictures.of(record))
        picture_size += bytes_
        text = run_text(record, drawn, origin=origin).encode()
        with open(f"{folder}/{place}/{page}", "wb") as out:  # noqa: PTH123 - Path costs as much as the write
            size += out.write(text)
    return size, picture_size


def write_pictures(page: Path, pictures: Sequence[tuple[str, str, bytes]]) -> tuple[list[dict[str, str]], int]:
    """Pictures beside a page: title, caption and file of each as its template takes them, and their bytes."""
    drawn, size = [], 0
    for number, (title, caption, png) in enumerate(pictures, 1):
        path = page.with_name(f"{page.stem}-{number}.png")
        size += path.write_bytes(png)
        drawn.append({"title": title, "caption": caption, "file": path.name})
    return drawn, size
