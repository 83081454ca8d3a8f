"""Pictures of images, grey or RGB: sample grids, denoising strips, energy histograms."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dxbench.pictures.base import CaptionedFigure, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
ImagePicture = CaptionedFigure

GRID_SIDE = 10
CHAIN_COLUMNS = 16
CHAIN_ROWS = 11


def image_pictures(arrays: Mapping[str, Array]) -> list[CaptionedFigure]:
    """Figures from the arrays of an evaluation on images in [-1, 1].

    Reads, where present: `samples`, `start_samples` and `test` [n, c, h, w], `chain` [K + 1, b, c, h, w], and one
    array [n] per name that begins with "energy of ". There is one of the first three at least.
    """
    pictures = [_grids(arrays)]
    if "chain" in arrays:
        pictures.append(_strips(arrays["chain"]))
    energies = {name.removeprefix("energy of "): a for name, a in arrays.items() if name.startswith("energy of ")}
    if energies:
        pictures.append(_energy_histograms(energies))
    return pictures


def mosaic(images: Array, *, columns: int, gap: int = 1) -> Array:
    """[n, c, h, w] images row by row as one image, [H, W] of grey ones and [H, W, 3] of RGB.

    `gap` pixels of NaN, which show what is behind, lie between; the last row may be short.
    """
    n, c, h, w = images.shape
    rows = -(-n // columns)
    canvas = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, c), np.nan)
    for i, image in enumerate(images):
        top, left = (i // columns) * (h + gap), (i % columns) * (w + gap)
        canvas[top : top + h, left : left + w] = np.moveaxis(image, 0, -1)
    return canvas[..., 0] if c == 1 else canvas


def _grids(arrays: Mapping[str, Array]) -> CaptionedFigure:
    panels = [("samples", "samples"), ("start: before fine-tuning", "start_samples"), ("test images", "test")]
    panels = [(title, key) for title, key in panels if key in arrays]
    figure = new_figure(figsize=(3.3 * len(panels), 3.5), layout="constrained")
    for axes, (title, key) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        _show(axes, mosaic(arrays[key][: GRID_SIDE**2], columns=GRID_SIDE))
        axes.set_title(title, fontsize=10)
    return CaptionedFigure(
        title="Samples",
        caption="The first hundred of each, not picked; sample and start share the noise of their place.",
        figure=figure,
    )


def _strips(chain: Array) -> CaptionedFigure:
    shown = np.unique(np.linspace(0, len(chain) - 1, min(len(chain), CHAIN_ROWS)).round().astype(int))
    columns = chain.shape[1]
    figure = new_figure(figsize=(0.42 * columns + 0.8, 0.44 * len(shown) + 0.1), layout="constrained")
    axes = figure.subplots()
    image = mosaic(chain[shown].reshape(-1, *chain.shape[2:]), columns=columns)
    _show(axes, image)
    height = chain.shape[-2] + 1
    axes.set_yticks([height * i + height / 2 - 1 for i in range(len(shown))], [f"k = {k}" for k in shown], fontsize=8)
    axes.tick_params(length=0)
    return CaptionedFigure(
        title="Denoising",
        caption="One row per step, from noise (k = 0) to samples; a column is one chain. Clipped to [-1, 1].",
        figure=figure,
    )


def _energy_histograms(energies: Mapping[str, Array]) -> CaptionedFigure:
    figure = new_figure(figsize=(7.5, 3.0), layout="constrained")
    axes = figure.subplots()
    # Outliers of one kind would squeeze the others into one bin.
    low, high = np.percentile(np.concatenate([*energies.values()]), [0.5, 99.5])
    bins = np.linspace(low, high, 80) if high > low else np.linspace(low - 1, low + 1, 80)
    for kind, values in energies.items():
        axes.hist(np.clip(values, bins[0], bins[-1]), bins=bins, density=True, histtype="step", label=kind)
    axes.set(xlabel="energy", yticks=[])
    axes.legend(frameon=False, fontsize=8)
    return CaptionedFigure(
        title="Energies",
        caption="Low = likely. Densities of the learned energy; what lies beyond the axis is in its last bin.",
        figure=figure,
    )


def _show(axes: "Axes", image: Array) -> None:
    shown = image
    if image.ndim == 3:  # matplotlib takes RGB in [0, 1], and what is not there as transparent
        there = ~np.isnan(image[..., :1])
        shown = np.concatenate([np.where(there, (image.clip(-1, 1) + 1) / 2, 0), there], axis=-1)
    axes.imshow(shown, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
