"""A captioned figure."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class CaptionedFigure:
    """One figure of a report."""

    title: str
    caption: str
    figure: "Figure"


def new_figure(*, figsize: tuple[float, float], layout: Literal["constrained"]) -> "Figure":
    """A figure of that size in inches. Matplotlib is imported with the first one: to name a task takes none."""
    from matplotlib.figure import Figure

    return Figure(figsize=figsize, layout=layout)
