"""Pictures of densities, energies, samples and values in the plane."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dxbench.pictures.base import CaptionedFigure, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

Array = NDArray[np.float64]
_SIDE = 2.9
_TOP = 12.0
"""Nats above the minimum at which pictures of energies are cut."""


def plane_pictures(arrays: Mapping[str, Array], *, box: tuple[float, float]) -> list[CaptionedFigure]:
    """Figures from the arrays of an evaluation in the plane.

    Reads `true_energy` [g, g] and, where present, `samples` [n, 2], `test` [n, 2], `energy` [g, g] in nats
    above the minimum, and `values` [K + 1, g, g].
    """
    pictures = [_overview(arrays, box)]
    if "values" in arrays:
        pictures.append(_values(arrays["values"], box))
    if "samples" in arrays:
        pictures.append(_marginals(arrays["samples"], arrays["test"], box))
    return pictures


def _energy_map(axes: "Axes", energy: Array, box: tuple[float, float]) -> "AxesImage":
    return _map(axes, np.clip(energy - energy.min(), 0, _TOP), box, cmap="magma")


def _overview(arrays: Mapping[str, Array], box: tuple[float, float]) -> CaptionedFigure:
    panels = [("true energy", "true_energy"), ("learned energy", "energy"), ("samples", "samples"), ("data", "test")]
    panels = [(title, key) for title, key in panels if key in arrays]
    figure = new_figure(figsize=(_SIDE * len(panels), _SIDE + 0.2), layout="constrained")
    for axes, (title, key) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        if arrays[key].ndim == 2 and arrays[key].shape[1] != 2:
            figure.colorbar(_energy_map(axes, arrays[key], box), ax=axes, shrink=0.75)
        else:
            scatter(axes, arrays[key][:10_000], box)
        axes.set_title(title, fontsize=10)
    return CaptionedFigure(
        title="Energy and samples",
        caption=f"Energies in nats above their minimum, cut at {_TOP:g}; up to 10,000 samples and test draws.",
        figure=figure,
    )


def _values(values: Array, box: tuple[float, float]) -> CaptionedFigure:
    columns = min(len(values), 6)
    rows = -(-len(values) // columns)
    figure = new_figure(figsize=(2.2 * columns + 0.6, 2.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    # Levels differ by a constant per step that no policy sees; each map is drawn from its own 1 % to 90 %.
    for k, axes in enumerate(grid.flat):
        axes.axis("off")
        if k < len(values):
            low, high = np.percentile(values[k], [1, 90])
            _map(axes, values[k], box, cmap="viridis", low=low, high=high)
            axes.set_title(f"$V_{{{k}}}$" + (" = energy" if k == len(values) - 1 else ""), fontsize=10)
    return CaptionedFigure(
        title="Value function at every step",
        caption="Expected cost-to-go from a state at step k (0 = noise, last = energy); dark = low = good.",
        figure=figure,
    )


def _marginals(samples: Array, test: Array, box: tuple[float, float]) -> CaptionedFigure:
    figure = new_figure(figsize=(7.5, 2.4), layout="constrained")
    bins = np.linspace(*box, 121)
    for i, axes in enumerate(figure.subplots(1, 2)):
        axes.hist(test[:, i], bins=bins, density=True, color="0.75", label="data")
        axes.hist(samples[:, i], bins=bins, density=True, histtype="step", color="C3", label="samples")
        axes.set_title(f"coordinate {i + 1}", fontsize=10)
        axes.set_yticks([])
    figure.axes[-1].legend(frameon=False, fontsize=8)
    return CaptionedFigure(
        title="Marginals", caption="Histograms of samples (line) and of test draws (filled).", figure=figure
    )


def _map(
    axes: "Axes",
    field: Array,
    box: tuple[float, float],
    *,
    cmap: str,
    low: float | None = None,
    high: float | None = None,
) -> "AxesImage":
    axes.set_xticks([])
    axes.set_yticks([])
    return axes.imshow(field.T, origin="lower", extent=(*box, *box), cmap=cmap, vmin=low, vmax=high)


def scatter(axes: "Axes", points: Array, box: tuple[float, float]) -> None:
    """Points [n, 2] within a square, without ticks."""
    axes.scatter(points[:, 0], points[:, 1], s=0.6, alpha=0.5, linewidths=0, color="C0", rasterized=True)
    axes.set(xlim=box, ylim=box, xticks=[], yticks=[], aspect="equal")
