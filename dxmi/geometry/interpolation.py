"""Points between training points: data for an energy where data are few."""

import torch
from jaxtyping import Int
from torch import Generator, Tensor

from dxmi.arrays import Points
from dxmi.geometry.sphere import project


class NeighbourInterpolation:
    """Training points on the unit sphere, each drawn part of the way to one of its nearest others.

    SMOTE (Chawla et al. 2002, doi:10.1613/jair.953) with all of the data as one class, and the point projected back to
    the sphere. An energy that falls at such points cannot do so by knowing the training points one by one.
    """

    def __init__(self, points: Points, *, share: float, neighbours: int) -> None:
        """Keep points [n, D], n >= 2, to go up to `share` of the way to a neighbour; 0 leaves them be."""
        from sklearn.neighbors import NearestNeighbors

        self._points, self._share = points, share
        if share > 0:
            search = NearestNeighbors(n_neighbors=min(neighbours, len(points) - 1)).fit(points.cpu().numpy())
            self._near = torch.from_numpy(search.kneighbors(return_distance=False)).to(points.device)

    def draw(self, rows: Int[Tensor, " b"], generator: Generator) -> Points:
        """The points of these rows, moved."""
        points = self._points[rows]
        if self._share == 0:
            return points
        near = self._near[rows]
        place = torch.arange(len(rows), device=points.device)
        chosen = torch.randint(near.shape[1], (len(rows),), generator=generator, device=points.device)
        share = self._share * torch.rand((len(rows), 1), generator=generator, device=points.device)
        return project(torch.lerp(points, self._points[near[place, chosen]], share))
