"""Pictures of samples of a given energy: two coordinates, and the energies."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dxbench.pictures.base import CaptionedFigure, new_figure
from dxbench.pictures.plane import scatter

Array = NDArray[np.float64]


def energy_pictures(arrays: Mapping[str, Array], *, box: tuple[float, float]) -> list[CaptionedFigure]:
    """Figures from `samples` and `test` [n, d], where present with their energies `sample_energies`, `test_energies`.

    Only the first two coordinates are drawn, within `box`.
    """
    panels = [(title, key) for title, key in (("samples", "samples"), ("truth", "test")) if key in arrays]
    figure = new_figure(figsize=(2.9 * len(panels), 3.1), layout="constrained")
    for axes, (title, key) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        scatter(axes, arrays[key][:10_000, :2], box)
        axes.set_title(title, fontsize=10)
    caption = "The first two coordinates of up to 10,000 samples, and of exact draws."
    found = [CaptionedFigure(title="Samples", caption=caption, figure=figure)]
    if "sample_energies" in arrays:
        found.append(_energies(arrays["sample_energies"], arrays["test_energies"]))
    return found


def _energies(samples: Array, test: Array) -> CaptionedFigure:
    figure = new_figure(figsize=(5.0, 2.4), layout="constrained")
    axes = figure.subplots()
    low, high = np.quantile(test, [1e-3, 1 - 1e-3])
    bins = np.linspace(low - 0.1 * (high - low), high + 0.2 * (high - low), 101)
    axes.hist(test.clip(bins[0], bins[-1]), bins=bins, density=True, color="0.75", label="truth")
    axes.hist(samples.clip(bins[0], bins[-1]), bins=bins, density=True, histtype="step", color="C3", label="samples")
    axes.set_yticks([])
    axes.set_xlabel("energy in nats")
    axes.legend(frameon=False, fontsize=8)
    caption = (
        "Histograms of the energies of samples (line) and of exact draws (filled); the ends hold what lies beyond."
    )
    return CaptionedFigure(title="Energies", caption=caption, figure=figure)
