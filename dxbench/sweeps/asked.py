"""Ask whether cells of a sweep are to stop."""

import time
from collections.abc import Callable
from pathlib import Path


class Asked:
    """True once somebody sent a signal or cancelled the sweep, for which its folder is looked at now and then.

    Args:
        signalled: tells of signals.
        cancelled: the file that is there when the sweep is cancelled.
    """

    _EVERY = 2.0  # seconds

    def __init__(self, signalled: Callable[[], bool], cancelled: Path) -> None:
        self._signalled, self._cancelled = signalled, cancelled
        self._looked, self._found = time.monotonic(), False

    def __call__(self) -> bool:
        if not self._found and time.monotonic() - self._looked > self._EVERY:
            self._looked = time.monotonic()
            self._found = self._cancelled.exists()
        return self._found or self._signalled()
