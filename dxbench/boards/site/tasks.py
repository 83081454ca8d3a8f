"""The page of a task: its tables and plots, and the files to download beside it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pydantic import JsonValue

from dxbench.api import Direction
from dxbench.boards.aggregate import Row
from dxbench.boards.render import Format
from dxbench.boards.render import render as render_table
from dxbench.boards.render.cells import ARROWS, Cell, cells, directions, header, notes
from dxbench.boards.site.names import config_anchor, method_page, row_anchor, task_page
from dxbench.boards.site.plots import DotPlot, ParetoPlot, dot_plot, pareto_plot
from dxbench.boards.site.rendering import render
from dxbench.boards.tables import OUTSIDE, Block, Table
from dxbench.metrics.cards import card_named
from dxbench.records.entries import Entry

COSTS: Mapping[str, Callable[[Row], float | None]] = {
    "NFE": lambda row: row.nfe,
    "FLOP per sample": lambda row: row.cost.flops,
    "FLOP of the whole training": lambda row: row.cost.training_flops,
}
"""What quality is drawn against."""
DOWNLOADS: Mapping[str, Format] = {"csv": "csv", "tex": "latex-table", "json": "json"}
"""Format of each file beside the page, by its ending."""
_FIRST, _LAST = ("label", "NFE"), ("seeds", "passes", "train FLOP", "FLOP")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row as pages print it.

    Attributes:
        cells: as `render.cells.header` names them, the label first.
        page: where its runs are listed; None for a paper's row.
    """

    anchor: str
    row: Row
    cells: list[Cell]
    page: str | None


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Plots of a metric over the rows of one block."""

    metric: str
    arrow: str
    dots: DotPlot
    paretos: list[ParetoPlot]


@dataclass(frozen=True, kw_only=True)
class TaskSummary:
    """What other pages say of a task.

    Attributes:
        about: a line on the task.
        runs: how many there are.
        metric: its first column, with an arrow; "" without any.
        lines: all rows of ours.
        best: those measured here that may be the first by the first column.
    """

    task: str
    about: str
    runs: int
    metric: str
    header: list[str]
    lines: list[Line]
    best: list[Line]


def lines_of(table: Table, block: Block, task: str) -> Iterator[Line]:
    """The rows of a block."""
    for row, line in zip(block.rows, cells(table, block), strict=True):
        page = None
        if row.method is not None and row.config_id is not None:
            page = f"{method_page(row.method)}#{config_anchor(task, row.config_id, origin=row.origin)}"
        yield Line(anchor=row_anchor(row), row=row, cells=line, page=page)


def task_files(
    table: Table, task: str, *, about: str, entries: Sequence[Entry], gallery: Sequence[Mapping[str, str]]
) -> tuple[dict[str, str], TaskSummary]:
    """The files of a task, text by path, and what other pages say of it.

    Args:
        about: a line on the task.
        gallery: title, caption and file of each picture beside the page.
    """
    page = task_page(task)
    files = {_beside(page, ending): render_table(table, format) + "\n" for ending, format in DOWNLOADS.items()}
    blocks = [list(lines_of(table, block, task)) for block in table.blocks]
    lines = [line for block in blocks for line in block if line.row.kind != "published"]
    names = {line.row.method: line.page for line in lines if line.page is not None}
    files[page] = render(
        "task",
        depth=1,
        title=task,
        about=about,
        command=f"dxbench table --task {task} --published",
        downloads={ending: PurePosixPath(_beside(page, ending)).name for ending in DOWNLOADS},
        columns=list(zip([*_FIRST, *table.metrics, *_LAST], header(table), strict=True)),
        blocks=[
            {
                "outside": OUTSIDE in block.differing,
                "differing": block.differing,
                "lines": lines,
                "figures": list(_figures_of(table, block)),
            }
            for block, lines in zip(table.blocks, blocks, strict=True)
        ],
        families=sorted({line.row.family for line in lines if line.row.family is not None}),
        methods={name: page.partition("#")[0] for name, page in names.items()},
        metric_notes={name: card.summary for name in table.metrics if (card := card_named(name)) is not None},
        protocols=_protocols(table),
        notes=notes(table),
        gallery=gallery,
        counts={"runs": len(entries), "rows": len(lines)},
        data=_data(table, [line for block in blocks for line in block]),
    )
    first = table.metrics[0] if table.metrics else ""
    return files, TaskSummary(
        task=task,
        about=about,
        runs=len(entries),
        metric=f"{first}{ARROWS[directions(table)[first]]}" if first else "",
        header=header(table),
        lines=lines,
        best=[line for line in lines if line.row.kind == "measured" and line.row.ranks and line.cells[2].best]
        if first
        else [],
    )


def _beside(page: str, ending: str) -> str:
    return str(PurePosixPath(page).with_suffix(f".{ending}"))


def _figures_of(table: Table, block: Block) -> Iterator[Figures]:
    """One set of plots per metric that a row of the block has."""
    for metric, better in directions(table).items():
        dots = dot_plot(block.rows, metric, better)
        if dots is not None:
            yield Figures(
                metric=metric, arrow=ARROWS[better], dots=dots, paretos=_paretos_of(block.rows, metric, better)
            )


def _paretos_of(rows: Sequence[Row], metric: str, better: Direction) -> list[ParetoPlot]:
    plots = (pareto_plot(rows, metric, better, cost=name, cost_of=of) for name, of in COSTS.items())
    return [plot for plot in plots if plot is not None]


def _protocols(table: Table) -> dict[str, list[str]]:
    """Fingerprints by metric, the first block's first."""
    measured = [row for row in table.rows if row.kind != "published"]
    return {
        name: list(dict.fromkeys(row.scores[name].fingerprint for row in measured if name in row.scores))
        for name in table.metrics
    }


def _data(table: Table, lines: Sequence[Line]) -> dict[str, JsonValue]:
    """What the page sorts and filters by, at full precision."""
    worth = directions(table)
    return {
        "columns": [{"key": key, "better": worth.get(key, "none")} for key in (*_FIRST, *table.metrics, *_LAST)],
        "rows": {
            line.anchor: {
                "family": line.row.family,
                "kind": line.row.kind,
                "ranks": line.row.ranks,
                "nfe": line.row.nfe,
                "values": _values(line.row, table.metrics),
            }
            for line in lines
        },
    }


def _values(row: Row, metrics: Sequence[str]) -> list[JsonValue]:
    scores = [row.scores[name].value if name in row.scores else None for name in metrics]
    cost = row.cost
    return [row.label, row.nfe, *scores, row.seeds or None, cost.training_passes, cost.training_flops, cost.flops]
