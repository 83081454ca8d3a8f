"""Pictures of detection: how the scores of normal and anomalous points lie, ROC curves, each group's AUROC."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxbench.metrics.detection.ranking import FalseAlarms, auroc_standard_error
from dxbench.pictures.base import CaptionedFigure, new_figure

Scored = dict[str, tuple[NDArray[Any], NDArray[Any]]]
_COLUMNS = 5
_NAMES = 16  # of groups in a column of a legend


def detection_pictures(arrays: Mapping[str, NDArray[Any]]) -> list[CaptionedFigure]:
    """Figures from `<group>/scores` [n] and `<group>/anomalous` [n]; groups without both kinds are left out."""
    groups: Scored = {}
    for key, scores in arrays.items():
        name, _, kind = key.rpartition("/")
        if kind == "scores":
            anomalous = arrays[f"{name}/anomalous"].astype(bool)
            if anomalous.any() and not anomalous.all():
                groups[name] = (scores[~anomalous], scores[anomalous])
    if not groups:
        return []
    return [_bars(groups), _histograms(groups), _roc(groups)]


def _bars(groups: Scored) -> CaptionedFigure:
    figure = new_figure(figsize=(8, 0.9 + 0.22 * len(groups)), layout="constrained")
    axes = figure.subplots()
    values = [100 * FalseAlarms.at(anomalous, normal).auroc for normal, anomalous in groups.values()]
    place = np.arange(len(groups))
    errors = [100 * auroc_standard_error(*scores) for scores in groups.values()]
    axes.barh(place, values, xerr=errors, color="C0", error_kw={"linewidth": 1, "ecolor": "0.5"})
    axes.axvline(50, color="0.5", linewidth=0.8)
    axes.axvline(float(np.mean(values)), color="C3", linewidth=1, label=f"mean {np.mean(values):.1f}")
    axes.set_yticks(place, list(groups), fontsize=8)
    axes.invert_yaxis()
    axes.set(xlim=(min(40.0, min(values) - 2), 100), xlabel="AUROC [%]")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))  # beside the bars
    return CaptionedFigure(
        title="AUROC of each group",
        caption="The line at 50 is chance; errors are one std of a test set of this size (DeLong), for this one model.",
        figure=figure,
    )


def _histograms(groups: Scored) -> CaptionedFigure:
    rows = -(-len(groups) // _COLUMNS)
    figure = new_figure(figsize=(10, 1.6 * rows), layout="constrained")
    grid = figure.subplots(rows, min(_COLUMNS, len(groups)), squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, (name, (normal, anomalous)) in zip(grid.flat, groups.items(), strict=False):
        # Ranks, because energies of one run may span decades.
        order = np.sort(np.concatenate([normal, anomalous]))
        for scores, colour in ((normal, "C0"), (anomalous, "C3")):
            place = np.searchsorted(order, scores) / len(order)
            axes.hist(place, bins=np.linspace(0, 1, 21), color=colour, alpha=0.55, density=True)
        axes.axis("on")
        axes.set(xticks=[], yticks=[])
        axes.set_title(name, fontsize=8)
    return CaptionedFigure(
        title="Ranks of the energies",
        caption="Normal test points blue, anomalous ones red; rank among the group's test points, low energy left.",
        figure=figure,
    )


def _roc(groups: Scored) -> CaptionedFigure:
    columns = -(-len(groups) // _NAMES)
    figure = new_figure(figsize=(4.2 + 1.3 * columns, 4.2), layout="constrained")
    axes = figure.subplots()
    for i, (name, (normal, anomalous)) in enumerate(groups.items()):
        thresholds = np.sort(np.concatenate([normal, anomalous]))[::-1]
        rates = [
            np.r_[0, 1 - np.searchsorted(np.sort(scores), thresholds) / len(scores)] for scores in (normal, anomalous)
        ]
        style = ("-", "--", ":", "-.")[i // 10 % 4]
        axes.plot(*rates, style, color=f"C{i % 10}", linewidth=1, label=name)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="false-positive rate", ylabel="true-positive rate")
    axes.legend(frameon=False, fontsize=7, ncols=columns, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return CaptionedFigure(title="ROC curves", caption="One line per group.", figure=figure)
