"""Points as their own features, so that sets of points are compared by the metrics that compare images."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from dxbench.metrics.images.features import Extract, FeatureKind, Features, FeatureSet, Images
from dxbench.metrics.images.frechet import Moments, array_moments


class Coordinates:
    """The extractor of points of `dim` coordinates: none at all."""

    name = "coordinates"

    def __init__(self, dim: int) -> None:
        kind = FeatureKind(dim=dim, frechet="fd_points", kernel="kd_points", quantisation="none")
        self.kinds: Mapping[str, FeatureKind] = {"points": kind}

    @property
    def fields(self) -> dict[str, JsonValue]:
        return {"extractor": "none, the coordinates themselves", "dtype": "float64"}

    def load(self, device: str) -> Extract:
        """Refuse images, which have no coordinates."""

        def extract(images: Images) -> dict[str, Features]:
            raise AssertionError("points are read as a PointSource")

        return extract


class PointSource:
    """Points [n, D] as a `dxbench.metrics.images.features.FeatureSource`."""

    def __init__(self, points: NDArray[np.float64]) -> None:
        self._points = points

    @property
    def n(self) -> int:
        return len(self._points)

    def features(self, which: FeatureSet) -> NDArray[np.float64]:
        return self._points

    def moments(self, which: FeatureSet) -> Moments:
        return array_moments(self._points)
