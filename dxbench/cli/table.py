"""`dxbench table`."""

from collections.abc import Sequence
from pathlib import Path

from dxbench import paths
from dxbench.boards.tables import Format, render, suite_table, task_table
from dxbench.cli.common import warn
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
    places = folders or [paths.reference_results(), paths.results()]
    for folder in folders or []:
        if not folder.is_dir():
            raise UsageError(f"no folder {folder}")
    if suite is not None:
        table = suite_table(load_suite(suite), places, metrics=metrics, published=published, warn=warn)
    else:
        assert task is not None
        table = task_table(task, places, metrics=metrics, published=published, warn=warn)
    text = render(table, format)
    if out is None:
        print(text)
    else:
        write_text_atomically(out, text + "\n")
    return int(ExitCode.OK)
