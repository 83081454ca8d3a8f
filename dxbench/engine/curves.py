"""Logged scalars as means over equal windows of steps."""

from collections.abc import Mapping
from typing import Any

from dxbench.api import CURVE_POINTS, Curve

_WINDOWS = 5 * CURVE_POINTS
"""Windows that are logged, and thinned at the end: records of schema 1 and 2 hold so many, and the gate compares where
the curves of old and new records begin."""


class CurveLog:
    """A curve of at most `CURVE_POINTS` points per scalar, however long the run."""

    def __init__(self, total_steps: int) -> None:
        self._window = max(1, -(-total_steps // _WINDOWS))
        self._sums: dict[str, tuple[float, int]] = {}
        self._curves: dict[str, list[list[float]]] = {}

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Scalars of step number `step`, counted from 1."""
        for name, value in scalars.items():
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = (total + value, count + 1)
        if step % self._window == 0:
            for name, (total, count) in self._sums.items():
                self._curves.setdefault(name, []).append([step, total / count])
            self._sums.clear()

    def curves(self) -> dict[str, Curve]:
        return {
            name: Curve(step=[int(step) for step, _ in points], value=[value for _, value in points]).thinned()
            for name, points in self._curves.items()
        }

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self._sums), "curves": {name: list(points) for name, points in self._curves.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sums = {name: (float(total), int(count)) for name, (total, count) in state["sums"].items()}
        self._curves = {
            name: [[int(step), float(value)] for step, value in points] for name, points in state["curves"].items()
        }
