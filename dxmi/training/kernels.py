"""Two sets of points compared by a kernel: the field of drifting models, and the maximum mean discrepancy.

Both pull samples to data and push them off each other, at the length of the kernel. Drifting models (Deng et al. 2026,
arXiv:2602.04770) follow a field that is normalised at every point; the discrepancy (Gretton et al. 2012, JMLR 13) is a
number whose gradient is followed.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from dxmi.arrays import Points

Others = Float[Tensor, " n *event"]
Pairs = Float[Tensor, " b n"]
Repelling = Float[Tensor, " m *event"]
RepellingPairs = Float[Tensor, " b m"]


def distances(x: Points, y: Others) -> Pairs:
    """||x_i - y_j||, [b, n]; its gradient is 0 where two points are equal."""
    # By products of matrices, as torch does for more than 25 rows, near points lose their distance in float32.
    return torch.cdist(x.flatten(1), y.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")


@dataclass(frozen=True, kw_only=True)
class Kernel(ABC):
    """A similarity k(x, y) of two points."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    @abstractmethod
    def __call__(self, x: Points, y: Others) -> Pairs:
        """k(x_i, y_j) of points [b, *event] and [n, *event], as [b, n]."""


@dataclass(frozen=True, kw_only=True)
class DecayingKernel(Kernel):
    """A positive kernel that falls with the distance.

    Attributes:
        width: the length of its fall, in units of the points.
    """

    width: PositiveFloat

    @abstractmethod
    def log(self, x: Points, y: Others) -> Pairs:
        """ln k(x_i, y_j), as [b, n]."""

    def __call__(self, x: Points, y: Others) -> Pairs:
        return self.log(x, y).exp()


@dataclass(frozen=True, kw_only=True)
class LaplaceKernel(DecayingKernel):
    """k = exp(-||x - y|| / width)."""

    kind: Literal["laplace"] = "laplace"

    def log(self, x: Points, y: Others) -> Pairs:
        return -distances(x, y) / self.width


@dataclass(frozen=True, kw_only=True)
class GaussianKernel(DecayingKernel):
    """k = exp(-||x - y||^2 / (2 width^2))."""

    kind: Literal["gaussian"] = "gaussian"

    def log(self, x: Points, y: Others) -> Pairs:
        return -0.5 * (distances(x, y) / self.width).square()


@dataclass(frozen=True, kw_only=True)
class PolynomialKernel(Kernel):
    """k = (x.y / D + offset)^degree, D the dimension: KID's (Binkowski et al. 2018, arXiv:1801.01401).

    It sees moments up to `degree` and nothing else.
    """

    kind: Literal["polynomial"] = "polynomial"
    degree: PositiveInt = 3
    offset: NonNegativeFloat = 1.0

    def __call__(self, x: Points, y: Others) -> Pairs:
        x, y = x.flatten(1), y.flatten(1)
        return (x @ y.T / x.shape[1] + self.offset) ** self.degree


AnyDecayingKernel = Annotated[LaplaceKernel | GaussianKernel, Field(discriminator="kind")]
AnyKernel = Annotated[LaplaceKernel | GaussianKernel | PolynomialKernel, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True)
class DriftField(ABC):
    """V(x): where a sample is to move, towards near data and off near samples.

    It changes sign where data and samples change places, so that it is 0 everywhere once both are the same.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __call__(self, samples: Points, data: Others, kernel: DecayingKernel) -> Points:
        """V at every sample, [b, *event], without gradient. No sample pushes itself; there must be two at least."""
        with torch.no_grad():
            own = torch.eye(len(samples), dtype=torch.bool, device=samples.device)
            repelling = kernel.log(samples, samples).masked_fill(own, -torch.inf)
            return self.at(samples, data, samples, attracting=kernel.log(samples, data), repelling=repelling)

    @abstractmethod
    def at(
        self, x: Points, data: Others, samples: Repelling, *, attracting: Pairs, repelling: RepellingPairs
    ) -> Points:
        """V at x [b, *event], from ln k(x, data), [b, n], and ln k(x, samples), [b, m]."""


@dataclass(frozen=True, kw_only=True)
class MeanShift(DriftField):
    """The kernel mean of the data less that of the samples (arXiv:2602.04770, section 3).

    For a Gaussian kernel it is width^2 times the difference of the scores of both kernel density estimates
    (arXiv:2603.09936). It does not fade far from the data.
    """

    kind: Literal["mean_shift"] = "mean_shift"

    def at(
        self, x: Points, data: Others, samples: Repelling, *, attracting: Pairs, repelling: RepellingPairs
    ) -> Points:
        shift = attracting.softmax(dim=1) @ data.flatten(1) - repelling.softmax(dim=1) @ samples.flatten(1)
        return shift.reshape(x.shape)


@dataclass(frozen=True, kw_only=True)
class SharedAffinity(DriftField):
    """The field of the released code: affinities that data and samples compete for, and points x for them.

    A is the root of a softmax over data and samples together, times one over x. V = sum_ij A_i A_j (data_i -
    samples_j), which fades where only data or only samples are near.
    """

    kind: Literal["shared_affinity"] = "shared_affinity"

    def at(
        self, x: Points, data: Others, samples: Repelling, *, attracting: Pairs, repelling: RepellingPairs
    ) -> Points:
        near = torch.cat([attracting, repelling], dim=1)
        affinity = (0.5 * (near.log_softmax(dim=1) + near.log_softmax(dim=0))).exp()
        pull, push = affinity[:, : len(data)], affinity[:, len(data) :]
        total_pull, total_push = pull.sum(dim=1, keepdim=True), push.sum(dim=1, keepdim=True)
        shift = total_push * (pull @ data.flatten(1)) - total_pull * (push @ samples.flatten(1))
        return shift.reshape(x.shape)


AnyDriftField = Annotated[MeanShift | SharedAffinity, Field(discriminator="kind")]


def unbiased_mmd2(samples: Points, data: Others, kernel: Kernel) -> Tensor:
    """E k(x, x') + E k(y, y') - 2 E k(x, y), no point paired with itself (Gretton et al. 2012, Eq. 3).

    Its mean is 0 where both sets are of one law; a single estimate may be below.

    Args:
        samples: [b, *event], two at least.
        data: [n, *event], two at least.
    """
    return (
        _mean_of_pairs(kernel(samples, samples)) + _mean_of_pairs(kernel(data, data)) - 2 * kernel(samples, data).mean()
    )


def _mean_of_pairs(similarity: Float[Tensor, " b b"]) -> Tensor:
    n = len(similarity)
    return (similarity.sum() - similarity.diagonal().sum()) / (n * (n - 1))
