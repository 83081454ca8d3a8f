"""Files of a remote in a folder that is thrown away, laid out as a folder of records and read as any stranger's."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dxbench.api import ResultRecord
from dxbench.errors import InvalidFile
from dxbench.exchange.layout import Layout
from dxbench.exchange.remote import Progress, Snapshot
from dxbench.files.reading import read_regular
from dxbench.records.files import RECORD_LIMIT, Unreadable
from dxbench.records.index import read_placed
from dxbench.records.parts import PART_LIMIT


@dataclass(frozen=True, kw_only=True)
class Staging:
    """A folder for what a remote gave.

    Attributes:
        problems: files that were not fetched, by name.
    """

    folder: Path
    snapshot: Snapshot
    progress: Progress
    problems: dict[str, Unreadable] = field(default_factory=dict)

    def bring(self, names: Iterable[str], *, limit: int, known: Path | None = None) -> None:
        """Fetch regular files of at most `limit` bytes; those that `known` holds are taken from there."""
        wanted = []
        for name in names:
            file = self.snapshot.files[name]
            if problem := "a link, or no regular file" if not file.regular else _too_large(file.size, limit):
                self.problems[name] = Unreadable(path=Path(name), reason=problem)
            elif known is not None and (content := holding(known / name, limit)) is not None and file.holds(content):
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                (self.folder / name).write_bytes(content)
            else:
                wanted.append(name)
        if wanted:
            self.snapshot.fetch(wanted, self.folder, progress=self.progress)

    def bring_records(self, names: Collection[str], layout: Layout, *, known: Path) -> None:
        """Fetch records, and the protocols and cards that they may name."""
        if names:
            self.bring(names, limit=RECORD_LIMIT)
            self.bring(layout.parts, limit=PART_LIMIT, known=known)

    def record(self, name: str) -> ResultRecord | Unreadable:
        """A record that was brought, or why it is none."""
        found = self.problems.get(name) or read_placed(self.folder, name)
        return Unreadable(path=Path(name), reason=found.reason) if isinstance(found, Unreadable) else found


def holding(path: Path, limit: int) -> bytes | None:
    """The content of a file of ours; None where there is none, or none that is read."""
    try:
        return read_regular(path, limit=limit)
    except (OSError, InvalidFile):
        return None


def _too_large(size: int, limit: int) -> str:
    return f"{size:,} bytes, at most {limit:,} are read" if size > limit else ""
