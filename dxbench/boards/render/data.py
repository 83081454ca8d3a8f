"""Tables for machines."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from dxbench.boards.aggregate import Row
from dxbench.boards.tables import Block, Table
from dxbench.plain import plain

_FORMULA = re.compile(r"(?:^|(?<=;))(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""Where a spreadsheet would begin to compute: at the start of a cell, and of a part where it takes ";" for the end."""


def as_csv(table: Table) -> str:
    """A line per row; `block` tells which rows may be compared."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for values in (columns(table), *lines(table)):
        writer.writerow([_inert(value) if isinstance(value, str) else value for value in values])
    return out.getvalue().rstrip("\n")


_COST = ("training_passes", "training_flops", "training_seconds", "flops", "parameters", "memory")


def columns(table: Table) -> list[str]:
    """Names of what `lines` holds."""
    of_metric = ("", "_std", "_first_place", "_last_place")
    scores = [f"{name}{part}" for name in table.metrics for part in of_metric]
    return ["block", "label", "kind", "nfe", *scores, "seeds", *_COST, "marks", "remarks"]


def lines(table: Table) -> Iterator[list[str | float | None]]:
    """The rows of all blocks, flat."""
    for number, block in enumerate(table.blocks):
        for index, row in enumerate(block.rows):
            scores = [value for name in table.metrics for value in _numbers(row, block, index, name)]
            costs = [getattr(row.cost, name) for name in _COST]
            texts = ["; ".join(row.marks), "; ".join(row.remarks)]
            yield [number, row.label, row.kind, row.nfe, *scores, row.seeds, *costs, *texts]


def _inert(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe says that it is text (OWASP, CSV injection)."""
    return _FORMULA.sub("'", plain(text))


def _numbers(row: Row, block: Block, index: int, metric: str) -> tuple[float | None, ...]:
    """Mean, std, first and last place."""
    summary, places = row.scores.get(metric), block.ranks[metric].get(index)
    of_score = (None, None) if summary is None else (summary.value, summary.std)
    return (*of_score, *((None, None) if places is None else (places.first, places.last)))


def as_json(table: Table) -> str:
    """Everything, the value of every seed included."""
    return json.dumps(as_mapping(table))


def as_mapping(table: Table) -> Mapping[str, JsonValue]:
    """A table as plain values."""
    return {
        "title": table.title,
        "metrics": list(table.metrics),
        "blocks": [
            {
                "differing": list(block.differing),
                "rows": [_row(row, block, index, table.metrics) for index, row in enumerate(block.rows)],
            }
            for block in table.blocks
        ],
        "footnotes": list(table.footnotes),
    }


def _row(row: Row, block: Block, index: int, metrics: tuple[str, ...]) -> JsonValue:
    scores: dict[str, JsonValue] = {}
    for name in metrics:
        if name in row.scores:
            fields = vars(row.scores[name])
            by_seed = {str(seed): value for seed, value in fields["by_seed"].items()}
            places = block.ranks[name].get(index)
            scores[name] = fields | {"by_seed": by_seed, "places": [places.first, places.last] if places else None}
    return {
        "label": row.label,
        "kind": row.kind,
        "method": row.method,
        "family": row.family,
        "selector": row.selector,
        "config_id": row.config_id,
        "seeds": row.seeds,
        "nfe": row.nfe,
        "cost": dict(vars(row.cost)),
        "scores": scores,
        "marks": [str(mark) for mark in row.marks],
        "remarks": list(row.remarks),
    }
