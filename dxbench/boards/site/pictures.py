"""Small pictures of runs: drawn of arrays that are kept on this machine, or found beside the records."""

import logging
from collections.abc import Mapping, Sequence
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dxbench.api import ResultRecord, Tile
from dxbench.errors import InvalidFile
from dxbench.plugins.registry import load_task, plugins
from dxbench.records.files import Unreadable, read_record, record_path, work_folder

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)


class PictureSource(Protocol):
    """The source of pictures of runs."""

    def of(self, record: ResultRecord, results: Path) -> Sequence[Tile]:
        """Pictures of a run whose record lies in a folder of records."""
        ...


class NoPictures:
    """No pictures; a site of these draws nothing and imports nothing to draw with."""

    def of(self, record: ResultRecord, results: Path) -> Sequence[Tile]:
        """Nothing."""
        return ()


class KeptPictures:
    """Pictures of runs whose arrays lie under `home`, where they are those that were scored.

    That they are, the hash in the record says; or the record of the run that left them, among `results`, which has the
    same scores.
    """

    def __init__(self, home: Path, *, results: Path) -> None:
        self._home, self._results = home, results

    def of(self, record: ResultRecord, results: Path) -> Sequence[Tile]:
        """Nothing where arrays or task are missing, or damaged."""
        folder = work_folder(self._home, task=record.task, method=record.method, run_id=record.run_id)
        path = folder / "arrays.npz"
        if record.task not in plugins("tasks") or not path.is_file():
            return ()
        from dxbench.readers import load_arrays

        try:
            arrays = load_arrays(path)
            return load_task(record.task).tiles(arrays) if self._scored(arrays, record) else ()
        except Exception as error:  # of arrays beside the samples nobody vouches for what they hold
            log.warning("%s has no pictures, for its arrays cannot be drawn: %s", record.run_id, error)
            return ()

    def _scored(self, arrays: "Mapping[str, np.ndarray]", record: ResultRecord) -> bool:
        """True where arrays are those that a record's scores are of."""
        from dxbench.files.arrays import array_sha256

        samples = array_sha256(arrays["samples"]) if "samples" in arrays else None
        if samples is not None and samples == record.samples_sha256:
            return True
        here = read_record(str(record_path(self._results, record)))
        return (
            not isinstance(here, Unreadable)
            and here.samples_sha256 == samples
            and record.samples_sha256 in (None, samples)
            and record.scores.keys() <= here.scores.keys()
            and all(isclose(one.value, here.scores[name].value, rel_tol=1e-9) for name, one in record.scores.items())
        )


class PicturesBeside:
    """Pictures that lie beside the records; where there are none, those of another source."""

    def __init__(self, otherwise: PictureSource) -> None:
        self._otherwise = otherwise

    def of(self, record: ResultRecord, results: Path) -> Sequence[Tile]:
        """Nothing, with a warning, where a file is no picture of ours."""
        from dxbench.records.pictures import read_tiles

        try:
            return read_tiles(results, record) or self._otherwise.of(record, results)
        except (InvalidFile, OSError) as error:
            log.warning("%s has no pictures, for those beside its record cannot be read: %s", record.run_id, error)
            return ()
