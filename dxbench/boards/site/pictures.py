"""Pictures of runs whose arrays are kept on this machine."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dxbench.api import ResultRecord
from dxbench.api.tasks import Picture
from dxbench.boards.report import png
from dxbench.files.arrays import array_sha256
from dxbench.plugins.registry import load_task, plugins
from dxbench.readers import load_arrays
from dxbench.records.files import work_folder

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)


class KeptPictures:
    """Pictures of runs whose arrays lie under `home`, where they are those that were scored."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def of(self, record: ResultRecord) -> list[tuple[str, str, bytes]]:
        """Title, caption and PNG of each picture of a run; none where arrays or task are missing, or damaged."""
        try:
            arrays = self._arrays(record)
            return [] if arrays is None else _drawn(load_task(record.task).pictures(arrays))
        except Exception as error:  # of arrays beside the samples nobody vouches for what they hold
            log.warning("%s: its page has no pictures, for its arrays cannot be drawn: %s", record.run_id, error)
            return []

    def gallery(self, task: str, rows: Mapping[str, Iterable[ResultRecord]]) -> list[tuple[str, str, bytes]]:
        """Title, caption and PNG of each picture that sets rows side by side, by the first run of each that is kept."""
        try:
            kept = {name: self._first(records) for name, records in rows.items()}
            found = {name: arrays for name, arrays in kept.items() if arrays is not None}
            return _drawn(load_task(task).gallery(found)) if found else []
        except Exception as error:
            log.warning("the page of %s has no gallery, for the arrays of its runs cannot be drawn: %s", task, error)
            return []

    def _first(self, records: Iterable[ResultRecord]) -> dict[str, "np.ndarray"] | None:
        return next((arrays for record in records if (arrays := self._arrays(record)) is not None), None)

    def _arrays(self, record: ResultRecord) -> dict[str, "np.ndarray"] | None:
        """The arrays of a run whose samples are those that were scored, of an installed task."""
        folder = work_folder(self._home, task=record.task, method=record.method, run_id=record.run_id)
        path = folder / "arrays.npz"
        if record.task not in plugins("tasks") or not path.is_file():
            return None
        arrays = load_arrays(path)
        right = "samples" in arrays and array_sha256(arrays["samples"]) == record.samples_sha256
        return arrays if right else None


def _drawn(pictures: Sequence[Picture]) -> list[tuple[str, str, bytes]]:
    return [(one.title, one.caption, png(one)) for one in pictures]
