"""Precision and recall of manifolds (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

A manifold is the union of balls around features, each reaching to the k-th nearest neighbour among themselves.
arXiv:1904.06991 counts its borders in, arXiv:2002.09797 does not; so do their codes, and ours after them.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dxbench.metrics.images.neighbours import (
    DEFAULT_TILING,
    Tiling,
    balls_around,
    inside_any_ball,
    kth_neighbour_distances,
    nearest_distances,
)

Features = NDArray[np.floating]


class Arithmetic(Protocol):
    """The way that distances and radii are computed and compared."""

    @property
    def comparison(self) -> str:
        """The rule of comparison, for protocols."""
        ...

    def share_inside(self, features: Features, centres: Features, *, k: int, tiling: Tiling) -> float:
        """Share of [n, d] features on the manifold of [m, d] centres.

        Raises:
            ValueError: if there are no more than k centres, or the widths differ.
        """
        ...


@dataclass(frozen=True)
class Exact:
    """Float64 wherever rounding could decide."""

    comparison = "distance <= radius, decided in float64"

    def share_inside(self, features: Features, centres: Features, *, k: int, tiling: Tiling) -> float:
        radii = kth_neighbour_distances(centres, k, tiling=tiling)
        return float(inside_any_ball(features, centres, radii, tiling=tiling).mean())


@dataclass(frozen=True)
class HalfPrecision:
    """Arithmetic of ADM's evaluator: squared distances of a block in float16, in float32 where one of them overflows.

    guided-diffusion, evaluations/evaluator.py, `DistanceBlock`. Rounding makes ties, which count as inside, so that
    shares come out higher: by 0.003 on Inception-like features, 1,500 against 1,500.
    """

    block: int = 10_000
    comparison = "squared distance <= squared radius, float16 in blocks of 10,000 x 10,000 (ADM)"

    def share_inside(self, features: Features, centres: Features, *, k: int, tiling: Tiling) -> float:
        if not 1 <= k < len(centres):
            raise ValueError(f"the {k}-th of {len(centres)} points' neighbours is not defined")
        x, y = (torch.from_numpy(np.asarray(part, dtype=np.float32)) for part in (features, centres))
        radii = torch.cat([
            torch.cat([self._squared(rows, columns, tiling.device) for columns in y.split(self.block)], dim=1)
            .kthvalue(k + 1, dim=1)
            .values
            for rows in y.split(tiling.rows)
        ])  # fmt: skip
        inside = [
            torch.stack([
                (self._squared(rows, columns, tiling.device) <= radius).any(dim=1)
                for columns, radius in zip(y.split(self.block), radii.split(self.block), strict=True)
            ]).any(dim=0)
            for rows in x.split(tiling.rows)
        ]  # fmt: skip
        return float(torch.cat(inside).double().mean())

    @staticmethod
    def _squared(x: Tensor, y: Tensor, device: str) -> Tensor:
        """Squared distances [n, m] float32, rounded to float16 after each sum as the graph has them."""
        x, y = x.to(device), y.to(device)
        a, b = x.half(), y.half()
        norms = [(part * part).float().sum(dim=1).half() for part in (a, b)]
        products = (a.float() @ b.float().T).half()
        half = (norms[0][:, None] - 2 * products + norms[1][None, :]).clamp_min(0)
        if torch.isfinite(half).all():
            return half.float()
        full = (x * x).sum(dim=1)[:, None] - 2 * (x @ y.T) + (y * y).sum(dim=1)[None, :]
        return full.clamp_min(0)


EXACT = Exact()
HALF_PRECISION = HalfPrecision()


def precision(generated: Features, real: Features, *, k: int = 3, tiling: Tiling = DEFAULT_TILING) -> float:
    """Share of [n, d] generated features on the manifold of the [m, d] real ones; made-up samples lower it.

    Raises:
        ValueError: if there are no more than k real features, or the widths differ.
    """
    return EXACT.share_inside(generated, real, k=k, tiling=tiling)


def recall(generated: Features, real: Features, *, k: int = 3, tiling: Tiling = DEFAULT_TILING) -> float:
    """Share of [m, d] real features on the manifold of the [n, d] generated ones; lost modes lower it.

    Raises:
        ValueError: if there are no more than k generated features, or the widths differ.
    """
    return EXACT.share_inside(real, generated, k=k, tiling=tiling)


def density(generated: Features, real: Features, *, k: int = 5, tiling: Tiling = DEFAULT_TILING) -> float:
    """Mean number of balls around [m, d] real features that a generated one [n, d] lies in, over k; 1 for one law.

    Unlike precision, a single outlier among the real features does not make room for many samples.

    Raises:
        ValueError: if there are no more than k real features, or the widths differ.
    """
    radii = kth_neighbour_distances(real, k, tiling=tiling)
    return float(balls_around(generated, real, radii, tiling=tiling).mean() / k)


def coverage(generated: Features, real: Features, *, k: int = 5, tiling: Tiling = DEFAULT_TILING) -> float:
    """Share of [m, d] real features whose ball holds a generated one [n, d]; lost modes lower it.

    Unlike recall, samples far off do not raise it.

    Raises:
        ValueError: if there are no more than k real features, or the widths differ.
    """
    radii = kth_neighbour_distances(real, k, tiling=tiling)
    return float((nearest_distances(real, generated, tiling=tiling) < radii).mean())
