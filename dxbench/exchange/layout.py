"""The files of a repository of results: those of a folder of records, its pictures, and bundles of `dxbench submit`.

Bundles are bundles/<task>/<method>/<sha256>.zip, pictures as `dxbench.records.pictures` names them.

Whatever else lies there, such as a README or a workflow, is left alone and never fetched.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dxbench import paths
from dxbench.records.files import Unreadable

_WORD = "[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
_RECORD = re.compile(rf"{_WORD}/{_WORD}/{_WORD}\.json")
_PART = re.compile(r"(protocols|cards)/[0-9a-f]{16}\.json")
_PICTURE = re.compile(rf"pictures/(?P<run>{_WORD}/{_WORD}/{_WORD})-[a-z][a-z_]{{0,30}}\.png")
_BUNDLE = re.compile(rf"bundles/(?P<task>{_WORD})/(?P<method>{_WORD})/[0-9a-f]{{64}}\.zip")


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The records that are to be moved: all, or those of a task, of a method, or of both."""

    task: str | None = None
    method: str | None = None

    def has(self, task: str, method: str) -> bool:
        """True for a record of this task and method."""
        return self.task in (None, task) and self.method in (None, method)

    def __str__(self) -> str:
        words = [f"{kind} {name!r}" for kind, name in (("task", self.task), ("method", self.method)) if name]
        return f" of {' and '.join(words)}" if words else ""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The names among a repository's files that concern us, in order.

    Attributes:
        parts: protocols and cards.
        pictures: names of pictures by that of the record they are beside.
        problems: names where a record would be, and which no record has.
    """

    records: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    bundles: list[str] = field(default_factory=list)
    pictures: dict[str, list[str]] = field(default_factory=dict)
    problems: list[Unreadable] = field(default_factory=list)

    @classmethod
    def of(cls, names: Iterable[str], chosen: Chosen) -> "Layout":
        """Sort names; of records and bundles those that are chosen."""
        found = cls()
        for name in sorted(names):
            if _PART.fullmatch(name):
                found.parts.append(name)
            elif picture := _PICTURE.fullmatch(name):
                found.pictures.setdefault(f"{picture['run']}.json", []).append(name)
            elif bundle := _BUNDLE.fullmatch(name):
                if chosen.has(bundle["task"], bundle["method"]):
                    found.bundles.append(name)
            elif is_record_name(name):
                if chosen.has(*name.split("/")[:2]):
                    found.records.append(name)
            elif _is_beside_records(name):
                found.problems.append(Unreadable(path=Path(name), reason="its name is none that a record has"))
        return found


def is_record_name(name: str) -> bool:
    """True for a name that `Layout` takes for that of a record."""
    return _RECORD.fullmatch(name) is not None and name.partition("/")[0] not in paths.BESIDE_TASKS


def _is_beside_records(name: str) -> bool:
    """True for a name where boards look for records."""
    place, _, rest = name.partition("/")
    return rest.count("/") == 1 and rest.endswith(".json") and place[:1] != "." and place not in paths.BESIDE_TASKS


def bundle_name(task: str, method: str, sha256: str) -> str:
    """The name of a bundle in a repository: like that of a protocol, it is the digest of the content."""
    return f"bundles/{task}/{method}/{sha256}.zip"
