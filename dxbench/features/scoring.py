"""Scoring images, or statistics of them, by metrics on features: what tasks of images call."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

import numpy as np

from dxbench import paths
from dxbench.api import Evaluation, Metric
from dxbench.features.cache import FeatureCache, UnwrittenCache
from dxbench.features.quantisation import truncation_signs
from dxbench.features.sources import ImageSource, StatisticsSource
from dxbench.metrics.images.features import FeatureExtractor, FeatureInputs, FeatureSource, Images
from dxbench.metrics.images.frechet import Moments
from dxbench.metrics.scoring import score

Array = np.ndarray


def score_images(
    metrics: Sequence[Metric],
    images: Images,
    references: Mapping[str, FeatureSource],
    *,
    start: Images | None = None,
    energy: Callable[[Array], Array] | None = None,
    temperature: float | None = None,
    nfe: float | None = None,
    device: str = "cpu",
    progress: Callable[[str], None],
) -> Evaluation:
    """Scores of uint8 images [n, H, W, C], and of those of the model before fine-tuning, `start`.

    Every extractor passes over them once, however many metrics read it.

    Raises:
        MissingData: if an extractor's weights are absent; nothing is measured in their place.
    """
    warnings: list[str] = []
    signs = truncation_signs(images)
    if signs:
        warnings.append(f"the samples look truncated, not rounded, to bytes: {signs}")

    def source(of: Images) -> ImageSource:
        return ImageSource(of, device=device, cache=feature_cache(), progress=progress, warn=warnings.append)

    inputs = FeatureInputs(
        samples=images,
        energy=energy,
        temperature=temperature,
        nfe=nfe,
        features=source(images),
        reference=references,
        start_samples=start,
        start_features=None if start is None else source(start),
        device=device,
    )
    scores, notes, protocols = score(metrics, inputs, progress=progress)
    return Evaluation(scores=scores, notes=notes, protocols=protocols, nfe=nfe, warnings=tuple(warnings))


def score_statistics(
    metrics: Sequence[Metric],
    statistics: Mapping[str, tuple[Array, Array]],
    references: Mapping[str, FeatureSource],
    *,
    extractor: FeatureExtractor,
    n: int | None,
    progress: Callable[[str], None],
) -> Evaluation:
    """Scores of mean and covariance by kind of feature, taken on trust to be of `extractor` and of `n` images."""
    moments = {kind: Moments(n=n, mean=mean, cov=cov) for kind, (mean, cov) in statistics.items()}
    inputs = FeatureInputs(
        samples=None,
        energy=None,
        temperature=None,
        nfe=None,
        features=StatisticsSource(extractor, moments, n=n),
        reference=references,
    )
    scores, notes, protocols = score(metrics, inputs, progress=progress)
    trust = f"statistics do not say what they are of: taken for {extractor.name}, of {n or 'unknown'} images"
    return Evaluation(scores=scores, notes=notes, protocols=protocols, warnings=(trust,))


def feature_cache() -> FeatureCache:
    """Features kept between runs, under DXBENCH_CACHE; within `in_memory`, those of this process."""
    return _in_use.get() or FeatureCache(folder=_folder())


@contextmanager
def in_memory() -> Iterator[None]:
    """Meanwhile features are read from where they are kept, and no file is written."""
    before = _in_use.set(_memory(_folder()))
    try:
        yield
    finally:
        _in_use.reset(before)


_in_use: ContextVar[FeatureCache | None] = ContextVar("feature cache", default=None)


@cache
def _memory(folder: Path) -> FeatureCache:
    return UnwrittenCache(folder=folder)


def _folder() -> Path:
    return paths.cache() / "features"
