"""The unit sphere S^{D-1} in R^D, and a sampling policy that never leaves it.

DxMI keeps energy and sampler on the sphere of the features (arXiv:2407.00626, section 5.3) without saying how the
sampler's noise stays there. Noise added in R^D does not: its norm is about std sqrt(D), and the energy then learns
how far a point is off the sphere. Here noise is drawn in the tangent space at the mean and carried along the geodesic,
as in the Value Gradient Sampler (arXiv:2502.13280).
"""

import math

import torch
from torch import Tensor

from dxmi.arrays import Points, StepIndex
from dxmi.policies import GaussianPolicy


def project(x: Points) -> Points:
    """The nearest point of the unit sphere, x / |x|."""
    return torch.nn.functional.normalize(x, dim=-1)


def tangent(x: Points, v: Points) -> Points:
    """The part of v that is orthogonal to the unit vector x."""
    return v - (v * x).sum(dim=-1, keepdim=True) * x


def exponential_map(x: Points, v: Points) -> Points:
    """Where the geodesic from x in the tangent direction v arrives after length |v|: cos|v| x + sin|v| v / |v|."""
    length = _norm(v)
    return length.cos() * x + torch.sinc(length / math.pi) * v


def _norm(v: Tensor) -> Tensor:
    """|v| with a gradient at 0."""
    return (v.square().sum(dim=-1, keepdim=True) + torch.finfo(v.dtype).tiny).sqrt()


class SpherePolicy(GaussianPolicy):
    """A Gaussian step in the tangent space at the mean direction, carried to the sphere by the exponential map."""

    def mean(self, x: Points, k: StepIndex, given: Tensor | None = None) -> Points:
        return project(super().mean(x, k, given))

    def draw(self, x: Points, k: StepIndex, eps: Tensor, given: Tensor | None = None) -> Points:
        mean = self.mean(x, k, given)
        return exponential_map(mean, tangent(mean, self._per_row(self.step_log_stds().exp(), k) * eps))
