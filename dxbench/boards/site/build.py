"""Build a folder of pages from records. The same records give the same bytes."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dxbench import __version__
from dxbench.api import MethodCard, MetricProtocol
from dxbench.boards.claims import claims
from dxbench.boards.published import read_published
from dxbench.boards.site.claims import claims_text
from dxbench.boards.site.methods import OnTask, method_text, on_task
from dxbench.boards.site.names import method_page, task_page
from dxbench.boards.site.pictures import PictureSource
from dxbench.boards.site.rendering import render
from dxbench.boards.site.run_pages import RunPages
from dxbench.boards.site.tasks import TaskSummary, task_files
from dxbench.boards.tables import task_table
from dxbench.errors import NothingMeasured, UsageError
from dxbench.files.writing import TEMPORARY, whole_folder
from dxbench.paths import published as published_folder
from dxbench.plugins.registry import plugins
from dxbench.records.entries import Entry
from dxbench.records.index import RecordIndex

MARKER = ".dxbench-site"
"""A file that says that a folder is a site of ours, so that our pages in it may be replaced."""
_FOLDERS = ("methods", "runs", "tasks")


_BIBTEX = f"""@software{{dxbench,
  title   = {{dxbench: benchmark and reference implementations for
             few-step diffusion samplers and energy-based models}},
  author  = {{{{The dxbench contributors}}}},
  version = {{{__version__}}}
}}"""


@dataclass(frozen=True, kw_only=True)
class Built:
    """The pages that were written. Bytes count all files, pictures apart."""

    folder: Path
    tasks: int
    methods: int
    runs: int
    bytes: int
    picture_bytes: int


class _Board:
    """The content that pages beside those of tasks and runs show, gathered task by task."""

    def __init__(self) -> None:
        self.tasks: list[TaskSummary] = []
        self.methods: dict[str, list[OnTask]] = defaultdict(list)
        self.newest: dict[str, Entry] = {}
        self.protocols: dict[str, MetricProtocol] = {}
        self._seen: set[str] = set()

    def add(self, summary: TaskSummary, entries: Sequence[Entry]) -> None:
        self.tasks.append(summary)
        for method, rows in on_task(summary, entries).items():
            self.methods[method].append(rows)
        for entry in entries:
            known = self.newest.get(entry.method)
            if known is None or _age(entry) > _age(known):
                self.newest[entry.method] = entry
            new = {estimate.fingerprint for estimate in entry.scores.values()} - self._seen
            if new:
                self._seen |= new
                self.protocols |= entry.record().protocols

    def pages(self) -> Iterator[tuple[str, str]]:
        """Path and text of each page."""
        # Boards with rows of ours first, and of those the ones that rank most.
        tasks = sorted(self.tasks, key=lambda one: (-sum(line.row.ranks for line in one.lines), -one.runs, one.task))
        pages = {one.task: task_page(one.task) for one in tasks}
        cards = {method: self.newest[method].record().card for method in sorted(self.methods)}
        yield (
            "index.html",
            render(
                "index",
                depth=0,
                title="Leaderboard",
                tasks=tasks,
                pages=pages,
                methods=self._list(cards),
                bibtex=_BIBTEX,
            ),
        )
        yield "rows.html", render("rows", depth=0, title="All rows", tasks=tasks, pages=pages)
        protocols = sorted(self.protocols.items(), key=lambda item: (item[1].name, item[1].version, item[0]))
        yield "protocols.html", render("protocols", depth=0, title="Protocols", protocols=protocols)
        for method, card in cards.items():
            yield method_page(method), method_text(method, card, self.methods[method])

    def _list(self, cards: dict[str, MethodCard]) -> list[dict[str, object]]:
        return [
            {
                "name": method,
                "page": method_page(method),
                "card": card,
                "tasks": len(self.methods[method]),
                "rows": sum(len(task.configurations) for task in self.methods[method]),
            }
            for method, card in cards.items()
        ]


def _age(entry: Entry) -> tuple[int, str, str]:
    return (entry.method_version, entry.created, entry.run_id)


def build_site(index: RecordIndex, out: Path, *, pictures: PictureSource) -> Built:
    """Write the site of all records into a folder; an earlier site there is replaced when all went well.

    What lies beside our pages in an earlier site, such as `.git` or `CNAME`, stays.

    Raises:
        UsageError: if the folder holds something and no site of ours, or cannot be.
        MachineFault: where there is no room or no permission.
        NothingMeasured: without any record.
    """
    if not index.tasks:
        raise NothingMeasured("no record to make a leaderboard of; `dxbench run` makes one")
    board = _Board()
    about = {name: plugin.summary() for name, plugin in plugins("tasks").items()}
    published = read_published(published_folder())
    tasks = sorted({*index.tasks, *(row.task for _, row in published)})
    _check_ours(out)
    with whole_folder(out) as place:
        for name in _FOLDERS:  # even with nothing in it, so that an earlier site's is replaced
            (place / name).mkdir()
        files = _Files(place)
        with RunPages(place, pictures=pictures) as runs:
            for task in tasks:
                table = task_table(index, task, published=True)
                rows = {(row.config_id, row.origin) for row in table.rows}
                # Runs without a number have no row, and the table's notes tell of them.
                entries = [entry for entry in index.entries(task) if (entry.config_id, entry.origin) in rows]
                runs.add([(entry.path, entry.origin) for entry in entries])
                texts, summary = task_files(table, task, about=about.get(task, ""), entries=entries, pictures=pictures)
                files.write(texts)
                board.add(summary, entries)
        files.write(dict(board.pages()))
        files.write({"claims.html": claims_text(claims(index, published), published)})
        (place / MARKER).write_text("A generated site; `dxbench leaderboard build` replaces all that it has made.\n")
    return Built(
        folder=out,
        tasks=len(tasks),
        methods=len(board.methods),
        runs=runs.count,
        bytes=files.bytes + runs.bytes,
        picture_bytes=runs.picture_bytes,
    )


class _Files:
    """Files of the site, counted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.bytes = 0

    def write(self, texts: dict[str, str]) -> None:
        for name, text in texts.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self.bytes += path.write_bytes(text.encode())


def _check_ours(out: Path) -> None:
    """Refuse a folder in which something lies and no site of ours.

    Raises:
        UsageError: naming it.
    """
    found = [one.name for one in out.iterdir() if not one.name.startswith(TEMPORARY)] if out.is_dir() else []
    if found and MARKER not in found:
        raise UsageError(f"{out} holds files that are no dxbench site; name an empty folder or a new one with --out")
