"""Pictures of localisation: anomaly maps over images, and how many defects are found at which cost."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dxbench.metrics.detection.regions import FPR_LIMIT
from dxbench.pictures.base import CaptionedFigure, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Arrays = Mapping[str, NDArray[Any]]
SHOWN = ("defect, median score", "defect, lowest score", "good, highest score")


def localisation_pictures(arrays: Arrays) -> list[CaptionedFigure]:
    """Figures from `<group>/shown_*` and `<group>/{rates,roc,pro}`; none from arrays without them."""
    groups = [key.rpartition("/")[0] for key in arrays if key.endswith("/shown_maps")]
    curves = [name for name in groups if f"{name}/pro" in arrays]
    pictures = [_maps(groups, arrays)] if groups else []
    return [*pictures, _curves(curves, arrays)] if curves else pictures


def _maps(groups: list[str], arrays: Arrays) -> CaptionedFigure:
    """A row per group; image and map side by side, or the map alone where images are not there."""
    with_images = any(f"{name}/shown_images" in arrays for name in groups)
    wide = 2 if with_images else 1
    figure = new_figure(figsize=(1.55 * wide * len(SHOWN) + 0.6, 1.65 * len(groups) + 0.5), layout="constrained")
    grid = figure.subplots(len(groups), wide * len(SHOWN), squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for i, name in enumerate(groups):
        energies, maps = arrays[f"{name}/energies"], arrays[f"{name}/shown_maps"]
        limits = np.quantile(energies, (0.05, 0.999))
        kinds = SHOWN if len(maps) == len(SHOWN) else SHOWN[:2] if len(maps) == 2 else SHOWN[2:]
        for j, kind in enumerate(kinds):
            column = wide * SHOWN.index(kind)
            image = arrays[f"{name}/shown_images"][j] if f"{name}/shown_images" in arrays else None
            mask = arrays[f"{name}/shown_masks"][j] if f"{name}/shown_masks" in arrays else None
            if image is not None:
                _image(grid[i, column], image, mask)
            _heat(grid[i, column + wide - 1], maps[j], image, mask, limits)
            grid[i, column].set_title(f"{name}: {kind}" if j == 0 else kind, fontsize=6.5, loc="left")
    return CaptionedFigure(
        title="Anomaly maps, and the worst misses",
        caption="A row per group: a typical defect, the defect that looks most normal, the good image that looks least "
        "so; yellow is a high energy, one scale per row, from the 5th to the 99.9th percentile of its patches; cyan is "
        "the mask's outline.",
        figure=figure,
    )


def _image(axes: "Axes", image: NDArray[np.uint8], mask: NDArray[np.bool_] | None) -> None:
    axes.imshow(image)
    _outline(axes, mask, image.shape[0])


def _heat(
    axes: "Axes",
    heat: NDArray[Any],
    image: NDArray[np.uint8] | None,
    mask: NDArray[np.bool_] | None,
    limits: NDArray[Any],
) -> None:
    side = heat.shape[0]
    if image is not None:
        axes.imshow(image.mean(axis=2), cmap="gray", vmin=0, vmax=255, extent=(0, side, side, 0))
    alpha = 0.65 if image is not None else 1.0
    axes.imshow(heat, cmap="inferno", vmin=limits[0], vmax=limits[1], alpha=alpha, extent=(0, side, side, 0))
    _outline(axes, mask, side)


def _outline(axes: "Axes", mask: NDArray[np.bool_] | None, side: int) -> None:
    if mask is None or not mask.any():
        return
    place = (np.arange(len(mask)) + 0.5) * side / len(mask) - (0.5 if side == len(mask) else 0.0)
    axes.contour(place, place, mask, levels=[0.5], colors="cyan", linewidths=0.8)


def _curves(groups: list[str], arrays: Arrays) -> CaptionedFigure:
    figure = new_figure(figsize=(8.4, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, kind, label in ((left, "roc", "defect pixels found"), (right, "pro", "defects covered (PRO)")):
        for i, name in enumerate(groups):
            style = ("-", "--", ":")[i // 10 % 3]
            axes.plot(
                arrays[f"{name}/rates"], arrays[f"{name}/{kind}"], style, color=f"C{i % 10}", linewidth=1, label=name
            )
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="false-positive rate of pixels", ylabel=label)
    right.axvspan(0, FPR_LIMIT, color="0.5", alpha=0.15, zorder=0)
    right.legend(frameon=False, fontsize=6.5, loc="lower right")
    return CaptionedFigure(
        title="ROC and PRO curves of pixels",
        caption=f"One line per group. AUPRO is the area in the grey part, up to {FPR_LIMIT:.0%}, over its width.",
        figure=figure,
    )
