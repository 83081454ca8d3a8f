"""A captioned figure, and the truth that models are set beside."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class CaptionedFigure:
    """One figure of a report."""

    title: str
    caption: str
    figure: Figure


def first_test(name: str, rows: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> dict[str, NDArray[np.float64]]:
    """The test draws that rows of a board keep, which are the same for all of them, under a name; none if none does."""
    kept = [arrays["test"] for arrays in rows.values() if "test" in arrays]
    return {name: kept[0]} if kept else {}
