"""The page of a task: its tables and plots, and the files to download beside it."""

import shlex
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dxbench.api import Direction
from dxbench.boards.aggregate import Mark, Row
from dxbench.boards.render import Format
from dxbench.boards.render import render as render_table
from dxbench.boards.render.cells import ARROWS, Cell, cells, directions, header, notes
from dxbench.boards.site.names import config_anchor, method_page, row_anchor, run_page, task_page, tone
from dxbench.boards.site.pictures import PictureSource
from dxbench.boards.site.plots import (
    CARD_DOTS,
    CARD_HEIGHT,
    DotPlot,
    ParetoPlot,
    dot_plot,
    pareto_plot,
)
from dxbench.boards.site.rendering import render
from dxbench.boards.site.runs import STAGE_NAMES, Shown, face, repeat_command
from dxbench.boards.tables import OUTSIDE, Block, Table
from dxbench.metrics.cards import card_named
from dxbench.plugins.configure import QUICK_PRESET
from dxbench.records.entries import Entry

COSTS: Mapping[str, Callable[[Row], float | None]] = {
    "NFE": lambda row: row.nfe,
    "FLOP per sample": lambda row: row.cost.flops,
    "FLOP of the whole training": lambda row: row.cost.training_flops,
}
"""What quality is drawn against."""
DOWNLOADS: Mapping[str, Format] = {"csv": "csv", "tex": "latex-table", "json": "json"}
"""Format of each file beside the page, by its ending."""
_AROUND = 6
"""Columns of a table that are no metric."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row as pages print it.

    Attributes:
        cells: as `render.cells.header` names them, the label first.
        page: where its runs are listed; None for a paper's row.
        command: what to type to run all its seeds again, and `date` the day of the newest; "" for a paper's row.
    """

    anchor: str
    row: Row
    cells: list[Cell]
    page: str | None
    command: str
    date: str


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Plots of a metric over the rows of one block."""

    metric: str
    arrow: str
    dots: DotPlot
    paretos: list[ParetoPlot]


@dataclass(frozen=True, kw_only=True)
class TaskSummary:
    """The summary of a task that other pages show.

    Attributes:
        about: a line on the task.
        runs: how many there are.
        metric: its first column, with an arrow; "" without any.
        lines: all rows, papers' included.
        best: those measured here that may be the first by the first column.
        ahead: rows of one seed, which do not rank, that are ahead of all of these by that column.
        pictured: pictures of its rows, best first.
        plot: quality against cost in small, or `dots` where no row has a cost.
        date: the day of the newest run.
    """

    task: str
    about: str
    runs: int
    metric: str
    header: list[str]
    lines: list[Line]
    best: list[Line]
    ahead: list[Line]
    pictured: list[Shown]
    plot: ParetoPlot | None
    dots: DotPlot | None
    date: str

    @property
    def measured(self) -> list[Line]:
        """Rows of ours."""
        return [line for line in self.lines if line.row.kind != "published"]

    @property
    def best_pictured(self) -> Shown | None:
        """The best row of those with the most pictures."""
        return face(self.pictured)


Groups = Mapping[tuple[str | None, str], Sequence[Entry]]
"""Runs by configuration and origin."""


def groups_of(entries: Iterable[Entry]) -> Groups:
    """Runs of each row, by seed."""
    groups: dict[tuple[str | None, str], list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: (entry.seed, entry.run_id)):
        groups[entry.config_id, entry.origin].append(entry)
    return groups


def lines_of(table: Table, block: Block, task: str, groups: Groups) -> Iterator[Line]:
    """The rows of a block."""
    for row, line in zip(block.rows, cells(table, block), strict=True):
        page, command, date = None, "", ""
        if row.method is not None and row.config_id is not None:
            page = f"{method_page(row.method)}#{config_anchor(task, row.config_id, origin=row.origin)}"
            runs = groups[row.config_id, row.origin]
            if (
                row.kind != "external"
            ):  # whose commands stand on the pages of the runs, since each has samples of its own
                command = repeat_command(runs[0], ",".join(str(entry.seed) for entry in runs))
            date = max(entry.created for entry in runs)[:10]
        yield Line(anchor=row_anchor(row), row=row, cells=line, page=page, command=command, date=date)


def _pictured(lines: Sequence[Line], groups: Groups, pictures: PictureSource) -> Iterator[Shown]:
    for line in lines:
        for entry in groups.get((line.row.config_id, line.row.origin), ()):
            if tiles := pictures.of(entry.record(), Path(entry.path).parents[2]):
                page = run_page(entry.task, entry.method, entry.run_id, origin=entry.origin)
                value = line.cells[2].text if len(line.cells) > _AROUND else ""
                quick = entry.preset == QUICK_PRESET
                yield Shown(
                    label=line.row.label, anchor=line.anchor, value=value, page=page, tiles=list(tiles), quick=quick
                )
                break


def task_files(
    table: Table, task: str, *, about: str, entries: Sequence[Entry], pictures: PictureSource
) -> tuple[dict[str, str], TaskSummary]:
    """The files of a task, text by path, and what other pages say of it.

    Args:
        about: a line on the task.
    """
    page, groups = task_page(task), groups_of(entries)
    files = {_beside(page, ending): render_table(table, format) + "\n" for ending, format in DOWNLOADS.items()}
    blocks = [list(lines_of(table, block, task, groups)) for block in table.blocks]
    summary = _summary(table, task, about, entries, [line for block in blocks for line in block], pictures)
    names = {line.row.method: line.page for line in summary.lines if line.page is not None}
    files[page] = render(
        "task",
        depth=1,
        title=task,
        task=summary,
        command=f"dxbench table --task {shlex.quote(task)} --published",
        downloads={ending: PurePosixPath(_beside(page, ending)).name for ending in DOWNLOADS},
        blocks=[
            {
                "outside": OUTSIDE in block.differing,
                "differing": block.differing,
                "lines": lines,
                "figures": list(_figures_of(table, block)),
            }
            for block, lines in zip(table.blocks, blocks, strict=True)
        ],
        tones=_tones(summary.measured),
        methods={name: page.partition("#")[0] for name, page in names.items()},
        metric_notes={name: card.summary for name in table.metrics if (card := card_named(name)) is not None},
        protocols=_protocols(table),
        notes=notes(table),
        versions=sorted({entry.task_version for entry in entries}),
        stages=STAGE_NAMES,
    )
    return files, summary


def _tones(lines: Sequence[Line]) -> dict[str, list[str]]:
    """The families behind each colour."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for line in lines:
        if line.row.kind == "measured" and line.row.family is not None:
            found[tone(line.row.family)][line.row.family] = None
    return {name: list(families) for name, families in sorted(found.items())}


