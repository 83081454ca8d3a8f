"""A CSV file beside the run's other files."""

import csv
from collections.abc import Mapping

from dxbench.engine.plan import Cell
from dxbench.trackers.base import Tracker


class CSVTracker(Tracker):
    """Lines of step, name and value in `curves.csv` of the run's folder; needs nothing installed."""

    remedy = "Make room, or give the permission to write there."

    @classmethod
    def check(cls) -> None:
        pass

    def begin(self, cell: Cell) -> None:
        self._path = self.folder / "curves.csv"
        if not self._path.exists():
            self._write([("step", "name", "value")])

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self._write([(step, name, repr(value)) for name, value in numbers.items()])

    def finish(self) -> None:
        pass

    def _write(self, rows: list[tuple[object, ...]]) -> None:
        with self._path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
