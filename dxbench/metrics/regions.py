"""Localisation: pixel AUROC and AUPRO of anomaly maps against masks, exact, from one sort of the normal pixels.

PRO (per-region overlap) at a threshold is the share of a defect's pixels above it, averaged over all connected
defects; AUPRO is the area under PRO against the false-positive rate of all normal pixels, up to a limit, over the
limit (Bergmann et al. 2021, doi:10.1007/s11263-020-01400-4, section 5.2). Implementations differ by their grids of
thresholds; this one has none: each defect pixel adds the area under its own step (`FalseAlarms.area_up_to`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxbench.metrics.ranking import Array, Detections, FalseAlarms, require_booleans, require_finite

Maps = NDArray[np.floating[Any]]
Masks = NDArray[np.bool_]

FPR_LIMIT = 0.3


@dataclass(frozen=True, kw_only=True)
class RankedPixels:
    """Defect pixels of a set of maps, ranked among the normal pixels.

    Attributes:
        alarms: rates of false alarm at each defect pixel's score.
        detections: anomalies found and alarms raised at each defect pixel's score.
        region: index of the connected defect of each of them, 0 .. num_regions - 1.
        sizes: pixels of each defect, [num_regions].
    """

    alarms: FalseAlarms
    detections: Detections
    region: NDArray[np.intp]
    sizes: NDArray[np.intp]

    @classmethod
    def of(cls, maps: Maps, masks: Masks) -> "RankedPixels":
        """Rank the pixels of maps [n, h, w] by masks [n, h, w], true at defects.

        Raises:
            ValueError: if shapes differ, masks are no booleans, a score is not finite, or there is no normal or no
                defect pixel.
        """
        if maps.shape != masks.shape or maps.ndim != 3:
            raise ValueError(f"need maps and masks of one shape [n, h, w], got {maps.shape} and {masks.shape}")
        require_booleans("masks", masks, maps.shape)
        normal, defect = maps[~masks], maps[masks]
        require_finite(**{"normal pixel": normal, "defect pixel": defect})
        region, sizes = connected_regions(masks)
        alarms = FalseAlarms.at(defect, normal)
        detections = Detections.at(defect, alarms, num_normal=len(normal))
        return cls(alarms=alarms, detections=detections, region=region, sizes=sizes)

    @property
    def auroc(self) -> float:
        """Over all pixels of all images, those without defects included."""
        return self.alarms.auroc

    def curves(self, rates: Array) -> tuple[Array, Array]:
        """Share of defect pixels found (ROC) and the mean over defects of it (PRO), at rates of false positives."""
        found = [self.alarms.detected_at(float(rate)) for rate in rates]
        weights = 1.0 / (len(self.sizes) * self.sizes[self.region])
        return np.array([one.mean() for one in found]), np.array([one @ weights for one in found])

    def aupro(self, limit: float = FPR_LIMIT) -> float:
        """Area under PRO for false-positive rates up to `limit`, over `limit`: 1 is perfect, limit / 2 is chance."""
        return float(self.region_aupro(limit).mean())

    def region_aupro(self, limit: float = FPR_LIMIT) -> Array:
        """AUPRO of each connected defect, [num_regions].

        Raises:
            ValueError: unless 0 < limit <= 1.
        """
        if not 0.0 < limit <= 1.0:
            raise ValueError(f"the limit of the false-positive rate is a share in (0, 1], got {limit}")
        areas = np.bincount(self.region, weights=self.alarms.area_up_to(limit), minlength=len(self.sizes))
        return areas / (self.sizes * limit)


def connected_regions(masks: Masks) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """8-connected defects of masks [n, h, w]: the region of each true pixel in C order, and the region sizes."""
    from scipy.ndimage import label

    within_an_image = np.zeros((3, 3, 3), dtype=bool)
    within_an_image[1] = True
    labelled = label(masks, structure=within_an_image)
    assert isinstance(labelled, tuple)
    region = labelled[0][masks].astype(np.intp) - 1
    return region, np.bincount(region)
