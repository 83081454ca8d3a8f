"""The two kinds of `FeatureSource`: images, whose features are computed once, and statistics of features."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from dxbench.api import NotApplicable
from dxbench.errors import InvalidFile
from dxbench.features.cache import FeatureCache
from dxbench.files.arrays import array_sha256
from dxbench.metrics.images.features import FeatureExtractor, Features, FeatureSet, FeatureSource, Images
from dxbench.metrics.images.frechet import Moments, array_moments


def silent(text: str) -> None:
    """Progress told to nobody."""


class ImageSource:
    """Images uint8 [n, H, W, C]. Every extractor runs over them once, when the first metric asks.

    Args:
        batch_size: images per forward pass; it changes no feature beyond rounding.
        cache: where features are kept between runs; None for nowhere.
        warn: told when features could not be kept.
    """

    def __init__(
        self,
        images: Images,
        *,
        device: str = "cpu",
        batch_size: int = 64,
        cache: FeatureCache | None = None,
        progress: Callable[[str], None] = silent,
        warn: Callable[[str], None] = silent,
    ) -> None:
        self._images = images
        self._device = device
        self._batch_size = batch_size
        self._cache = cache
        self._progress = progress
        self._warn = warn
        self._digest: str | None = None
        self._features: dict[str, dict[str, Features]] = {}
        self._moments: dict[tuple[str, str], Moments] = {}

    @property
    def n(self) -> int:
        return len(self._images)

    def features(self, which: FeatureSet) -> Features:
        name = which.extractor.name
        if name not in self._features:
            self._features[name] = self._read_or_extract(which.extractor)
        if which.kind not in self._features[name]:
            # Weights of another day may have been without it.
            if which.kind not in which.extractor.load(self._device)(self._images[:1]):
                raise NotApplicable(which.extractor.kinds[which.kind].lacking)
            self._features[name] = self._extract_and_keep(which.extractor)
        return self._features[name][which.kind]

    def moments(self, which: FeatureSet) -> Moments:
        key = (which.extractor.name, which.kind)
        if key not in self._moments:
            self._moments[key] = array_moments(self.features(which))
        return self._moments[key]

    def _read_or_extract(self, extractor: FeatureExtractor) -> dict[str, Features]:
        if self._cache is None:
            return self._extract(extractor)
        self._digest = self._digest or array_sha256(self._images)
        known = self._cache.read(self._digest, extractor)
        return known if known is not None else self._extract_and_keep(extractor)

    def _extract_and_keep(self, extractor: FeatureExtractor) -> dict[str, Features]:
        features = self._extract(extractor)
        if self._cache is None or self._digest is None:
            return features
        try:
            self._cache.write(self._digest, extractor, features)
        except OSError as error:
            self._warn(f"features of {extractor.name} were not kept for the next time: {error}")
        return features

    def _extract(self, extractor: FeatureExtractor) -> dict[str, Features]:
        extract = extractor.load(self._device)
        out: dict[str, Features] = {}
        for start in range(0, self.n, self._batch_size):
            self._progress(f"features of {extractor.name}: {start:,} of {self.n:,} images")
            for kind, features in extract(self._images[start : start + self._batch_size]).items():
                whole = out.setdefault(kind, np.empty((self.n, extractor.kinds[kind].dim), dtype=np.float32))
                whole[start : start + len(features)] = features
        for kind, features in out.items():
            if not np.isfinite(features).all():
                raise ValueError(f"{kind} features of {extractor.name} are not finite")
        return out


class PartOf:
    """Some images of a source, whose features are rows of the source's."""

    def __init__(self, source: FeatureSource, rows: NDArray[np.int64]) -> None:
        self._source, self._rows = source, rows

    @property
    def n(self) -> int:
        return len(self._rows)

    def features(self, which: FeatureSet) -> Features:
        return self._source.features(which)[self._rows]

    def moments(self, which: FeatureSet) -> Moments:
        return array_moments(self.features(which))


class StatisticsSource:
    """Mean and covariance computed elsewhere, by kind of feature ("pool3", "spatial").

    Args:
        extractor: the one whose features they are of; a file of statistics does not say, the caller vouches.
        moments: by kind.
        n: how many images they are of, or None where nobody says.

    Raises:
        NotApplicable: for a kind that the extractor does not give.
        InvalidFile: for another dimension than its features have.
    """

    def __init__(self, extractor: FeatureExtractor, moments: Mapping[str, Moments], *, n: int | None) -> None:
        self._extractor = extractor
        self._moments = dict(moments)
        self._n = n
        for kind, found in self._moments.items():
            if kind not in extractor.kinds:
                raise NotApplicable(
                    f"the statistics are of {kind}, {extractor.name} gives {', '.join(extractor.kinds)}"
                )
            wanted = extractor.kinds[kind].dim
            if len(found.mean) != wanted:
                raise InvalidFile(f"{kind} of {extractor.name} has {wanted} dimensions, the file {len(found.mean)}")

    @property
    def n(self) -> int | None:
        return self._n

    def features(self, which: FeatureSet) -> Features:
        raise NotApplicable("only mean and covariance are at hand, no features")

    def moments(self, which: FeatureSet) -> Moments:
        if which.extractor.name != self._extractor.name or which.kind not in self._moments:
            raise NotApplicable(f"there are no statistics of {which.kind} of {which.extractor.name}")
        return self._moments[which.kind]
