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
    begin = f"{record.run_id}-"
    found = []
    for path in sorted(_folder(results, record).glob(f"{begin}*.png")):
        name = path.stem.removeprefix(begin)
        if _NAME.fullmatch(name):
            tile = read_tile(name, read_regular(path, limit=TILE_LIMIT), of=_scored(record))
            found += [] if tile is None else [tile]
    return sorted(found, key=lambda tile: tile.name != "samples")


def _folder(results: Path, record: ResultRecord) -> Path:
    return results / "pictures" / record.task / record.method


def _scored(record: ResultRecord) -> str:
    return short_hash({name: estimate.value for name, estimate in record.scores.items()}, digits=16)
