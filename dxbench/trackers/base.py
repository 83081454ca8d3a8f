"""The parts that all trackers share: they are told of every step, and log now and then."""

import importlib.util
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from dxbench.api import ResultRecord
from dxbench.engine.listener import Silent
from dxbench.engine.plan import Cell
from dxbench.errors import UsageError

EVERY = 1.0
"""Seconds between two steps that are logged."""


class Tracker(Silent, ABC):
    """A listener that follows one run.

    A subclass is named by an entry point of the group `dxbench.trackers`, and there is an object of it per run. What
    it raises while the run is under way ends the tracking with a warning, and never the run.

    Attributes:
        remedy: a sentence on what to do where it fails under way.
    """

    remedy: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        """`folder` is that of the run, where a tracker may leave files."""
        self.folder = folder
        self._begun = False
        self._step, self._logged = 0, -math.inf

    @classmethod
    @abstractmethod
    def check(cls) -> None:
        """Refuse what cannot work, before anything runs.

        Raises:
            UsageError: with the remedy.
        """

    @abstractmethod
    def begin(self, cell: Cell) -> None:
        """Open what is logged to; a resumed run goes on in it."""

    @abstractmethod
    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Keep the numbers of a step."""

    @abstractmethod
    def finish(self) -> None:
        """Close what is logged to."""

    def started(self, cell: Cell, *, total_steps: int, first_step: int) -> None:
        self.begin(cell)
        self._begun, self._step = True, first_step

    def stepped(self, cell: Cell, *, step: int, scalars: Mapping[str, float]) -> None:
        self._step, now = step, time.monotonic()
        if scalars and now - self._logged >= EVERY:
            self._logged = now
            self.log(step, {name: float(value) for name, value in scalars.items()})

    def interrupted(self, cell: Cell) -> None:
        if self._begun:
            self.finish()

    def ended(self, cell: Cell, record: ResultRecord | None) -> None:
        if not self._begun:  # it was measured before
            return
        if record is not None and record.scores:
            self.log(self._step, {f"score/{name}": estimate.value for name, estimate in record.scores.items()})
        self.finish()


def require(package: str, extra: str) -> None:
    """Refuse a tracker whose package is not installed.

    Raises:
        UsageError: with the command that installs it.
    """
    if importlib.util.find_spec(package) is None:
        raise UsageError(
            f"tracker {extra!r} needs the package {package}, which is not installed: "
            f"`pip install 'dxmi-bench[{extra}]'`"
        )
