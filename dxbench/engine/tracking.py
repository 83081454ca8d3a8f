"""Listeners from outside, found by entry point: what they raise ends them, and never a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dxbench.api import ResultRecord
from dxbench.engine.listener import Listener
from dxbench.engine.plan import Cell
from dxbench.plugins import registry


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that cannot work here, before anything runs.

    Raises:
        UsageError: for an unknown one, or one that is not installed or needs a network, with the remedy.
    """
    for name in names:
        registry.load("trackers", name).check()


class Tracked:
    """A tracker of a run that falls silent where it fails, after one warning to `home`."""

    def __init__(self, name: str, folder: Path, home: Listener) -> None:
        self._name, self._home = name, home
        self._kind = registry.load("trackers", name)
        self._told = self._kind(folder)
        self._alive = True

    def started(self, cell: Cell, *, total_steps: int, first_step: int) -> None:
        self._tell("started", cell, total_steps=total_steps, first_step=first_step)

    def stepped(self, cell: Cell, *, step: int, scalars: Mapping[str, float]) -> None:
        self._tell("stepped", cell, step=step, scalars=scalars)

    def phase(self, cell: Cell, text: str) -> None:
        self._tell("phase", cell, text=text)

    def warned(self, cell: Cell, text: str) -> None:
        self._tell("warned", cell, text=text)

    def interrupted(self, cell: Cell) -> None:
        self._tell("interrupted", cell)

    def ended(self, cell: Cell, record: ResultRecord | None) -> None:
        self._tell("ended", cell, record=record)

    def _tell(self, call: str, cell: Cell, **said: Any) -> None:
        if not self._alive:
            return
        try:
            getattr(self._told, call)(cell, **said)
        except Exception as error:
            self._alive = False
            why = " ".join(f"{type(error).__name__}: {error}".split())
            self._home.warned(
                cell, f"tracker {self._name!r} has stopped ({why}); the run goes on without it. {self._kind.remedy}"
            )
