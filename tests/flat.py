"""All of R^D as a space: chains and samplers against laws that are known there."""

from torch import Tensor


class Flat:
    """As `dxmi.geometry.spaces.Space`."""

    def tangent(self, x: Tensor, v: Tensor) -> Tensor:
        return v

    def move(self, x: Tensor, v: Tensor) -> Tensor:
        return x + v

    def degrees_of_freedom(self, dim: int) -> int:
        return dim
