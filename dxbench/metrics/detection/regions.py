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

from dxbench.metrics.detection.ranking import Array, Detections, FalseAlarms, require_booleans, require_finite

Maps = NDArray[np.floating[Any]]
Masks = NDArray[np.bool_]

FPR_LIMIT = 0.3
STRICT_FPR_LIMIT = 0.05
PIMO_RATES = (1e-5, 1e-4)
"""Rates of false alarm between which AUPIMO integrates."""


@dataclass(frozen=True, kw_only=True)
class RankedPixels:
    """Defect pixels of a set of maps, ranked among the normal pixels.

    Attributes:
        alarms: rates of false alarm at each defect pixel's score.
        detections: anomalies found and alarms raised at each defect pixel's score.
        region: index of the connected defect of each of them, 0 .. num_regions - 1.
        sizes: pixels of each defect, [num_regions].
        image: which map each defect pixel is of.
        good_alarms: share of the pixels of images without a defect that score as high as each defect pixel or higher;
            None where every image has a defect.
        good_pixels: how many those pixels are.
    """

    alarms: FalseAlarms
    detections: Detections
    region: NDArray[np.intp]
    sizes: NDArray[np.intp]
    image: NDArray[np.intp]
    good_alarms: Array | None
    good_pixels: int

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
        good = maps[~masks.any(axis=(1, 2))]
        return cls(
            alarms=alarms,
            detections=detections,
            region=region,
            sizes=sizes,
            image=np.nonzero(masks)[0],
            good_alarms=FalseAlarms.at(defect, good).loose if good.size else None,
            good_pixels=good.size,
        )

    @property
    def auroc(self) -> float:
        """The AUROC over all pixels of all images, those without defects included."""
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

    def image_aupimo(self, rates: tuple[float, float] = PIMO_RATES) -> Array:
        """AUPIMO of each image with a defect, in the order of the images: the mean over log rates of false alarm of
        the share of its defect's pixels found (Bertoldo et al. 2024, arXiv:2401.01984).

        Rates are shares of the pixels of images without a defect. Of all thresholds that keep to a rate the lowest
        counts, so that each pixel adds the part of the interval above its own rate: exact, without a grid.

        Raises:
            ValueError: if there is no image without a defect, or their pixels are too few to tell the rates apart.
        """
        low, high = rates
        if self.good_alarms is None or self.good_pixels * high < 1:
            raise ValueError(f"a rate of {high:g} is less than one of {self.good_pixels:,} pixels without a defect")
        parts = np.log(high / np.maximum(self.good_alarms, low)).clip(min=0.0) / np.log(high / low)
        pixels = np.bincount(self.image)
        return (np.bincount(self.image, weights=parts)[pixels > 0]) / pixels[pixels > 0]


def connected_regions(masks: Masks) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """8-connected defects of masks [n, h, w]: the region of each true pixel in C order, and the region sizes."""
    from scipy.ndimage import label

    within_an_image = np.zeros((3, 3, 3), dtype=bool)
    within_an_image[1] = True
    labelled = label(masks, structure=within_an_image)
    assert isinstance(labelled, tuple)
    region = labelled[0][masks].astype(np.intp) - 1
    return region, np.bincount(region)
