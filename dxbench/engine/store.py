"""Trained parts kept between runs, by the hash of what they depend on.

Of runs that need the same part at the same time, one trains it and the others wait. The lock is the operating system's
and goes with the process, however that ends; on a network file system this needs one that passes locks on (NFS 4 does).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import JsonValue

from dxbench.api import TrainingCost, short_hash
from dxbench.engine.checkpoint import load_checkpoint, save_checkpoint
from dxbench.engine.ledger import Ledger
from dxbench.errors import InvalidFile

LAYOUT = 2
"""Of the files: 1 had no cost. A part of another layout is not found, and is trained once more."""


class Busy(Exception):
    """Another run is training the part."""


@dataclass(frozen=True)
class FolderStore:
    """One file per part, in the format of checkpoints, with what it cost.

    Attributes:
        ledger: told of parts that are found; what it has spent is the cost of a part that is saved.
    """

    folder: Path
    ledger: Ledger = field(default_factory=Ledger)
    _held: dict[str, FileLock] = field(default_factory=dict)

    def slot(self, content: JsonValue) -> "FileSlot":
        return FileSlot(self, short_hash({"layout": LAYOUT, "content": content}, digits=20))

    def release(self) -> None:
        """Give up all locks: of parts that this run was to train and has not."""
        for lock in self._held.values():
            lock.release()
        self._held.clear()


@dataclass(frozen=True)
class FileSlot:
    """The file of one part. A damaged one counts as absent, and is written anew when the part is trained again."""

    store: FolderStore
    key: str

    @property
    def path(self) -> Path:
        return self.store.folder / f"{self.key}.safetensors"

    def load(self) -> dict[str, Any] | None:
        """The part, or None and the part is this run's to train.

        Raises:
            Busy: if another run is at it.
        """
        if (found := self._read()) is not None:
            return found
        if self.key in self.store._held:  # asked for twice by one run
            return None
        self.store.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path.with_suffix(".lock"), timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise Busy from None
        if (found := self._read()) is not None:  # finished between the look and the lock
            lock.release()
            return found
        self.store._held[self.key] = lock
        return None

    def _read(self) -> dict[str, Any] | None:
        if not self.path.exists():
            return None
        try:
            state = load_checkpoint(self.path, run_id=self.key)
        except InvalidFile:
            return None
        self.store.ledger.found(self.key, TrainingCost.model_validate(state["cost"]))
        return state["part"]

    def save(self, state: dict[str, Any]) -> None:
        cost = self.store.ledger.spent().model_dump()
        save_checkpoint(self.path, {"part": state, "cost": cost}, run_id=self.key)
        if (lock := self.store._held.pop(self.key, None)) is not None:
            lock.release()
