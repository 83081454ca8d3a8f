"""One run as a self-contained HTML page: numbers, pictures, provenance."""

import base64
import io
from pathlib import Path
from typing import cast

from matplotlib.text import Text

from dxbench.api import Picture, ResultRecord, Task
from dxbench.boards.render.cells import cells, header, notes
from dxbench.boards.render.html import environment, filled
from dxbench.boards.tables import Table
from dxbench.files.writing import write_text_atomically
from dxbench.pictures.curves import learning_curves
from dxbench.plugins.configure import assignments
from dxbench.readers import load_arrays

INKS = {"light": "#1b1e23", "dark": "#e7e9ec"}
"""Of the words and axes of figures, by the colour scheme of the reader."""


def write_report(record: ResultRecord, folder: Path, *, task: Task, table: Table) -> Path:
    """Write report.html beside the run's arrays and return its path. The page loads nothing from elsewhere.

    Args:
        table: the result beside what it is to be compared with.
    """
    figures: list[Picture] = list(task.pictures(load_arrays(folder / "arrays.npz")))
    measurable = {metric.name for metric in task.metrics}
    if record.curves:
        figures.append(learning_curves(record.curves))
    template = environment().get_template("report.html.j2")
    page = filled(
        template,
        record=record,
        assignments=assignments,
        heads=header(table)[1:],
        columns=[
            (row, line) for block in table.blocks for row, line in zip(block.rows, cells(table, block), strict=True)
        ],
        notes=notes(table),
        remarks={name: text for name, text in record.notes.items() if name not in measurable},
        figures=[
            {
                "title": figure.title,
                "caption": figure.caption,
                **{scheme: base64.b64encode(png(figure, ink=ink)).decode() for scheme, ink in INKS.items()},
            }
            for figure in figures
        ],
    )
    path = folder / "report.html"
    write_text_atomically(path, page)
    return path


def png(picture: Picture, *, ink: str) -> bytes:
    """The figure as PNG on nothing, its words and axes in a colour; equal runs give equal bytes."""
    figure = picture.figure
    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
        axes.tick_params(which="both", colors=ink)
        for spine in axes.spines.values():
            spine.set_edgecolor(ink)
    for text in figure.findobj(Text):
        cast(Text, text).set_color(ink)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()
