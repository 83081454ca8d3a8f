"""Tables as files: one per task, and one per suite that is a paper's table or an ablation."""

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from dxbench.boards.render import render
from dxbench.boards.render.text import brief_markdown, markdown_grid
from dxbench.boards.tables import Table, suite_table, task_table
from dxbench.errors import InvalidFile, NothingMeasured
from dxbench.files.reading import read_regular
from dxbench.plugins.suites import Suite, load_suite, suite_names
from dxbench.records.index import RecordIndex

PAGE_LIMIT = 2**20
"""Bytes of a page that a table stands in."""
_PLACE = re.compile(
    r"(?P<head><!-- table (?P<suite>[\w-]+): (?P<metrics>[\w@, ]+)(?: \| (?P<rows>[^\n]+))? -->\n)"
    r".*?(?P<end><!-- end of table -->)",
    re.DOTALL,
)


def exported(index: RecordIndex) -> Iterator[tuple[str, Table]]:
    """Name of a file without its ending, and its table, of every task and suite with records.

    A suite with the name of its task gives the task's table labels and an order.
    """
    suites = {name: load_suite(name) for name in suite_names()}
    for task in index.tasks:
        if task not in suites:
            yield task, task_table(index, task, published=False)
    for name, suite in suites.items():
        if _has_records(index, suite):
            yield name, suite_table(index, suite, published=True)


def _has_records(index: RecordIndex, suite: Suite) -> bool:
    try:
        suite_table(index, suite, published=False)
    except NothingMeasured:
        return False
    return True


def export_files(index: RecordIndex, folder: Path, *, pages: Sequence[Path]) -> dict[Path, str]:
    """Every file with its text: tables in a folder, and pages whose tables are to be as the records have them.

    Raises:
        InvalidFile: if a page lacks the place of a table, names a row that its table lacks, or cannot be read.
        UsageError: if it names an unknown suite.
    """
    files = {
        folder / f"{name}.{ending}": render(table, ending) + "\n"
        for name, table in exported(index)
        for ending in ("md", "csv")
    }
    return files | {page: _with_tables(index, page) for page in pages}


def _with_tables(index: RecordIndex, page: Path) -> str:
    """The text of a page with its tables as the records give them; as it was, while there are none."""

    def table(place: re.Match[str]) -> str:
        suite = load_suite(place["suite"])
        if not _has_records(index, suite):
            return place[0]
        metrics = [name.strip() for name in place["metrics"].split(",")]
        found = suite_table(index, suite, metrics=metrics, published=True)
        if place["rows"] is None:
            grids = "\n".join(markdown_grid(found, block) for block in found.blocks)
        else:
            grids = _brief(found, [label.strip() for label in place["rows"].split("|")], page)
        return f"{place['head']}{grids}\n{place['end']}"

    try:
        text, count = _PLACE.subn(table, read_regular(page, limit=PAGE_LIMIT).decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(f"{page}: {error}") from None
    if not count:
        raise InvalidFile(
            f"{page} has no `<!-- table SUITE: METRIC, METRIC -->` ... `<!-- end of table -->` to fill; "
            "`| ROW | ROW` behind the metrics picks rows of its first block"
        )
    return text


def _brief(table: Table, labels: Sequence[str], page: Path) -> str:
    """The rows of these labels, in their order: passes, means and stds, without ranks and costs."""
    rows = {row.label: row for row in table.blocks[0].rows}
    if missing := [label for label in labels if label not in rows]:
        raise InvalidFile(f"{page}: {table.title} has no row {missing[0]!r}; it has {', '.join(rows)}")
    return brief_markdown(table, [rows[label] for label in labels])


def cost_pictures(index: RecordIndex, folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Pictures of the boards of tasks that are sampled: their labelled rows, the first metric against its cost."""
    from dxbench.boards.cost_picture import cost_picture

    for path, labels, table in pictured(index, folder):
        out = io.BytesIO()
        cost_picture(table, labels).savefig(out, format="png", dpi=110, metadata={"Software": None})
        yield path, out.getvalue()


def pictured(index: RecordIndex, folder: Path) -> Iterator[tuple[Path, set[str], Table]]:
    """Path, labels of the rows that are drawn, and table of every picture."""
    for name, table in exported(index):
        if name in index.tasks and any(row.nfe for row in table.rows):
            labels = {line.label for line in load_suite(name).rows} if name in suite_names() else set[str]()
            yield folder / f"{name}.png", labels or {row.label for row in table.rows}, table
