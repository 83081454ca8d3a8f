"""A board as a picture: its first metric against network passes per sample, and operations of the whole training."""

from collections.abc import Callable, Set

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from dxbench.boards.aggregate import Row
from dxbench.boards.tables import Table

COSTS: dict[str, Callable[[Row], float | None]] = {
    "network passes per sample": lambda row: row.nfe,
    "FLOP of the whole training, a teacher included": lambda row: row.cost.training_flops,
}


# Within a decade; every digit would run into the next decade's first.
LABELLED = (2, 3, 5)


def cost_picture(table: Table, labels: Set[str]) -> Figure:
    """Rows with these labels, a panel per cost that some has; a line for the floor, which no method saw."""
    metric = table.metrics[0]
    rows = [row for row in table.rows if row.label in labels and metric in row.scores and row.kind != "published"]
    costs = {cost: of for cost, of in COSTS.items() if any((of(row) or 0) > 0 for row in rows)}
    figure = Figure(figsize=(3 + 4 * len(costs), 4.6), layout="constrained")
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for axes, (cost, cost_of) in zip(panels, costs.items(), strict=True):
        for number, row in enumerate(row for row in rows if row.kind != "reference"):
            _dot(axes, row, metric, cost_of(row), colour=f"C{number % 10}", marker="os^D"[number // 10 % 4])
        for row in rows:
            if row.kind == "reference":
                axes.axhline(row.scores[metric].value, color="grey", linestyle=":", label=row.label)
        axes.set(xscale="log", yscale="log", xlabel=cost)
        axes.grid(alpha=0.3, which="both")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(LogLocator(subs=LABELLED))
            axis.set_minor_formatter("{x:g}")
    axes, *_ = figure.axes
    axes.set_ylabel(f"{metric}, mean ± std over training seeds")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


def _dot(axes: Axes, row: Row, metric: str, cost: float | None, *, colour: str, marker: str) -> None:
    # What was not counted, and what trains nothing, has no place on a logarithm.
    if cost is not None and cost > 1e-9:
        score = row.scores[metric]
        axes.errorbar(cost, score.value, yerr=score.std, color=colour, marker=marker, capsize=3, label=row.label)
