"""The processes that carry out one run together."""

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from torch import Tensor

from dxbench.api import Parallel, Slot, Store
from dxbench.engine.store import Busy
from dxbench.errors import MachineFault

T = TypeVar("T")
POLL_SECONDS = 1.0


class PeerLost(MachineFault):
    """Another process of this run has ended."""


class Workers(Protocol):
    """The processes of one run, seen from one of them; the first evaluates and writes files."""

    @property
    def rank(self) -> int: ...

    @property
    def count(self) -> int: ...

    @property
    def parallel(self) -> Parallel | None:
        """The means by which methods spread batches; None where there is nothing to spread."""
        ...

    def any(self, *flags: bool) -> list[bool]:
        """Each flag, raised in all processes where one raised it."""
        ...

    def from_first(self, value: T) -> T:
        """The first process's value, plain or a nest of tensors, in all."""
        ...

    def share(self, n: int) -> slice:
        """This process's of n samples; the first process has some, others may have none."""
        ...

    def gather(self, rows: Tensor, *, of: int) -> Tensor:
        """[of, ...] from each process's `share(of)`, in all."""
        ...


class Alone:
    """One process, which spreads nothing."""

    rank, count, parallel = 0, 1, None

    def any(self, *flags: bool) -> list[bool]:
        return list(flags)

    def from_first(self, value: T) -> T:
        return value

    def share(self, n: int) -> slice:
        return slice(0, n)

    def gather(self, rows: Tensor, *, of: int) -> Tensor:
        return rows


class SharedStore:
    """A store that the first process reads and writes for all.

    `waiting` is called about once a second, in all processes, while another run trains what is wanted; it raises to
    stop.
    """

    def __init__(self, store: Store, workers: Workers, waiting: Callable[[], None]) -> None:
        self._store, self._workers, self._waiting = store, workers, waiting

    def slot(self, content: Any) -> "SharedSlot":
        return SharedSlot(self._store.slot(content), self._workers, self._waiting)


class SharedSlot:
    """A place of such a store."""

    def __init__(self, slot: Slot, workers: Workers, waiting: Callable[[], None]) -> None:
        self._slot, self._workers, self._waiting = slot, workers, waiting

    def load(self) -> dict[str, Any] | None:
        while True:
            busy, found = self._workers.from_first(self._look())
            if not busy:
                return found
            self._waiting()
            time.sleep(POLL_SECONDS)

    def _look(self) -> tuple[bool, dict[str, Any] | None]:
        if self._workers.rank != 0:
            return False, None
        try:
            return False, self._slot.load()
        except Busy:
            return True, None

    def save(self, state: dict[str, Any]) -> None:
        if self._workers.rank == 0:
            self._slot.save(state)
