"""Tables of what is installed."""

from typing import TYPE_CHECKING

from dxbench.plugins import registry

if TYPE_CHECKING:
    from pandas import DataFrame


def tasks() -> "DataFrame":
    """Installed tasks by name, with a line on each and the package it is from.

    >>> import dxbench
    >>> "gaussians8" in dxbench.tasks().index
    True
    """
    return _plugins("tasks")


def methods() -> "DataFrame":
    """Installed methods by name, with a line on each and the package it is from.

    >>> import dxbench
    >>> dxbench.methods().loc["knn", "package"]
    'dxmi-bench'
    """
    return _plugins("methods")


def metrics() -> "DataFrame":
    """Metrics of the installed tasks by name: what is measured, unit, range, direction, source and who scores by it.

    >>> import dxbench
    >>> dxbench.metrics().loc["sw2", ["better", "tasks"]].tolist()
    ['lower', 'gaussians8']
    """
    from pandas import DataFrame, Index

    from dxbench.metrics.cards import card_of

    rows = []
    for name, of_tasks in registry.load_metrics().items():
        metric = next(iter(of_tasks.values()))
        card = card_of(metric)
        nothing = (metric.title, "", "", "", "")
        said = nothing if card is None else (card.summary, card.unit, card.range, card.better, card.source)
        rows.append((name, *said, ", ".join(of_tasks)))
    columns = Index(["name", "summary", "unit", "range", "better", "source", "tasks"])
    return DataFrame(rows, columns=columns).set_index("name")


def _plugins(kind: registry.Kind) -> "DataFrame":
    from pandas import DataFrame, Index

    rows = []
    for name, plugin in sorted(registry.plugins(kind).items()):
        problem = plugin.problem()
        rows.append((name, plugin.summary() if problem is None else f"(unusable) {problem}", plugin.origin))
    return DataFrame(rows, columns=Index(["name", "summary", "package"])).set_index("name")
