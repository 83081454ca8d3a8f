"""A table in the formats people read and machines take."""

from collections.abc import Callable, Mapping
from typing import Literal

from dxbench.boards.render import data, latex, text
from dxbench.boards.tables import Table

__all__ = ["Format", "render"]

Format = Literal["text", "md", "latex", "latex-table", "html", "csv", "json"]


def _html(table: Table) -> str:
    from dxbench.boards.render import html  # jinja2, which no other format has to wait for

    return html.page(table)


_FORMATS: Mapping[Format, Callable[[Table], str]] = {
    "text": text.aligned,
    "md": text.markdown,
    "latex": latex.document,
    "latex-table": latex.table_environment,
    "html": _html,
    "csv": data.as_csv,
    "json": data.as_json,
}


def render(table: Table, format: Format) -> str:
    """A table as text of the given format, without a newline at its end."""
    return _FORMATS[format](table)
