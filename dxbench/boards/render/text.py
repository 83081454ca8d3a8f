"""Tables for terminals and for Markdown."""

from collections.abc import Iterator, Sequence
from shutil import get_terminal_size
from textwrap import fill, wrap

from tabulate import MIN_PADDING, tabulate

from dxbench.boards.aggregate import Row
from dxbench.boards.render.cells import Cell, cells, differing, header, notes, title
from dxbench.boards.tables import Block, Table
from dxbench.plain import plain

_RAISED = str.maketrans("0123456789–", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
ELSEWHERE = (120, 24)
"""Columns and lines where no terminal says how many it has."""
_LABEL_SHARE = 0.45
"""Of a line, what labels may take before they are broken."""
_GAP = 2


def aligned(table: Table) -> str:
    """Aligned columns, blocks one below the other; a block that is too wide for a line goes on below itself."""
    width = get_terminal_size(ELSEWHERE).columns
    parts = [fill(title(table), width)]
    for block in table.blocks:
        parts += ["", *(fill(text, width) for text in differing(block)), *_grids(table, block, width)]
    found = [fill(note, width, subsequent_indent="  ") for note in notes(table)]
    return "\n".join([*parts, *([""] if found else []), *found])


def _grids(table: Table, block: Block, width: int) -> Iterator[str]:
    """The block in as many grids as it takes, each with the labels and the columns that fit."""
    heads = header(table)
    body = [[_raised(cell) for cell in row] for row in cells(table, block)]
    longest = max(20, int(_LABEL_SHARE * width))
    labels = ["\n".join(wrap(row[0], longest)) if len(row[0]) > longest else row[0] for row in body]
    room = width - max((len(line) for label in labels for line in label.split("\n")), default=0)
    for number, group in enumerate(_fitting(_column_widths(heads, body), room)):
        lines = [[label, *(row[column] for column in group)] for label, row in zip(labels, body, strict=True)]
        if number:
            yield ""
        yield tabulate(
            lines,
            headers=["", *(heads[column] for column in group)],
            colalign=["left", *["right"] * len(group)],
            disable_numparse=True,
        )


def _column_widths(heads: Sequence[str], body: Sequence[Sequence[str]]) -> list[int]:
    """Widths of columns as tabulate sets them, which leaves heads some room."""
    return [max([len(head) + MIN_PADDING, *(len(row[column]) for row in body)]) for column, head in enumerate(heads)]


def _fitting(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Columns after the first, in groups that are no wider than the room; one at least."""
    group: list[int] = []
    used = 0
    for column in range(1, len(widths)):
        wanted = widths[column] + _GAP
        if group and used + wanted > room:
            yield group
            group, used = [], 0
        group.append(column)
        used += wanted
    yield group


def by_metric(table: Table) -> str:
    """A table of one block and few rows, turned: a line per metric. What is too wide goes on below itself."""
    width = get_terminal_size(ELSEWHERE).columns
    columns = [[_raised(cell) for cell in row] for block in table.blocks for row in cells(table, block)]
    names = [title(table), *header(table)[1:]]
    heads = [column[0].replace(" — ", "\n").replace(", ", ",\n") for column in columns]
    first = max(len(name) for name in names)
    sizes = [first, *(_widest(head, column[1:]) for head, column in zip(heads, columns, strict=True))]
    parts = []
    for group in _fitting(sizes, width - first):
        lines = [[name, *(columns[i - 1][row] for i in group)] for row, name in enumerate(names) if row]
        align = ["left", *["right"] * len(group)]
        grid_heads = [names[0], *(heads[i - 1] for i in group)]
        parts += [tabulate(lines, headers=grid_heads, colalign=align, disable_numparse=True), ""]
    return "\n".join([*parts, *(fill(note, width, subsequent_indent="  ") for note in notes(table))])


def _widest(head: str, column: Sequence[str]) -> int:
    return max([*(len(line) + MIN_PADDING for line in head.split("\n")), *map(len, column)])


def markdown(table: Table) -> str:
    """GitHub's pipe tables, best in bold."""
    parts = [f"**{markdown_text(title(table))}**"]
    for block in table.blocks:
        parts += ["", *(f"{markdown_text(text)}\n" for text in differing(block)), markdown_grid(table, block)]
    return "\n".join([*parts, "", *(f"- {markdown_text(note)}" for note in notes(table))])


def markdown_grid(table: Table, block: Block) -> str:
    """One block as a pipe table without title and notes."""
    body = [[_marked(cell) for cell in row] for row in cells(table, block)]
    align = ["left", *["right"] * (len(header(table)) - 1)]
    heads = [markdown_text(head) for head in header(table)]
    return tabulate(body, headers=heads, tablefmt="pipe", colalign=align, disable_numparse=True)


def brief_markdown(table: Table, rows: Sequence[Row]) -> str:
    """Some rows of a table as a pipe table for a page: network passes and metrics, without ranks and costs."""
    block = Block(rows=tuple(rows), ranks={name: {} for name in table.metrics})
    shown = 2 + len(table.metrics)
    body = [[_marked(cell) for cell in row[:shown]] for row in cells(table, block)]
    heads = [markdown_text(head) for head in header(table)[:shown]]
    align = ["left", *["right"] * (shown - 1)]
    return tabulate(body, headers=heads, tablefmt="pipe", colalign=align, disable_numparse=True)


def _raised(cell: Cell) -> str:
    text = _struck(cell.text) if cell.struck else cell.text
    return text if cell.rank is None else f"{text} {str(cell.rank).translate(_RAISED)}"


def _struck(text: str) -> str:
    """Strike a cell through as Markdown does; a terminal shows the signs."""
    return f"~~{text}~~"


def _marked(cell: Cell) -> str:
    text = _struck(markdown_text(cell.text)) if cell.struck else markdown_text(cell.text)
    raised = "" if cell.rank is None else f" {str(cell.rank).translate(_RAISED)}"
    return f"**{text}**{raised}" if cell.bold else f"{text}{raised}"


def markdown_text(text: str) -> str:
    """A text as a part of a Markdown cell: from a name can come neither a cell's end, HTML, a link nor a picture."""
    text = plain(text).replace("\\", "\\\\").replace("](", "]\\(")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")
