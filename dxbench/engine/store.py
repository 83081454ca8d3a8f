"""Trained parts kept between runs, by the hash of what they depend on.

Of runs that need the same part at the same time, on whatever hosts that share the folder, one trains it and the others
wait. Where it dies, one of them trains the part in its stead: on the same host at once, on another after a minute.
"""

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import JsonValue, ValidationError

from dxbench.api import TrainingCost, short_hash
from dxbench.engine.checkpoint import load_checkpoint, save_checkpoint
from dxbench.engine.ledger import Ledger
from dxbench.engine.locks import Claim, Lock
from dxbench.errors import InvalidFile
from dxbench.files.reading import read_regular
from dxbench.files.writing import set_aside, sweep_temporaries, write_text_atomically

LAYOUT = 2
"""Of the files: 1 had no cost. A part of another layout is not found, and is trained once more."""


class Busy(Exception):
    """Another run is training the part."""


@dataclass(frozen=True)
class FolderStore:
    """One file per part, in the format of checkpoints, with what it cost.

    Attributes:
        ledger: told of parts that are found; what it has spent is the cost of a part that is saved.
        warn: told of files that are unusable.
    """

    folder: Path
    ledger: Ledger = field(default_factory=Ledger)
    warn: Callable[[str], None] = warnings.warn
    _held: dict[str, Claim] = field(default_factory=dict)
    _locks: dict[str, Lock] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)

    def slot(self, content: JsonValue) -> "FileSlot":
        key = short_hash({"layout": LAYOUT, "content": content}, digits=20)
        self._asked.add(key)
        return FileSlot(self, key)

    @property
    def complete(self) -> bool:
        """True if there is nothing that this run is to train for others."""
        return not self._held

    def note_start(self, start_id: str) -> None:
        """Note which parts make up a start, all of them trained, for those who plan (`has_start`)."""
        note = _note(self.folder, start_id)
        sweep_temporaries(note.parent, note.name)
        write_text_atomically(note, json.dumps(sorted(self._asked)))

    def release(self) -> None:
        """Give up all claims: to parts that this run was to train and has not."""
        for claim in self._held.values():
            claim.release()
        self._held.clear()


def has_start(folder: Path, start_id: str) -> bool:
    """True if a start was trained in whole and its parts are still in this folder."""
    try:
        keys = json.loads(read_regular(_note(folder, start_id), limit=_NOTE_LIMIT))
        return all((folder / f"{key}.safetensors").is_file() for key in keys)
    except (OSError, InvalidFile, ValueError, TypeError):
        return False


_NOTE_LIMIT = 2**16  # bytes


def _note(folder: Path, start_id: str) -> Path:
    return folder / f"start-{start_id}.json"


@dataclass(frozen=True)
class FileSlot:
    """The file of one part. One that cannot be used is set aside, which is said, and the part is trained again."""

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
        try:
            found = self._read()
        except InvalidFile:
            found = None  # set aside by whoever has the claim
        if found is not None or self.key in self.store._held:  # asked for twice by one run
            return found
        self.store.folder.mkdir(parents=True, exist_ok=True)
        lock = self.store._locks.setdefault(self.key, Lock(self.path.with_suffix(".lock")))
        if (claim := lock.take()) is None:
            raise Busy
        self.store._held[self.key] = claim
        sweep_temporaries(self.path.parent, self.path.name)
        try:
            found = self._read()  # finished between the look and the claim
        except InvalidFile as error:
            aside = set_aside(self.path, "unusable")
            self.store.warn(f"{error}; kept as {aside.name}, and the part is trained anew")
            return None
        if found is not None:
            self._let_go()
        return found

    def _read(self) -> dict[str, Any] | None:
        """The part; None where there is no file."""
        if not self.path.exists():
            return None
        state = load_checkpoint(self.path, run_id=self.key)
        try:
            cost, part = TrainingCost.model_validate(state["cost"]), state["part"]
        except (LookupError, ValidationError) as error:
            raise InvalidFile(f"{self.path} is not a trained part ({type(error).__name__}: {error})") from None
        self.store.ledger.found(self.key, cost)
        return part

    def save(self, state: dict[str, Any]) -> None:
        """Keep the part for other runs.

        Raises:
            MachineFault: if another run has taken this one for dead, and trains the part itself.
        """
        if (claim := self.store._held.get(self.key)) is not None:
            claim.renew()
        cost = self.store.ledger.spent().model_dump()
        save_checkpoint(self.path, {"part": state, "cost": cost}, run_id=self.key)
        self._let_go()

    def _let_go(self) -> None:
        if (claim := self.store._held.pop(self.key, None)) is not None:
            claim.release()
