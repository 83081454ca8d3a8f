"""A table as a page that needs nothing else."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape

from dxbench.boards.render.cells import cells, differing, header, notes, title
from dxbench.boards.tables import Table
from dxbench.plain import counted, plain_markup


@cache
def environment() -> Environment:
    """Templates under dxbench/boards, with everything escaped, of whatever file name."""
    found = Environment(
        loader=PackageLoader("dxbench.boards", "."),
        autoescape=select_autoescape(default=True, default_for_string=True),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        auto_reload=False,
    )
    found.globals["counted"] = counted
    return found


def filled(template: Template, **values: object) -> str:
    """A page of a template, with nothing in it that a reader cannot see."""
    return plain_markup(template.render(**values))


def page(table: Table) -> str:
    """A self-contained page: no script, nothing loaded."""
    blocks = [{"differing": differing(block), "rows": list(cells(table, block))} for block in table.blocks]
    template = environment().get_template("render/table.html.j2")
    return filled(template, title=title(table), header=header(table), blocks=blocks, notes=notes(table)).rstrip("\n")
