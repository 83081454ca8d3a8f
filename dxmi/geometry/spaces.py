"""Spaces that points live in: how a displacement moves them, and which displacements there are."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dxmi.arrays import Points
from dxmi.geometry.sphere import exponential_map, tangent


@runtime_checkable
class Space(Protocol):
    """A set of points with steps between them."""

    def tangent(self, x: Points, v: Points) -> Points:
        """The part of v that leads along the space at x."""
        ...

    def move(self, x: Points, v: Points) -> Points:
        """Move x by the displacement `tangent(x, v)`."""
        ...

    def degrees_of_freedom(self, dim: int) -> int:
        """Dimension of the space inside R^dim."""
        ...


@dataclass(frozen=True)
class UnitSphere:
    """S^{D-1}; steps follow geodesics."""

    def tangent(self, x: Points, v: Points) -> Points:
        return tangent(x, v)

    def move(self, x: Points, v: Points) -> Points:
        return exponential_map(x, tangent(x, v))

    def degrees_of_freedom(self, dim: int) -> int:
        return dim - 1
