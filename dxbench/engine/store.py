"""Trained parts kept between runs, by the hash of what they depend on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from dxbench.api import short_hash
from dxbench.engine.checkpoint import load_checkpoint, save_checkpoint
from dxbench.errors import InvalidFile


@dataclass(frozen=True)
class FolderStore:
    """One file per part, in the format of checkpoints."""

    folder: Path

    def slot(self, content: JsonValue) -> "FileSlot":
        return FileSlot(self.folder, short_hash(content, digits=20))


@dataclass(frozen=True)
class FileSlot:
    """The file of one part. A damaged one counts as absent, and is written anew when the part is trained again."""

    folder: Path
    key: str

    @property
    def path(self) -> Path:
        return self.folder / f"{self.key}.safetensors"

    def load(self) -> dict[str, Any] | None:
        if not self.path.exists():
            return None
        try:
            return load_checkpoint(self.path, run_id=self.key)
        except InvalidFile:
            return None

    def save(self, state: dict[str, Any]) -> None:
        save_checkpoint(self.path, state, run_id=self.key)
