"""One run as a self-contained HTML page: numbers, pictures, provenance."""

import base64
import io
from pathlib import Path

from dxbench.api import Picture, ResultRecord, Task
from dxbench.boards.render.cells import cells, header, notes
from dxbench.boards.render.html import environment, filled
from dxbench.boards.tables import Table
from dxbench.files.writing import write_text_atomically
from dxbench.pictures.curves import learning_curves
from dxbench.readers import load_arrays


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
        header=header(table),
        rows=[
            (row.kind, line)
            for block in table.blocks
            for row, line in zip(block.rows, cells(table, block), strict=True)
        ],
        notes=notes(table),
        remarks={name: text for name, text in record.notes.items() if name not in measurable},
        figures=[
            {"title": figure.title, "caption": figure.caption, "png": _base64(figure), "alt": figure.caption}
            for figure in figures
        ],
    )
    path = folder / "report.html"
    write_text_atomically(path, page)
    return path


def _base64(picture: Picture) -> str:
    return base64.b64encode(png(picture)).decode()


def png(picture: Picture) -> bytes:
    """The figure as PNG without time stamps, so that equal runs give equal pages."""
    out = io.BytesIO()
    picture.figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()
