"""Turn the energies of an image's patches into its anomaly map and its score: the choices that papers differ in."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d, interpolate

from dxbench.metrics.detection.metrics import GroupScores
from dxbench.metrics.detection.regions import Masks, RankedPixels

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PatchScoring:
    """One way to score patches, in float64: nothing is rescaled, smoothed or rounded on the way to the ranking.

    Attributes:
        resolution: side of maps and masks, in pixels.
        align_corners: whether the corner patches lie on the corner pixels, as in UniAD, or centre on their own area,
            as in DxMI and VGS.
        pool: images are scored by means of the map over windows of this side (UniAD); None for the energies of their
            patches (DxMI, VGS).
        top: an image's score is the mean of this many of these, the largest; papers take the largest alone.
    """

    resolution: int
    align_corners: bool
    pool: int | None
    top: int = 1

    @property
    def map_recipe(self) -> str:
        """The description that protocols hold."""
        return f"bilinear to {self.resolution}, align_corners={self.align_corners}, no smoothing"

    @property
    def image_score(self) -> str:
        """The description that protocols hold."""
        largest = "max" if self.top == 1 else f"mean of the {self.top} largest"
        if self.pool is None:
            return f"{largest} over patches of the energy"
        return f"{largest} of the map ({self.map_recipe}) averaged over {self.pool} x {self.pool}, stride 1"

    def maps(self, energies: Array) -> Array:
        """Energies [n, h, w] to maps [n, resolution, resolution]."""
        size = (self.resolution, self.resolution)
        if size == energies.shape[1:]:
            return energies
        patches = torch.from_numpy(energies)[:, None]
        return interpolate(patches, size=size, mode="bilinear", align_corners=self.align_corners).squeeze(1).numpy()

    def images(self, energies: Array) -> Array:
        """Energies [n, h, w] to the scores of the images, [n]."""
        if self.pool is not None:
            energies = avg_pool2d(torch.from_numpy(self.maps(energies)), self.pool, stride=1).numpy()
        largest = np.partition(energies.reshape(len(energies), -1), -self.top, axis=1)[:, -self.top :]
        return largest.mean(axis=1)

    def group(self, energies: Array, *, anomalous: NDArray[np.bool_], masks: Masks | None) -> GroupScores:
        """The scores of one group's images; without masks [n, H, W], or a defect in them, no pixel is ranked."""
        ranked = None
        if masks is not None and masks.any():
            ranked = RankedPixels.of(self.maps(energies), _nearest(masks, self.resolution))
        return GroupScores(scores=self.images(energies), anomalous=anomalous, pixels=ranked, energies=energies)


def _nearest(masks: Masks, side: int) -> Masks:
    """Masks [n, H, W] at another resolution: the pixel under each new pixel's centre, [n, side, side]."""
    rows, columns = (((np.arange(side) + 0.5) * size / side).astype(int) for size in masks.shape[1:])
    return masks[:, rows[:, None], columns]
