"""The unit sphere S^{D-1} in R^D: projection, tangents and geodesics."""

import math

import torch
from torch import Tensor

from dxmi.arrays import Points


def project(x: Points) -> Points:
    """The nearest point of the unit sphere, x / |x|."""
    return torch.nn.functional.normalize(x, dim=-1)


def tangent(x: Points, v: Points) -> Points:
    """The part of v that is orthogonal to the unit vector x."""
    return v - (v * x).sum(dim=-1, keepdim=True) * x


def exponential_map(x: Points, v: Points) -> Points:
    """Follow the geodesic from x in the tangent direction v for the length |v|: cos|v| x + sin|v| v / |v|."""
    length = _norm(v)
    return length.cos() * x + torch.sinc(length / math.pi) * v


def _norm(v: Tensor) -> Tensor:
    """|v| with a gradient at 0."""
    return (v.square().sum(dim=-1, keepdim=True) + torch.finfo(v.dtype).tiny).sqrt()
