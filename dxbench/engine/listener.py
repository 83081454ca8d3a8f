"""Listeners: a run tells them what happens while it is under way."""

from collections.abc import Mapping
from typing import Protocol

from dxbench.api import ResultRecord
from dxbench.engine.plan import Cell


class Listener(Protocol):
    """Told of progress; calls come often, so a listener thins them out itself."""

    def started(self, cell: Cell, *, total_steps: int, first_step: int) -> None: ...

    def stepped(self, cell: Cell, *, step: int, scalars: Mapping[str, float]) -> None: ...

    def phase(self, cell: Cell, text: str) -> None: ...

    def warned(self, cell: Cell, text: str) -> None: ...

    def interrupted(self, cell: Cell) -> None:
        """The run was stopped from outside, with its state saved."""
        ...

    def ended(self, cell: Cell, record: ResultRecord | None) -> None:
        """`record` is None for a cell that has trained a start."""
        ...


class Silent:
    """A listener that says nothing, such as those of processes other than the first."""

    def started(self, cell: Cell, *, total_steps: int, first_step: int) -> None:
        pass

    def stepped(self, cell: Cell, *, step: int, scalars: Mapping[str, float]) -> None:
        pass

    def phase(self, cell: Cell, text: str) -> None:
        pass

    def warned(self, cell: Cell, text: str) -> None:
        pass

    def interrupted(self, cell: Cell) -> None:
        pass

    def ended(self, cell: Cell, record: ResultRecord | None) -> None:
        pass


class Several:
    """Listeners that are told the same, one after the other."""

    def __init__(self, *listeners: Listener) -> None:
        self._all = listeners

    def started(self, cell: Cell, *, total_steps: int, first_step: int) -> None:
        for one in self._all:
            one.started(cell, total_steps=total_steps, first_step=first_step)

    def stepped(self, cell: Cell, *, step: int, scalars: Mapping[str, float]) -> None:
        for one in self._all:
            one.stepped(cell, step=step, scalars=scalars)

    def phase(self, cell: Cell, text: str) -> None:
        for one in self._all:
            one.phase(cell, text)

    def warned(self, cell: Cell, text: str) -> None:
        for one in self._all:
            one.warned(cell, text)

    def interrupted(self, cell: Cell) -> None:
        for one in self._all:
            one.interrupted(cell)

    def ended(self, cell: Cell, record: ResultRecord | None) -> None:
        for one in self._all:
            one.ended(cell, record)


SILENT = Silent()
