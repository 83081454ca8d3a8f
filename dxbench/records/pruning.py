"""Records that a newer version of their task or method has superseded."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dxbench.errors import DxbenchError
from dxbench.plugins import registry
from dxbench.records.entries import Entry
from dxbench.records.index import RecordIndex


@dataclass(frozen=True, kw_only=True)
class Superseded:
    """A record of the past, and by what."""

    path: Path
    reason: str


def superseded(index: RecordIndex) -> list[Superseded]:
    """Records whose task or method is installed, or on record beside them, in a newer version."""
    entries = [entry for task in index.tasks for entry in index.entries(task)]
    newest: dict[tuple[str, str], int] = {}
    for entry in entries:
        for kind, name, version in _versions(entry):
            known = newest.get((kind, name)) or _installed(kind, name)
            newest[kind, name] = max(version, known)
    found = []
    for entry in entries:
        reasons = [
            f"{kind[:-1]} {name} is at version {newest[kind, name]}, this is of {version}"
            for kind, name, version in _versions(entry)
            if version < newest[kind, name]
        ]
        if reasons:
            found.append(Superseded(path=Path(entry.path), reason="; ".join(reasons)))
    return found


def _versions(entry: Entry) -> Iterator[tuple[Literal["tasks", "methods"], str, int]]:
    yield "tasks", entry.task, entry.task_version
    yield "methods", entry.method, entry.method_version


def _installed(kind: Literal["tasks", "methods"], name: str) -> int:
    """The version that is installed under a name; 0 for none, and for one that does not load."""
    if name not in registry.plugins(kind):  # a name in a record loads no file
        return 0
    try:
        return registry.load_task(name).version if kind == "tasks" else registry.load_method(name).version
    except DxbenchError:
        return 0
