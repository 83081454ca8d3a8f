"""A sampling policy that never leaves the unit sphere S^{D-1} in R^D.

DxMI keeps energy and sampler on the sphere of the features (arXiv:2407.00626, section 5.3) without saying how the
sampler's noise stays there. Noise added in R^D does not: its norm is about std sqrt(D), and the energy then learns
how far a point is off the sphere. Here noise is drawn in the tangent space at the mean and carried along the geodesic,
as in the Value Gradient Sampler (arXiv:2502.13280).
"""

from torch import Tensor

from dxmi.arrays import Points, StepIndex, per_sample
from dxmi.geometry.sphere import exponential_map, project, tangent
from dxmi.sampling.policies import GaussianPolicy


class SpherePolicy(GaussianPolicy):
    """A Gaussian step in the tangent space at the mean direction, carried to the sphere by the exponential map."""

    def mean(self, x: Points, k: StepIndex, given: Tensor | None = None) -> Points:
        return project(super().mean(x, k, given))

    def draw(self, x: Points, k: StepIndex, eps: Tensor, given: Tensor | None = None) -> Points:
        mean = self.mean(x, k, given)
        return exponential_map(mean, tangent(mean, per_sample(self.step_log_stds().exp()[k], x) * eps))
