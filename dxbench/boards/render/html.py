"""A table as a page that needs nothing else."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from dxbench.boards.render.cells import cells, header, notes
from dxbench.boards.tables import Table


@cache
def environment() -> Environment:
    """Templates under dxbench/boards, with everything escaped, of whatever file name."""
    return Environment(
        loader=PackageLoader("dxbench.boards", "."),
        autoescape=select_autoescape(default=True, default_for_string=True),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        auto_reload=False,
    )


def page(table: Table) -> str:
    """A self-contained page: no script, nothing loaded."""
    blocks = [{"differing": block.differing, "rows": list(cells(table, block))} for block in table.blocks]
    template = environment().get_template("render/table.html.j2")
    return template.render(title=table.title, header=header(table), blocks=blocks, notes=notes(table)).rstrip("\n")
