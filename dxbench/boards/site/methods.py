"""The page of a method: what it is, and all its rows and runs on every task."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from dxbench.api import MethodCard
from dxbench.boards.site.names import config_anchor, run_page, task_page
from dxbench.boards.site.rendering import render
from dxbench.boards.site.runs import STAGE_NAMES, Shown, face
from dxbench.boards.site.tasks import Line, TaskSummary, groups_of
from dxbench.plugins.configure import assignments
from dxbench.plugins.registry import plugins
from dxbench.records.entries import Entry


@dataclass(frozen=True, kw_only=True)
class RunLink:
    """A run of a row; `withdrawn` is as in its record."""

    seed: int
    status: str
    withdrawn: str | None
    page: str


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """A row of a method with its configuration, as --set takes it, and its runs by seed."""

    anchor: str
    line: Line
    version: int
    config: list[str]
    runs: list[RunLink]


@dataclass(frozen=True, kw_only=True)
class OnTask:
    """The rows of a method on one task."""

    task: str
    page: str
    header: list[str]
    configurations: list[Configuration]
    pictured: list[Shown]


def on_task(summary: TaskSummary, entries: Sequence[Entry]) -> dict[str, OnTask]:
    """Gather, by method, what its page says of a task."""
    groups = groups_of(entries)
    pictured = {shown.anchor: shown for shown in summary.pictured}
    found: dict[str, list[Configuration]] = defaultdict(list)
    for line in summary.measured:
        group = groups[line.row.config_id, line.row.origin]
        found[group[0].method].append(_configuration(line, group))
    return {
        method: OnTask(
            task=summary.task,
            page=task_page(summary.task),
            header=summary.header[1:],
            configurations=rows,
            pictured=[pictured[one.line.anchor] for one in rows if one.line.anchor in pictured],
        )
        for method, rows in found.items()
    }


def _configuration(line: Line, group: Sequence[Entry]) -> Configuration:
    first = group[0]
    return Configuration(
        anchor=config_anchor(first.task, first.config_id, origin=first.origin),
        line=line,
        version=first.method_version,
        config=assignments(first.config),
        runs=[
            RunLink(
                seed=entry.seed,
                status=entry.status,
                withdrawn=entry.withdrawn,
                page=run_page(entry.task, entry.method, entry.run_id, origin=entry.origin),
            )
            for entry in group
        ],
    )


def method_text(method: str, card: MethodCard, tasks: Sequence[OnTask]) -> str:
    """The page of a method.

    Args:
        card: as its newest record has it.
    """
    rows = [one for task in tasks for one in task.configurations]
    pictured = [shown for task in tasks for shown in task.pictured]
    plugin = plugins("methods").get(method)
    return render(
        "method",
        depth=1,
        title=method,
        card=card,
        tasks=tasks,
        runs=sum(len(one.runs) for one in rows),
        date=max(one.line.date for one in rows),
        versions=sorted({one.version for one in rows}),
        code=plugin.entry.value if plugin is not None else None,
        equations=plugin.equations() if plugin is not None else {},
        # A single picture stands with its task alone.
        shown=face(pictured) if len(pictured) > 1 else None,
        stages=STAGE_NAMES,
    )
