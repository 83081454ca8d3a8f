"""`dxbench table`."""

from collections.abc import Sequence
from pathlib import Path

from dxbench.boards.asking import asked_for
from dxbench.boards.opening import open_records
from dxbench.boards.render import Format, render
from dxbench.errors import ExitCode
from dxbench.files.writing import write_named


def table_command(
    *,
    task: str | None,
    suite: str | None,
    published: bool,
    format: Format,
    metrics: Sequence[str] | None,
    folders: Sequence[Path] | None,
    out: Path | None,
) -> int:
    """Print or write one table.

    Raises:
        UsageError: unless exactly one of task and suite is given.
        NothingMeasured: if there is nothing to show.
    """
    asked = asked_for(task, suite)
    with open_records(folders, task=asked.task) as index:
        table = asked.table(index, metrics=metrics, published=published)
        text = render(table, format)
        if out is None:
            print(text)
        else:
            write_named(out, text + "\n")
    return int(ExitCode.OK)
