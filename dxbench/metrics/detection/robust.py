"""Robustness of a detector: how normal can an anomaly be made to look by changes that leave it an anomaly?

Evaluation via generation (EvG: Yoon et al. 2022, arXiv:2208.10940): a threat model g(x, z) changes an anomaly x by
parameters z, Metropolis-Hastings samples p(z) ∝ exp(-E(g(x, z)) / T), and each anomaly is replaced by the version of
the least energy that its chain met. AUROC and MinRank of these are the detector's in the worst case found.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import affine_grid, grid_sample

from dxbench.metrics.detection.ranking import Scores

Array = NDArray[Any]
Parameters = NDArray[np.float64]


class ThreatModel(Protocol):
    """Changes of points by parameters in [-1, 1]^dim; 0 changes nothing."""

    @property
    def dim(self) -> int: ...

    @property
    def description(self) -> str:
        """The protocol's description: what the attack does and how far it goes."""
        ...

    def fitted(self, normal: Array) -> "ThreatModel":
        """The same, having seen how normal training points [m, *event] vary."""
        ...

    def apply(self, x: Array, z: Parameters) -> Array:
        """Points [n, *event] and parameters [n, dim] to points [n, *event]."""
        ...


@dataclass(frozen=True, kw_only=True)
class Affine:
    """Images turned, moved, scaled and sheared, bilinear. Points are [n, D] with D = prod(shape).

    Attributes:
        shape: (C, H, W).
        outside: what comes in from outside: nothing, or the pixels at the edge again.
        degrees: largest rotation, and largest shear.
        shift: largest move, as a share of the side.
        scale: largest change of size, as a share.
    """

    shape: tuple[int, int, int]
    degrees: float = 15.0
    shift: float = 0.1
    scale: float = 0.1
    outside: Literal["zeros", "border"] = "zeros"

    dim = 5

    @property
    def description(self) -> str:
        outside = "" if self.outside == "zeros" else f", {self.outside} outside"
        return f"affine(rotation, shear {self.degrees:g} deg, shift {self.shift:g}, scale {self.scale:g}{outside})"

    def fitted(self, normal: Array) -> "Affine":
        return self

    def apply(self, x: Array, z: Parameters) -> Array:
        turn, shear = np.radians(self.degrees) * z[:, 0], np.tan(np.radians(self.degrees) * z[:, 1])
        size = 1.0 + self.scale * z[:, 2]
        cos, sin = np.cos(turn) / size, np.sin(turn) / size
        # affine_grid's coordinates run over [-1, 1]: a share of the side is twice as much there.
        move = 2.0 * self.shift * z[:, 3:5]
        rows = np.stack([cos, cos * shear - sin, move[:, 0], sin, sin * shear + cos, move[:, 1]], axis=1)
        theta = torch.from_numpy(rows).float().view(-1, 2, 3)
        images = torch.from_numpy(np.ascontiguousarray(x)).float().view(-1, *self.shape)
        grid = affine_grid(theta, list(images.shape), align_corners=False)
        moved = grid_sample(images, grid, padding_mode=self.outside, align_corners=False)
        return moved.view(x.shape).numpy()


