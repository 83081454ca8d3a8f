"""Pictures of runs whose arrays are kept on this machine."""

import logging
from pathlib import Path

from dxbench.api import ResultRecord
from dxbench.boards.report import png
from dxbench.files.arrays import array_sha256
from dxbench.plugins.registry import load_task, plugins
from dxbench.readers import load_arrays
from dxbench.records.files import work_folder

log = logging.getLogger(__name__)


class KeptPictures:
    """Of runs whose arrays lie under `home`, where they are those that were scored."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def of(self, record: ResultRecord) -> list[tuple[str, str, bytes]]:
        """Title, caption and PNG of each picture of a run; none where arrays or task are missing, or damaged."""
        folder = work_folder(self._home, task=record.task, method=record.method, run_id=record.run_id)
        path = folder / "arrays.npz"
        if record.task not in plugins("tasks") or not path.is_file():
            return []
        try:
            arrays = load_arrays(path)
            if "samples" not in arrays or array_sha256(arrays["samples"]) != record.samples_sha256:
                return []
            return [(one.title, one.caption, png(one)) for one in load_task(record.task).pictures(arrays)]
        except Exception as error:  # of arrays beside the samples nobody vouches for what they hold
            log.warning("%s: its page has no pictures, for %s cannot be drawn: %s", record.run_id, path, error)
            return []
