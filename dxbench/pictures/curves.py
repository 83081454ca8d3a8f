"""Learning curves."""

from collections.abc import Mapping

import numpy as np

from dxbench.api import Curve
from dxbench.pictures.base import CaptionedFigure, new_figure
from dxbench.plain import counted


def learning_curves(curves: Mapping[str, Curve]) -> CaptionedFigure:
    """One panel per logged scalar."""
    columns = min(len(curves), 3)
    rows = -(-len(curves) // columns)
    figure = new_figure(figsize=(3.3 * columns, 2.1 * rows), layout="constrained")
    for axes, name in zip(figure.subplots(rows, columns, squeeze=False).flat, [*curves], strict=False):
        axes.plot(curves[name].step, curves[name].value, lw=1)
        axes.set_title(name.replace("_", " "), fontsize=9)
        axes.tick_params(labelsize=7)
    for axes in figure.axes[len(curves) :]:
        axes.axis("off")
    window = int(np.diff(next(iter(curves.values())).step[:2])[0]) if len(next(iter(curves.values())).step) > 1 else 1
    return CaptionedFigure(
        title="Learning curves",
        caption=f"Means over windows of {counted(window, 'step')}, against the step.",
        figure=figure,
    )