def _summary(
    table: Table, task: str, about: str, entries: Sequence[Entry], lines: list[Line], pictures: PictureSource
) -> TaskSummary:
    first = table.metrics[0] if table.metrics else ""
    better = directions(table).get(first, "none")
    rows = [row for row in table.blocks[0].rows if row.kind != "published" or not entries] if table.blocks else []
    small = _paretos_of(rows, first, better, height=CARD_HEIGHT)
    best = [line for line in lines if line.row.kind == "measured" and (rank := line.cells[2].rank) and rank.best]
    return TaskSummary(
        task=task,
        about=about,
        runs=len(entries),
        metric=f"{first}{ARROWS[better]}" if first else "",
        header=header(table),
        lines=lines,
        best=best if first else [],
        ahead=list(_ahead(lines, best, first, better)) if first else [],
        pictured=list(_pictured(lines, groups_of(entries), pictures)),
        plot=small[0] if small else None,
        dots=dot_plot(rows, first, better, most=CARD_DOTS) if first and not small else None,
        date=max((entry.created for entry in entries), default="")[:10],
    )


def _ahead(lines: Sequence[Line], best: Sequence[Line], metric: str, better: Direction) -> Iterator[Line]:
    """Rows of one seed with a better number than all that may be the first, the best of them first."""
    if not best or better == "none":
        return
    sign = -1 if better == "higher" else 1
    least = min(sign * line.row.scores[metric].value for line in best)
    alone = [
        line
        for line in lines
        if line.row.kind == "measured" and line.row.marks == (Mark.ONE_SEED,) and metric in line.row.scores
    ]
    alone.sort(key=lambda line: sign * line.row.scores[metric].value)
    yield from (line for line in alone if sign * line.row.scores[metric].value < least)


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


def _paretos_of(rows: Sequence[Row], metric: str, better: Direction, *, height: int | None = None) -> list[ParetoPlot]:
    plots = (pareto_plot(rows, metric, better, cost=name, cost_of=of, height=height) for name, of in COSTS.items())
    return [plot for plot in plots if plot is not None]


def _protocols(table: Table) -> dict[str, list[str]]:
    """Fingerprints by metric, the first block's first."""
    measured = [row for row in table.rows if row.kind != "published"]
    return {
        name: list(dict.fromkeys(row.scores[name].fingerprint for row in measured if name in row.scores))
        for name in table.metrics
    }
