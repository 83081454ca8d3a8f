"""Small pictures of runs beside their records: results/pictures/<task>/<method>/<run>-<tile>.png.

A picture names the scores that it goes with, so that none outlives the run it was drawn of.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from dxbench.api import ResultRecord, Tile, short_hash
from dxbench.files.reading import read_regular
from dxbench.files.writing import atomic_file
from dxbench.pictures.tiles import TILE_LIMIT, read_tile, stored

_NAME = re.compile(r"[a-z][a-z_]{0,30}")


def write_tiles(results: Path, record: ResultRecord, tiles: Sequence[Tile]) -> list[Path]:
    """Put the pictures of a run beside its record, and return where they are."""
    folder = _folder(results, record)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for tile in tiles:
        paths.append(folder / f"{record.run_id}-{tile.name}.png")
        with atomic_file(paths[-1]) as file:
            file.write(stored(tile, of=_scored(record)))
    return paths


def read_tiles(results: Path, record: ResultRecord) -> list[Tile]:
    """The pictures of a run; none of other scores than the record's.

    Raises:
        InvalidFile: for a file among them that is no tile.
    """
    found = [read_picture(path, record) for path in picture_paths(results, record)]
    return sorted((tile for tile in found if tile is not None), key=lambda tile: tile.name != "samples")


def picture_paths(results: Path, record: ResultRecord) -> list[Path]:
    """The files where pictures of a run would be, in order."""
    return sorted(_folder(results, record).glob(f"{record.run_id}-*.png"))


def read_picture(path: Path, record: ResultRecord) -> Tile | None:
    """One picture of a run; None for that of another run or of other scores.

    Raises:
        InvalidFile: if it is no tile.
    """
    name = path.stem.removeprefix(f"{record.run_id}-")
    if not _NAME.fullmatch(name):
        return None
    return read_tile(name, read_regular(path, limit=TILE_LIMIT), of=_scored(record))


def _folder(results: Path, record: ResultRecord) -> Path:
    return results / "pictures" / record.task / record.method


def _scored(record: ResultRecord) -> str:
    return short_hash({name: estimate.value for name, estimate in record.scores.items()}, digits=16)