@dataclass(frozen=True, kw_only=True)
class Tone:
    """Images in [0, 1] with another brightness, contrast and gamma.

    Attributes:
        strength: largest change of each; gamma is exp(strength z).
    """

    strength: float = 0.2

    dim = 3

    @property
    def description(self) -> str:
        return f"tone(brightness, contrast, log gamma {self.strength:g})"

    def fitted(self, normal: Array) -> "Tone":
        return self

    def apply(self, x: Array, z: Parameters) -> Array:
        brightness, contrast, gamma = (self.strength * z.T).reshape(3, len(x), *[1] * (x.ndim - 1))
        return np.clip((1.0 + contrast) * np.clip(x, 0.0, 1.0) ** np.exp(gamma) + brightness, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Turn:
    """Feature vectors turned by small angles in the directions in which normal ones vary most, their lengths kept.

    Points are vectors [n, D] or grids of them [n, h, w, D], all of a grid turned towards one direction.

    Attributes:
        degrees: the angle at |z| = 1, and the largest.
        dim: leading principal axes of the normal training points.
        axes: those, [dim, D], once fitted.
    """

    degrees: float = 10.0
    dim: int = 8
    axes: NDArray[np.float64] | None = None

    @property
    def description(self) -> str:
        return f"turn({self.degrees:g} deg along {self.dim} principal axes of the group's training points)"

    def fitted(self, normal: Array) -> "Turn":
        rows = normal.reshape(-1, normal.shape[-1])
        centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
        axes = np.linalg.svd(centred, full_matrices=False)[2][: self.dim]
        return replace(self, axes=np.pad(axes, ((0, self.dim - len(axes)), (0, 0))))

    def apply(self, x: Array, z: Parameters) -> Array:
        assert self.axes is not None, "not fitted"
        length = np.linalg.norm(x, axis=-1, keepdims=True)
        u = x / np.maximum(length, np.finfo(np.float64).tiny)
        per_point = (len(x), *[1] * (x.ndim - 2), -1)
        towards = (z @ self.axes).reshape(per_point)
        tangent = towards - (towards * u).sum(axis=-1, keepdims=True) * u
        tangent /= np.maximum(np.linalg.norm(tangent, axis=-1, keepdims=True), np.finfo(np.float64).tiny)
        share = np.minimum(np.linalg.norm(z, axis=1, keepdims=True), 1.0)
        angle = math.radians(self.degrees) * share.reshape(per_point)
        return length * (np.cos(angle) * u + np.sin(angle) * tangent)


@dataclass(frozen=True, kw_only=True)
class WorstCase:
    """The search, one chain per anomaly and threat model, all from z = 0: the result is never above the anomaly's own.

    Attributes:
        threats: the worst of all of them counts.
        steps: of each chain.
        step_size: std of the proposals, reflected at the border of [-1, 1]^dim, which keeps them symmetric.
        temperature: T, in stds of the normal test points' energies.
        at_most: anomalies of a group that are changed, its first; None for all. The others are left out.
        every: only each such anomaly of these is changed, where the first are of one kind.
    """

    threats: tuple[ThreatModel, ...]
    steps: int = 50
    step_size: float = 0.2
    temperature: float = 0.1
    at_most: int | None = None
    every: int = 1

    @property
    def description(self) -> str:
        """The protocol's description of the attack."""
        spaced = "" if self.every == 1 else f", one in {self.every}"
        return (
            f"{'all' if self.at_most is None else f'first {self.at_most}'} anomalies of a group{spaced}, "
            f"least energy met by {self.steps} Metropolis-Hastings steps of {self.step_size:g} from the point, "
            f"T = {self.temperature:g} std of normal energies, over {' and '.join(t.description for t in self.threats)}"
        )

    def chosen(self, anomalous: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Rows of the anomalies that are changed."""
        return np.flatnonzero(anomalous)[: self.at_most : self.every]

    def __call__(
        self,
        energy: Callable[[Array], Scores],
        anomalies: Array,
        *,
        own: Scores,
        normal: Scores,
        train: Array,
        rng: np.random.Generator,
    ) -> Scores:
        """The least energy found of each anomaly [n, *event], [n].

        Args:
            own: energies of the anomalies as they are.
            normal: energies of normal points, which set the temperature.
            train: normal training points, which threats may look at.
        """
        scale = self.temperature * max(float(np.std(normal)), np.finfo(np.float64).tiny)
        least = own
        for threat in (threat.fitted(train) for threat in self.threats):
            z, at = np.zeros((len(anomalies), threat.dim)), own
            for _ in range(self.steps):
                proposal = _reflected(z + self.step_size * rng.normal(size=z.shape))
                found = energy(threat.apply(anomalies, proposal).astype(anomalies.dtype))
                moved = np.log(rng.random(len(z))) < (at - found) / scale
                z, at = np.where(moved[:, None], proposal, z), np.where(moved, found, at)
                least = np.minimum(least, found)
        return least


def _reflected(z: Parameters) -> Parameters:
    """Reflect into [-1, 1], as if its borders were mirrors."""
    return 1.0 - np.abs((z + 1.0) % 4.0 - 2.0)
