"""The pages of all runs, by as many processes as pay."""

import gc
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from typing import Self

from dxbench.boards.site.names import run_page, tile_path
from dxbench.boards.site.pictures import PictureSource
from dxbench.boards.site.runs import run_text
from dxbench.errors import InvalidFile
from dxbench.records.files import Unreadable, read_record

_PARALLEL_FROM = 2_000
"""Runs from which starting further processes takes less time than it saves."""
_CHUNK = 500


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
        tiles = pictures.of(record, Path(path).parents[2])
        picture_size += sum((folder / tile_path(name, tile.name)).write_bytes(tile.png) for tile in tiles)
        text = run_text(record, tiles, origin=origin).encode()
        with open(f"{folder}/{place}/{page}", "wb") as out:  # noqa: PTH123 - Path costs as much as the write
            size += out.write(text)
    return size, picture_size
