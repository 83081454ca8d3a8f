"""The processes that carry out one run together."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from pydantic import ValidationError
from torch import Tensor

from dxbench.api import Failure, Frozen, Parallel, Slot, Status, Store
from dxbench.engine.spread import Place, Spread
from dxbench.engine.store import Busy
from dxbench.errors import InvalidFile, MachineFault
from dxbench.files.reading import read_regular
from dxbench.files.writing import atomic_file

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
        """What methods spread batches by; None where there is nothing to spread."""
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


def assemble(spread: Spread, *, device: str, place: Place | None) -> Workers:
    """The workers of a run; returns when all are there."""
    if spread.plain:
        return Alone()
    from dxbench.engine.fabric import FabricWorkers

    return FabricWorkers(spread, device=device, place=place)


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


class Words(Frozen):
    """How a process of a run ended; "machine" is through no fault of the method."""

    status: Status | Literal["machine"]
    failure: Failure


class LastWords:
    """What a process that failed leaves for the first one to report, since it can no longer be asked."""

    _LONGEST = 1 << 20  # bytes

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def clear(self) -> None:
        for path in self._folder.glob("process-*.failed.json"):
            with suppress(IsADirectoryError):
                path.unlink()

    def leave(self, rank: int, words: Words) -> None:
        with suppress(OSError), atomic_file(self._folder / f"process-{rank}.failed.json") as file:
            file.write(words.model_dump_json().encode())

    def heard(self, *, within: float) -> Words | None:
        """The words of the first process that left some, for which it may take so many seconds."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            for path in sorted(self._folder.glob("process-*.failed.json")):
                with suppress(OSError, InvalidFile, ValidationError):
                    return Words.model_validate_json(read_regular(path, limit=self._LONGEST))
            time.sleep(0.05)
        return None
