"""Exact nearest neighbours in feature space: float32 products in tiles, float64 wherever rounding could decide."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Features = NDArray[np.floating]

SPARE = 4
"""Candidates kept beyond the k asked for. Float32 rounding loses a neighbour only where more than these tie within
it, and then the distance is off by no more than that rounding."""


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """The tiles of distance matrices: `rows` x `columns` float32 distances at a time, on `device`."""

    rows: int = 2048
    columns: int = 8192
    device: str = "cpu"


DEFAULT_TILING = Tiling()


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Float32 products without TensorFloat-32, whose ten bits move results in the third digit."""
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn


def kth_neighbour_distances(points: Features, k: int, *, tiling: Tiling = DEFAULT_TILING) -> Array:
    """Distance of each of [n, d] points to its k-th nearest other point, [n] float64.

    Raises:
        ValueError: unless n > k >= 1, or points are not finite.
    """
    if not 1 <= k < len(points):
        raise ValueError(f"the {k}-th of {len(points)} points' neighbours is not defined")
    # The point itself is its own nearest, at distance 0.
    return _smallest(points, points, k + 1, tiling)[0][:, k]


def nearest_distances(queries: Features, points: Features, *, tiling: Tiling = DEFAULT_TILING) -> Array:
    """Distance of each of [m, d] queries to the nearest of [n, d] points, [m] float64.

    Raises:
        ValueError: if the widths differ, or there are no points.
    """
    return nearest(queries, points, tiling=tiling)[0]


def nearest(queries: Features, points: Features, *, tiling: Tiling = DEFAULT_TILING) -> tuple[Array, NDArray[np.int64]]:
    """Distance [m] float64 of each of [m, d] queries to the nearest of [n, d] points, and that point's index [m].

    Raises:
        ValueError: if the widths differ, or there are no points.
    """
    distances, indices = _smallest(queries, points, 1, tiling)
    return distances[:, 0], indices[:, 0]


def inside_any_ball(queries: Features, centres: Features, radii: Array, *, tiling: Tiling = DEFAULT_TILING) -> NDArray:
    """[m] bool: whether a query lies within `radii[j]` of `centres[j]` for any j, borders included.

    Float32 decides the clear cases. Where the two sides differ by less than its rounding, float64 does, so that the
    answer does not depend on the tiles.
    """
    inside = np.zeros(len(queries), dtype=bool)
    squared_radii = torch.as_tensor(radii**2, dtype=torch.float32, device=tiling.device)
    for rows, tiles in _distance_tiles(queries, centres, tiling):
        clear = torch.zeros(rows.stop - rows.start, dtype=torch.bool, device=tiling.device)
        doubtful: list[Tensor] = []
        for columns, squared, slack in tiles:
            margin = squared - squared_radii[columns]
            clear |= (margin < -slack).any(dim=1)
            near = ((margin.abs() <= slack) & ~clear[:, None]).nonzero()
            doubtful.append(near + torch.tensor([0, columns.start], device=near.device))
        inside[rows] = clear.cpu().numpy()
        pairs = torch.cat(doubtful).cpu().numpy()
        pairs = pairs[~inside[rows][pairs[:, 0]]]
        for block in _blocks(len(pairs), 4096):
            i, j = pairs[block, 0] + rows.start, pairs[block, 1]
            hit = _exact_distances(queries[i], centres[j]) <= radii[j]
            inside[i[hit]] = True
    return inside


def balls_around(queries: Features, centres: Features, radii: Array, *, tiling: Tiling = DEFAULT_TILING) -> NDArray:
    """[m] int64: within how many of the balls of `radii[j]` around `centres[j]` a query lies, borders excluded.

    Decided as in `inside_any_ball`.
    """
    counts = np.zeros(len(queries), dtype=np.int64)
    squared_radii = torch.as_tensor(radii**2, dtype=torch.float32, device=tiling.device)
    for rows, tiles in _distance_tiles(queries, centres, tiling):
        for columns, squared, slack in tiles:
            margin = squared - squared_radii[columns]
            counts[rows] += (margin < -slack).sum(dim=1).cpu().numpy()
            pairs = (margin.abs() <= slack).nonzero().cpu().numpy()
            for block in _blocks(len(pairs), 4096):
                i, j = pairs[block, 0] + rows.start, pairs[block, 1] + columns.start
                np.add.at(counts, i, _exact_distances(queries[i], centres[j]) < radii[j])
    return counts


def _smallest(queries: Features, points: Features, count: int, tiling: Tiling) -> tuple[Array, NDArray[np.int64]]:
    """The `count` smallest distances of each query to the points, ascending, and whose they are, [m, count] each."""
    if len(points) < count:
        raise ValueError(f"wants at least {count} points, got {len(points)}")
    kept = min(count + SPARE, len(points))
    found = np.empty((len(queries), count))
    index = np.empty((len(queries), count), dtype=np.int64)
    for rows, tiles in _distance_tiles(queries, points, tiling):
        best = torch.empty((rows.stop - rows.start, 0), device=tiling.device)
        where = torch.empty((rows.stop - rows.start, 0), dtype=torch.int64, device=tiling.device)
        for columns, squared, _ in tiles:
            values, near = squared.topk(min(kept, squared.shape[1]), dim=1, largest=False)
            best, where = torch.cat([best, values], dim=1), torch.cat([where, near + columns.start], dim=1)
            best, order = best.topk(min(kept, best.shape[1]), dim=1, largest=False)
            where = where.gather(1, order)
        candidates = where.cpu().numpy()
        for block in _blocks(len(candidates), max(1, 4096 // kept)):
            exact = _exact_distances(queries[rows][block][:, None], points[candidates[block]])
            order = np.argsort(exact, axis=1, kind="stable")[:, :count]
            found[rows][block] = np.take_along_axis(exact, order, axis=1)
            index[rows][block] = np.take_along_axis(candidates[block], order, axis=1)
    return found, index


def _distance_tiles(
    queries: Features, points: Features, tiling: Tiling
) -> Iterator[tuple[slice, Iterator[tuple[slice, Tensor, Tensor]]]]:
    """Row by row of tiles: (rows, [(columns, squared distances, bound of their rounding error)])."""
    if queries.ndim != 2 or points.ndim != 2 or queries.shape[1] != points.shape[1]:
        raise ValueError(f"wants two sets of features of one width, got {queries.shape} and {points.shape}")
    # Distances do not depend on the origin, their rounding does: it grows with the norms.
    origin = torch.as_tensor(points.mean(axis=0, dtype=np.float64))

    def centred(features: Features, part: slice) -> Tensor:
        tensor = torch.as_tensor(np.ascontiguousarray(features[part]), device=tiling.device)
        return (tensor - origin.to(tensor)).float()

    def tiles(x: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
        norms = (x * x).sum(dim=1, keepdim=True)
        for columns in _blocks(len(points), tiling.columns):
            y = centred(points, columns)
            scale = norms + (y * y).sum(dim=1)
            # Rounding of a float32 dot product of d terms grows as sqrt(d) eps; 8 covers its tail and the sum.
            slack = scale * (8 * x.shape[1] ** 0.5 * torch.finfo(torch.float32).eps)
            with exact_float32():
                squared = torch.addmm(scale, x, y.T, alpha=-2.0)
            yield columns, squared, slack

    for rows in _blocks(len(queries), tiling.rows):
        yield rows, tiles(centred(queries, rows))


def _exact_distances(x: Features, y: Features) -> Array:
    """Euclidean distances over the last axis, in float64."""
    return np.sqrt(((x.astype(np.float64) - y) ** 2).sum(axis=-1))


def _blocks(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
