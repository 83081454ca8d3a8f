"""Any set against any set: what is read of a file or folder, and its scores by protocols for two sets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dxbench.api import Evaluation
from dxbench.api.streams import derive_seed
from dxbench.errors import InvalidFile, MissingData, UsageError
from dxbench.features.inception import INCEPTION_TENSORFLOW
from dxbench.features.points import PointSource
from dxbench.features.protocols import SetProtocol, Sides
from dxbench.features.quantisation import quantise, truncation_signs
from dxbench.features.scoring import feature_cache
from dxbench.features.sources import ImageSource, StatisticsSource
from dxbench.files.arrays import array_sha256
from dxbench.metrics.images.features import FeatureExtractor, FeatureInputs, FeatureSet, FeatureSource, Images
from dxbench.metrics.images.frechet import Moments
from dxbench.metrics.scoring import score
from dxbench.readers import (
    Statistics,
    array_headers,
    first_shape,
    holds_images,
    read_reference,
    read_samples,
    read_statistics,
)

Array = NDArray[np.float64]
REFERENCE_FILE = {"arr_0", "mu", "sigma", "mu_s", "sigma_s"}


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleSet:
    """Contents of a file or folder: images, points, statistics of features, or images and statistics of more.

    Attributes:
        name: for protocols and messages.
        images: uint8 [n, H, W, C].
        points: [n, D].
        statistics: as ADM's reference files and pytorch-fid's have them.
    """

    name: str
    images: Images | None = None
    points: Array | None = None
    statistics: Statistics | None = None

    @property
    def n(self) -> int | None:
        """The number of samples; None for statistics, which do not say."""
        held = self.images if self.points is None else self.points
        return None if held is None else len(held)

    @property
    def described(self) -> str:
        """The set in a protocol's words, the same wherever it lies."""
        held = self.images if self.points is None else self.points
        statistics = "" if self.statistics is None else f"statistics {_digest(self.statistics)}"
        samples = "" if held is None else f"{len(held):,} samples, sha256 {array_sha256(held)[:16]}"
        return ", ".join(part for part in (self.name, samples, statistics) if part)

    def drawn(self, n: int) -> "SampleSet":
        """n of its samples by a published seed, in their order; raises UsageError if there are fewer."""
        assert self.n is not None
        if n > self.n:
            raise UsageError(f"--n {n:,} is more than the {self.n:,} samples of {self.name}")
        rng = np.random.default_rng(derive_seed("samples of a set", self.n, n))
        rows = np.sort(rng.permutation(self.n)[:n])
        return SampleSet(
            name=self.name,
            images=None if self.images is None else self.images[rows],
            points=None if self.points is None else self.points[rows],
        )

    def source(
        self, extractor: FeatureExtractor | None, *, n: int | None, progress: Callable[[str], None]
    ) -> FeatureSource:
        """Its features by an extractor; statistics are taken on trust to be of it, and of n samples."""
        if self.points is not None:
            return PointSource(self.points)
        assert extractor is not None
        images = None
        if self.images is not None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
            images = ImageSource(self.images, device=device, cache=feature_cache(), progress=progress)
        if images is not None and (self.statistics is None or extractor.name != INCEPTION_TENSORFLOW.name):
            return images  # the statistics of ADM's reference files are of that network
        assert self.statistics is not None
        moments = {
            kind: Moments(n=n, mean=mean, cov=cov)
            for kind, (mean, cov) in self.statistics.moments.items()
            if kind in extractor.kinds
        }
        statistics = StatisticsSource(extractor, moments, n=n)
        return statistics if images is None else ReferenceFile(images=images, statistics=statistics)


@dataclass(frozen=True, kw_only=True)
class ReferenceFile:
    """Images, and published statistics of the whole set that they are of, as ADM's reference files hold both."""

    images: FeatureSource
    statistics: FeatureSource

    @property
    def n(self) -> int | None:
        return self.images.n

    def features(self, which: FeatureSet) -> NDArray[np.float32]:
        return self.images.features(which)

    def moments(self, which: FeatureSet) -> Moments:
        return self.statistics.moments(which)


def read_set(path: Path) -> SampleSet:
    """A folder or zip archive of PNGs of one size, or an npz or npy file of images, points or statistics.

    Images are uint8 [n, height, width, channels], or floats [n, channels, height, width] in [-1, 1], which are rounded
    to bytes; floats of other shapes are points.

    Raises:
        MissingData: if there is nothing at `path`.
        InvalidFile: if it cannot be read or holds none of these.
    """
    if not path.exists():
        raise MissingData(f"no file or folder {path}")
    if holds_images(path):
        images = read_samples(path, first_shape(path))
        assert isinstance(images, np.ndarray)
        return SampleSet(name=path.name, images=images)
    arrays = array_headers(path)
    name = next((name for name in ("arr_0", "samples") if name in arrays), None)
    if name is None:
        return SampleSet(name=path.name, statistics=read_statistics(path))
    shape, dtype = arrays[name]
    if 0 in shape:
        raise InvalidFile(f"{path}: {name} {list(shape)} is empty")
    if dtype == np.uint8 and len(shape) == 4:
        event = (shape[3], shape[1], shape[2])
        if set(arrays) >= REFERENCE_FILE:
            statistics, images = read_reference(path, event)
            return SampleSet(name=path.name, images=images, statistics=statistics)
        images = read_samples(path, event)
        assert isinstance(images, np.ndarray)
        return SampleSet(name=path.name, images=images)
    _check_kind(path, shape, dtype)
    return set_of(_points(path, shape), name=path.name, where=path)


