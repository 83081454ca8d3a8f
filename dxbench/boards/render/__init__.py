"""A table in the formats people read and machines take."""

from collections.abc import Callable, Mapping
from typing import Literal

from dxbench.boards.render import data, html, latex, text
from dxbench.boards.tables import Table

Format = Literal["text", "md", "latex", "latex-table", "html", "csv", "json"]

_FORMATS: Mapping[Format, Callable[[Table], str]] = {
    "text": text.plain,
    "md": text.markdown,
    "latex": latex.document,
    "latex-table": latex.table_environment,
    "html": html.page,
    "csv": data.as_csv,
    "json": data.as_json,
}


def render(table: Table, format: Format) -> str:
    """A table as text of the given format, without a newline at its end."""
    return _FORMATS[format](table)
