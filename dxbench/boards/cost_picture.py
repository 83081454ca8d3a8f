"""A board as a picture: its first metric against network passes per sample, and operations of the whole training."""

import math
from collections.abc import Callable, Set
from typing import TypeGuard

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dxbench.boards.aggregate import Row
from dxbench.boards.render.cells import quantity
from dxbench.boards.tables import Table
from dxbench.metrics.cards import limits

COSTS: dict[str, Callable[[Row], float | None]] = {
    "network passes per sample": lambda row: row.nfe,
    "FLOP of the whole training, a teacher included": lambda row: row.cost.training_flops,
}

NONE = dict(zip(COSTS, ("without a network", "without training"), strict=True))
"""What is said of rows that cost nothing of a kind: there is no network of theirs to call, or to train."""

TICKS = 7
FEW = 3
"""Different costs that are named themselves, in place of round numbers near them."""
LEGEND_ROWS = 24
"""Names one below the other that the figure's height has room for."""


def cost_picture(table: Table, labels: Set[str]) -> Figure:
    """Rows with these labels, a panel per cost that some has; a line for the floor, which no method saw."""
    metric = table.metrics[0]
    rows = [row for row in table.rows if row.label in labels and metric in row.scores and row.kind != "published"]
    costs = {cost: of for cost, of in COSTS.items() if any((of(row) or 0) > 0 for row in rows)}
    columns = -(-len(rows) // LEGEND_ROWS)
    figure = Figure(figsize=(4 * len(costs) + 3.2 * columns, 4.6), layout="constrained")
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for axes, (cost, cost_of) in zip(panels, costs.items(), strict=True):
        for number, row in enumerate(row for row in rows if row.kind != "reference"):
            _dot(axes, row, metric, cost_of(row), colour=f"C{number % 10}", marker="os^D"[number // 10 % 4])
        for row in rows:
            if row.kind == "reference":
                axes.axhline(row.scores[metric].value, color="grey", linestyle=":", label=row.label)
        axes.set(xscale="log", yscale="log", xlabel=cost)
        axes.grid(alpha=0.3)
        costs_drawn = sorted({found for row in rows if _placed(found := cost_of(row))})
        ticks = costs_drawn if len(costs_drawn) <= FEW else _ticks(*axes.get_xlim())
        axes.set_xticks(ticks, [quantity(tick) for tick in ticks])
        axes.minorticks_off()
        absent = [row for row in rows if row.kind != "reference" and not _placed(cost_of(row))]
        free = sum(cost_of(row) is not None or row.cost.parameters == 0 for row in absent)
        told = {NONE[cost]: free, "without a count": len(absent) - free}
        if absent:
            text = ", ".join(f"{count} {why}" for why, count in told.items() if count)
            axes.set_title(text, fontsize=8, color="grey", loc="right")
    axes, *_ = figure.axes
    bounds = limits(metric)
    if bounds.high is not None:
        axes.set_ylim(top=min(axes.get_ylim()[1], bounds.high))
    ticks = _ticks(*axes.get_ylim())
    axes.set_yticks(ticks, [quantity(tick) for tick in ticks])
    axes.set_ylabel(f"{metric}, mean ± std over training seeds")
    named = {
        label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    drawn = [row.label for row in rows if row.label in named]
    figure.legend([named[label] for label in drawn], drawn, loc="outside right center", fontsize=8, ncols=columns)
    return figure


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two ends of a logarithmic axis, of which at most seven are named; both ends if none is."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 3, 5), (1, 3), (1,)):
        found = [digit * 10.0**decade for decade in decades for digit in digits]
        found = [tick for tick in found if low <= tick <= high]
        if len(found) <= TICKS:
            break
    return found if len(found) > 1 else [low, high]


def _placed(cost: float | None) -> TypeGuard[float]:
    """True of a cost above 0; a logarithm has no place for one that was not counted, or is none."""
    return cost is not None and cost > 1e-9


def _dot(axes: Axes, row: Row, metric: str, cost: float | None, *, colour: str, marker: str) -> None:
    if _placed(cost):
        score = row.scores[metric]
        axes.errorbar(cost, score.value, yerr=score.std, color=colour, marker=marker, capsize=3, label=row.label)
