"""Cells in the order in which they are begun, and how often."""

from collections import Counter
from collections.abc import Sequence

from dxbench.engine.plan import Cell
from dxbench.errors import Taken
from dxbench.launchers.contract import Outcome


class CellQueue:
    """Cells of which the next is taken and later settled.

    Those that need a shared start wait until it has come to an end, whichever. A cell that another process is at has a
    second turn when all else is done.

    Args:
        retries: how often a cell that died is begun again.
    """

    def __init__(self, cells: Sequence[Cell], *, retries: int) -> None:
        self._waiting = list(cells)
        self._starts = {cell.run_id for cell in cells if cell.part == "start"}  # that have not ended
        self._under_way = 0
        self._elsewhere: list[Cell] = []
        self._twice: set[str] = set()
        self._retries = retries
        self._deaths: Counter[str] = Counter()

    @property
    def empty(self) -> bool:
        """True if no cell is left to be begun."""
        return not self._waiting and not self._elsewhere

    def clear(self) -> None:
        """Begin nothing more."""
        self._waiting.clear()
        self._elsewhere.clear()

    def next(self) -> Cell | None:
        """The next cell, to be settled later; None where each has to wait for what is under way."""
        if not self._waiting and self._under_way == 0:
            self._waiting, self._elsewhere = self._elsewhere, []
        for index, cell in enumerate(self._waiting):
            if cell.needs not in self._starts:
                self._under_way += 1
                return self._waiting.pop(index)
        return None

    def settle(self, outcome: Outcome) -> Outcome | None:
        """The outcome, if it is to be told; None where the cell has a second turn."""
        cell = outcome.cell
        self._under_way -= 1
        self._starts.discard(cell.run_id)
        if isinstance(outcome.error, Taken) and cell.run_id not in self._twice:
            self._twice.add(cell.run_id)
            self._elsewhere.append(cell)
            return None
        return outcome

    def again(self, cell: Cell) -> bool:
        """Put a cell that died first in the queue; False where that was done often enough."""
        self._deaths[cell.run_id] += 1
        if self._deaths[cell.run_id] > self._retries:
            return False
        self._under_way -= 1
        self._waiting.insert(0, cell)
        return True
