"""A captioned figure."""

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class CaptionedFigure:
    """One figure of a report."""

    title: str
    caption: str
    figure: Figure
