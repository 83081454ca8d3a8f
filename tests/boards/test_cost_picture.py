"""The picture of a board: nothing is cut off, and what is not drawn is said."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from dxbench.boards.aggregate import Row, RowCost, Summary
from dxbench.boards.cost_picture import cost_picture
from dxbench.boards.tables import Block, Table


def row(number: int, *, nfe: float, flops: float | None) -> Row:
    score = Summary(value=0.05 + 0.01 * number, std=0.01, better="lower", fingerprint="f", by_seed={0: 1.0, 1: 2.0})
    label = f"a method with a long name, number {number}"
    return Row(label=label, kind="measured", nfe=nfe, scores={"m": score}, cost=RowCost(training_flops=flops))


def drawn(rows: list[Row]) -> Any:
    table = Table(title="t", metrics=("m",), blocks=(Block(rows=tuple(rows), ranks={}),), footnotes=())
    figure = cost_picture(table, {one.label for one in rows})
    FigureCanvasAgg(figure).draw()
    return figure


@pytest.mark.parametrize("count", [3, 25, 60])
def test_every_row_is_named_within_the_picture(count: int) -> None:
    figure = drawn([row(i, nfe=1 + i, flops=None if i % 3 else 1e12 * (1 + i)) for i in range(count)])
    (legend,) = figure.legends
    assert len(legend.get_texts()) == count
    box, whole = legend.get_window_extent(), figure.bbox
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= whole.x1
    assert box.y1 <= whole.y1


@pytest.mark.parametrize("flops", [[1.98e12, 2.18e12], [1e11, 9e12, 4e12], [4e13, 5e13, 6e13, 7e13, 8e13]])
def test_names_of_ticks_do_not_overlap(flops: list[float]) -> None:
    figure = drawn([row(i, nfe=4 if i else 10, flops=found) for i, found in enumerate(flops)])
    for axes in figure.axes:
        boxes = sorted(
            (label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()), key=lambda box: box.x0
        )
        assert len(boxes) >= 2
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_a_row_that_trains_nothing_is_not_told_as_uncounted() -> None:
    free = row(2, nfe=3, flops=None)
    free = replace(free, cost=replace(free.cost, parameters=0.0))
    figure = drawn([row(0, nfe=1, flops=1e12), row(1, nfe=2, flops=2e12), free, row(3, nfe=3, flops=None)])
    assert figure.axes[1].get_title(loc="right") == "1 without training, 1 without a count"


def test_rows_without_a_cost_are_counted() -> None:
    figure = drawn([row(0, nfe=1, flops=1e12), row(1, nfe=2, flops=2e12), row(2, nfe=3, flops=None)])
    assert figure.axes[1].get_title(loc="right") == "1 without a count"