def set_of(values: NDArray[Any], *, name: str, where: str | Path) -> SampleSet:
    """An array as `read_set` takes it of a file; `where` is what messages call it.

    Raises:
        InvalidFile: if it is neither images nor points, or not finite.
    """
    if values.dtype == np.uint8 and values.ndim == 4 and 0 not in values.shape:
        return SampleSet(name=name, images=values)
    _check_kind(where, values.shape, values.dtype)
    if not np.isfinite(values).all():
        raise InvalidFile(f"{where}: not all of {len(values):,} samples are finite")
    values = values.astype(np.float64)
    if values.ndim == 4 and values.shape[1] in (1, 3):
        if np.abs(values).max() > 1.0:
            raise InvalidFile(f"{where}: float images have pixels in [-1, 1], got {values.min():g} to {values.max():g}")
        return SampleSet(name=name, images=quantise(values))
    return SampleSet(name=name, points=values.reshape(len(values), -1))


def _check_kind(where: str | Path, shape: Sequence[int], dtype: np.dtype) -> None:
    if len(shape) < 2 or 0 in shape or not np.issubdtype(dtype, np.floating):
        raise InvalidFile(
            f"{where}: wants uint8 images [n, height, width, channels], float images [n, channels, height, width] in "
            f"[-1, 1] or float points [n, d], got {dtype} {list(shape)}"
        )


def score_against(
    protocols: Sequence[SetProtocol],
    samples: SampleSet,
    reference: SampleSet,
    *,
    train: SampleSet | None,
    n: int | None,
    progress: Callable[[str], None],
) -> Evaluation:
    """Scores of one set against another.

    Args:
        train: the set that the model of the samples was trained on, for metrics that ask for copies.
        n: how many of the samples are drawn, or how many statistics are of.

    Raises:
        UsageError: for points by a protocol of images, or the other way round, statistics by protocols of two
            extractors, or statistics of an unknown number of samples.
        MissingData: if an extractor's weights are absent; nothing is measured in their place.
    """
    given = [part for part in (samples, reference, train) if part is not None]
    _check_kinds(protocols, given)
    if samples.images is None and samples.points is None and n is None:
        raise UsageError(f"{samples.name} holds statistics, which do not say how many samples they are of; give --n")
    chosen = samples if n is None or samples.n is None else samples.drawn(n)
    count = chosen.n if chosen.n is not None else n
    assert count is not None
    sides = Sides(
        dim=0 if chosen.points is None else chosen.points.shape[1],
        num_samples=count,
        reference=reference.described,
        num_reference=reference.n or 0,
        train=None if train is None else train.described,
        num_train=0 if train is None else train.n or 0,
    )
    evaluations = []
    for protocol in protocols:
        sources = {sides.reference: reference.source(protocol.extractor, n=None, progress=progress)}
        if train is not None:
            sources[train.described] = train.source(protocol.extractor, n=None, progress=progress)
        inputs = FeatureInputs(
            samples=chosen.images if chosen.points is None else chosen.points,
            energy=None,
            temperature=None,
            nfe=None,
            features=chosen.source(protocol.extractor, n=count, progress=progress),
            reference=sources,
            device="cuda" if torch.cuda.is_available() else "cpu",
        )
        evaluations.append(score(protocol.metrics(sides), inputs, progress=progress))
    warnings = [f"{part.name}: statistics do not say whose features they are of" for part in given if part.statistics]
    signs = None if chosen.images is None else truncation_signs(chosen.images)
    if signs:
        warnings.append(f"the samples look truncated, not rounded, to bytes: {signs}")
    return Evaluation(
        scores={name: value for scores, _, _ in evaluations for name, value in scores.items()},
        notes={name: value for _, notes, _ in evaluations for name, value in notes.items()},
        protocols={name: value for _, _, found in evaluations for name, value in found.items()},
        warnings=tuple(warnings),
    )


def _check_kinds(protocols: Sequence[SetProtocol], given: Sequence[SampleSet]) -> None:
    for protocol in protocols:
        for part in given:
            if (protocol.extractor is None) != (part.points is not None):
                holds, wants = ("points", "images") if part.points is not None else ("images or statistics", "points")
                raise UsageError(f"{part.name} holds {holds}, protocol {protocol.name} is of {wants}")
    widths = {part.points.shape[1] for part in given if part.points is not None}
    if len(widths) > 1:
        raise UsageError(f"points of {' and '.join(map(str, sorted(widths)))} coordinates cannot be compared")
    extractors = {protocol.extractor.name for protocol in protocols if protocol.extractor is not None}
    bare = [part.name for part in given if part.statistics is not None and part.images is None]
    if bare and len(extractors) > 1:
        raise UsageError(
            f"{bare[0]} holds statistics of the features of one network, the protocols read {len(extractors)}; "
            "ask for one"
        )


def _digest(statistics: Statistics) -> str:
    return " ".join(array_sha256(mean)[:8] for mean, _ in statistics.moments.values())


def _points(path: Path, shape: tuple[int, ...]) -> Array:
    """The array [n, ...] as float64, read as points whatever its shape."""
    values = read_samples(path, shape[1:], image_bytes=False)
    assert isinstance(values, np.ndarray)
    return values
