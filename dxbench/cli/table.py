"""`dxbench table`."""

from collections.abc import Sequence
from pathlib import Path

from dxbench.boards.render import Format, render
from dxbench.boards.tables import suite_table, task_table
from dxbench.cli.common import open_records
from dxbench.errors import ExitCode, UsageError
from dxbench.records import write_text_atomically
from dxbench.suites import load_suite


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
    if (task is None) == (suite is None):
        raise UsageError("give --task or --suite, one of them")
    chosen = load_suite(suite) if suite is not None else None
    with open_records(folders, task=chosen.task if chosen else task) as index:
        if chosen is not None:
            table = suite_table(index, chosen, metrics=metrics, published=published)
        else:
            assert task is not None
            table = task_table(index, task, metrics=metrics, published=published)
        text = render(table, format)
        if out is None:
            print(text)
        else:
            write_text_atomically(out, text + "\n")
    return int(ExitCode.OK)
