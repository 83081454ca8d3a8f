"""Feature vectors to the unit sphere, with and without whitening."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dxmi.arrays import Points
from dxmi.geometry.sphere import project


class Projection(nn.Module):
    """x / |x|, as DxMI does with its features (arXiv:2407.00626, section 5.3)."""

    def forward(self, x: Points) -> Points:
        return project(x)


class Lift(nn.Module):
    """(x, sqrt(D)) / |(x, sqrt(D))|: standardised rows to the sphere of one dimension more.

    The inverse of the gnomonic projection, for data whose length counts: x / |x| would lose it, here it is an angle.
    """

    def forward(self, x: Float[Tensor, " b dim"]) -> Float[Tensor, " b dim+1"]:
        constant = x.new_full((len(x), 1), math.sqrt(x.shape[1]))
        return project(torch.cat([x, constant], dim=1))


class Whitening(nn.Module):
    """z = (x - mean) whitener, which subclasses fit and lead to the sphere."""

    mean: Tensor
    whitener: Tensor

    def __init__(self, mean: Tensor, whitener: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("whitener", whitener)

    def whitened(self, x: Points) -> Points:
        return (x - self.mean) @ self.whitener


class LocalWhitening(Whitening):
    """Whitened by how training points differ from their neighbours, then projected to the sphere.

    The scatter is that of each point about the mean of its `neighbours` nearest others (cosine), with Ledoit-Wolf
    shrinkage: relevant component analysis (Shental et al. 2002, doi:10.1007/3-540-47979-1_52) with neighbourhoods in
    place of known classes. Directions in which neighbours differ count little, those that hold classes apart keep
    their size; whitening by the total covariance would flatten both.
    """

    @classmethod
    def fit(cls, points: Points, *, neighbours: int) -> "LocalWhitening":
        """Fit to training points [n, D], n >= 2."""
        from sklearn.covariance import LedoitWolf
        from sklearn.neighbors import NearestNeighbors

        directions = project(points).double().numpy()
        search = NearestNeighbors(n_neighbors=min(neighbours, len(points) - 1)).fit(directions)
        near = torch.from_numpy(search.kneighbors(return_distance=False))
        rows = points.double()
        differences = rows - rows[near].mean(dim=1)
        scatter = torch.from_numpy(LedoitWolf(assume_centered=True).fit(differences.numpy()).covariance_)
        return cls(rows.mean(dim=0).float(), whitener(scatter))

    def forward(self, x: Points) -> Points:
        return project(self.whitened(x))


class MahalanobisLift(Whitening):
    """(z, sqrt(D)) / |(z, sqrt(D))|, z the row whitened by the training rows' Ledoit-Wolf covariance.

    The angle to (0, ..., 0, 1) grows with the Mahalanobis distance to the mean: an autoencoder on this sphere starts
    from what that detector knows, and may know more.
    """

    def __init__(self, mean: Tensor, whitener: Tensor) -> None:
        super().__init__(mean, whitener)
        self._lift = Lift()

    @classmethod
    def fit(cls, points: Points) -> "MahalanobisLift":
        """Fit to training points [n, D], n >= 2."""
        from sklearn.covariance import LedoitWolf

        estimate = LedoitWolf().fit(points.double().numpy())
        return cls(torch.from_numpy(estimate.location_).float(), whitener(torch.from_numpy(estimate.covariance_)))

    def forward(self, x: Float[Tensor, " b dim"]) -> Float[Tensor, " b dim+1"]:
        return self._lift(self.whitened(x))


def whitener(covariance: Float[Tensor, "dim dim"]) -> Float[Tensor, "dim dim"]:
    """A with A A^T = covariance^-1, by its principal axes, in float32."""
    variances, axes = torch.linalg.eigh(covariance)
    # Copies of one point have no scatter; a floor keeps the whitener finite.
    floor = max(float(variances.max()) * 1e-9, torch.finfo(torch.float32).tiny)
    return (axes * variances.clamp(min=floor).rsqrt()).float()


FeatureKind = Literal["whitened", "sphere", "lifted", "mahalanobis"]


def fit_features(kind: FeatureKind, points: Points, *, neighbours: int) -> nn.Module:
    """Fit a module that takes points to the unit sphere, from [n, D] training points."""
    match kind:
        case "whitened":
            return LocalWhitening.fit(points, neighbours=neighbours)
        case "sphere":
            return Projection()
        case "lifted":
            return Lift()
        case "mahalanobis":
            return MahalanobisLift.fit(points)
