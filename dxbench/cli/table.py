"""`dxbench table`."""

from collections.abc import Sequence
from pathlib import Path

from dxbench import paths
from dxbench.boards.published import read_published
from dxbench.boards.render import Format, render
from dxbench.boards.tables import suite_table, task_table
from dxbench.cli.common import open_records
from dxbench.errors import ExitCode, NothingMeasured, UsageError, unknown
from dxbench.files.writing import write_named
from dxbench.plugins import registry
from dxbench.plugins.registry import task_name
from dxbench.plugins.suites import load_suite
from dxbench.records.index import RecordIndex


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
    named = chosen.task if chosen is not None else task
    assert named is not None
    of_task = task_name(named)
    with open_records(folders, task=of_task) as index:
        check_metrics(metrics or (), index, of_task)
        if chosen is not None:
            suited = chosen.model_copy(update={"task": of_task})
            table = suite_table(index, suited, metrics=metrics, published=published)
        else:
            table = task_table(index, of_task, metrics=metrics, published=published)
        text = render(table, format)
        if out is None:
            print(text)
        else:
            write_named(out, text + "\n")
    return int(ExitCode.OK)


def check_metrics(metrics: Sequence[str], index: RecordIndex, task: str) -> None:
    """Refuse columns that nothing of the task has a number for.

    Raises:
        UsageError: for a name that no metric has, with the nearest that the task has.
        NothingMeasured: for a metric that no record of the task and no paper's row has measured.
    """
    if not metrics:
        return
    papers = (row for _, row in read_published(paths.published()) if row.task == task)
    measured = {name for entry in index.entries(task) for name in entry.scores}
    measured |= {name for row in papers for name in row.scores}
    for name in metrics:
        if name not in measured and name not in registry.plugins("metrics"):
            raise unknown(f"metric of {task}", name, measured, remedy="See `dxbench list metrics`.")
        if name not in measured:
            raise NothingMeasured(f"no record of {task} has measured {name}; they have {', '.join(sorted(measured))}")
