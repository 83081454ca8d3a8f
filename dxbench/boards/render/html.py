"""A table as a page that needs nothing else."""

from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined, select_autoescape

from dxbench.boards.render.cells import cells, header, notes
from dxbench.boards.tables import Table


@cache
def environment() -> Environment:
    """Templates with everything escaped, of whatever file name."""
    return Environment(
        autoescape=select_autoescape(default=True, default_for_string=True),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def page(table: Table) -> str:
    """A self-contained page: no script, nothing loaded."""
    source = (resources.files("dxbench.boards.render") / "table.html.j2").read_text("utf-8")
    blocks = [{"differing": block.differing, "rows": list(cells(table, block))} for block in table.blocks]
    return (
        environment()
        .from_string(source)
        .render(title=table.title, header=header(table), blocks=blocks, notes=notes(table))
        .rstrip("\n")
    )
