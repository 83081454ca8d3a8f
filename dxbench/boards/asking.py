"""Questions that a user asks of the boards, by names: a table of a task or a suite, and one row against another."""

from collections.abc import Sequence
from dataclasses import dataclass

from dxbench import paths
from dxbench.boards.compare import MetricComparison, compare, select
from dxbench.boards.opening import row_name
from dxbench.boards.published import read_published
from dxbench.boards.tables import Table, suite_table, task_table
from dxbench.errors import NothingMeasured, UsageError, unknown
from dxbench.plugins import registry
from dxbench.plugins.registry import TaskRef, task_name
from dxbench.plugins.suites import Suite, load_suite
from dxbench.records.index import RecordIndex


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A table that is wanted: all rows of a task, or those of a suite."""

    task: str
    suite: Suite | None

    def table(self, index: RecordIndex, *, metrics: Sequence[str] | None, published: bool) -> Table:
        """The table from the records of an index.

        Raises:
            UsageError: for a metric that is none.
            NothingMeasured: if there is nothing to show.
        """
        check_metrics(metrics or (), index, self.task)
        if self.suite is None:
            return task_table(index, self.task, metrics=metrics, published=published)
        return suite_table(index, self.suite, metrics=metrics, published=published)


def asked_for(task: TaskRef | None, suite: str | None) -> Asked:
    """A table that is wanted of a task or a suite.

    Raises:
        UsageError: unless it is exactly one of the two, or for a suite that is not there.
    """
    if task is not None and suite is None:
        return Asked(task=task_name(task), suite=None)
    if suite is None or task is not None:
        raise UsageError("give a task or a suite, one of them")
    chosen = load_suite(suite)
    name = task_name(chosen.task)
    return Asked(task=name, suite=chosen.model_copy(update={"task": name}))


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
        if name not in measured and name not in registry.load_metrics():
            raise unknown(f"metric of {task}", name, measured, remedy="See `dxbench list metrics`.")
        if name not in measured:
            raise NothingMeasured(f"no record of {task} has measured {name}; they have {', '.join(sorted(measured))}")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The verdict of every metric on row `a` against row `b`."""

    a: str
    b: str
    alpha: float
    metrics: Sequence[MetricComparison]

    @property
    def comparable(self) -> bool:
        """Some metric could compare them."""
        return any(one.difference is not None for one in self.metrics)


def compare_rows(index: RecordIndex, a: str, b: str, *, task: str, alpha: float) -> Comparison:
    """Two rows by what a user calls them.

    Raises:
        UsageError: for a row that is not there, or an alpha that is no probability.
        NothingMeasured: without a record of the task.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"alpha lies between 0 and 1, got {alpha}")
    entries = index.entries(task)
    if not entries:
        raise NothingMeasured(f"no record of task {task!r}; `dxbench run --task {task} ...` makes one")
    first, second = select(entries, row_name(a)), select(entries, row_name(b))
    return Comparison(a=first.label, b=second.label, alpha=alpha, metrics=compare(first, second, alpha=alpha))
