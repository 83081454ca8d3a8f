"""Tables for terminals and for Markdown."""

from tabulate import tabulate

from dxbench.boards.render.cells import Cell, cells, header, notes
from dxbench.boards.tables import Block, Table

_RAISED = str.maketrans("0123456789–", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def plain(table: Table) -> str:
    """Aligned columns, blocks one below the other."""
    parts = [table.title]
    for block in table.blocks:
        body = [[_raised(cell) for cell in row] for row in cells(table, block)]
        grid = tabulate(body, headers=header(table), colalign=_alignment(table), disable_numparse=True)
        parts += ["", *block.differing, grid]
    found = notes(table)
    return "\n".join([*parts, *([""] if found else []), *found])


def by_metric(table: Table) -> str:
    """A table of one block and few rows, turned: a line per metric, so that it fits a terminal."""
    columns = [[_raised(cell) for cell in row] for block in table.blocks for row in cells(table, block)]
    names = [table.title, *header(table)[1:]]
    lines = [list(line) for line in zip(names, *columns, strict=True)]
    heads = [text.replace(" — ", "\n").replace(", ", ",\n") for text in lines[0]]
    align = ["left", *["right"] * len(columns)]
    grid = tabulate(lines[1:], headers=heads, colalign=align, disable_numparse=True)
    return "\n".join([grid, "", *notes(table)])


def markdown(table: Table) -> str:
    """GitHub's pipe tables, best in bold."""
    parts = [f"**{_escape(table.title)}**"]
    for block in table.blocks:
        parts += ["", *(f"{_escape(text)}\n" for text in block.differing), markdown_grid(table, block)]
    return "\n".join([*parts, "", *(f"- {_escape(note)}" for note in notes(table))])


def markdown_grid(table: Table, block: Block) -> str:
    """One block as a pipe table without title and notes."""
    body = [[_marked(cell) for cell in row] for row in cells(table, block)]
    return tabulate(body, headers=header(table), tablefmt="pipe", colalign=_alignment(table), disable_numparse=True)


def _alignment(table: Table) -> list[str]:
    return ["left", *["right"] * (len(header(table)) - 1)]


def _raised(cell: Cell) -> str:
    return cell.text if cell.rank is None else f"{cell.text} {str(cell.rank).translate(_RAISED)}"


def _marked(cell: Cell) -> str:
    text = _escape(cell.text)
    raised = "" if cell.rank is None else f" {str(cell.rank).translate(_RAISED)}"
    return f"**{text}**{raised}" if cell.best else f"{text}{raised}"


def _escape(text: str) -> str:
    """Neither a cell's end nor HTML can come from a name."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")
