"""A task of 8 x 8 grey images for tests of `dxbench eval`; its weights lie under DXBENCH_DATA."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from small import Small, weights_at

from dxbench import paths
from dxbench.api import Evaluation, Model, Problem, Task
from dxbench.features.extractor import NetworkExtractor
from dxbench.features.protocols import fidelity
from dxbench.features.scoring import score_images, score_statistics
from dxbench.features.sources import ImageSource
from dxbench.metrics.images.features import FeatureKind, FeatureSource

REFERENCE = np.random.default_rng(1).integers(0, 256, size=(50, 8, 8, 1), dtype=np.uint8)


class NoData:
    def batch(self, n: int, *, rng: np.random.Generator) -> torch.Tensor:
        return torch.zeros(n, 1, 8, 8)


class SmallImages(Task):
    """Sixty grey images."""

    name, version, headline = "small_images", 1, ("fd_small@60",)

    @cached_property
    def extractor(self) -> NetworkExtractor:
        path = paths.data() / "weights" / "small-0.safetensors"
        digest = None if path.is_file() else f"sha256:{'0' * 64}"
        weights = weights_at(path, digest=digest, task=self.name)
        kinds = {"pooled": FeatureKind(dim=6, frechet="fd_small", kernel="kd_small"), "logits": FeatureKind(dim=3)}
        return NetworkExtractor(
            name="small", kinds=kinds, weights=weights, build=Small, image_shape=(8, 8, 1), preprocessing={}
        )

    @property
    def metrics(self) -> Sequence[Any]:
        return fidelity(
            self.extractor, evaluator="small@1", reference="reference", num_reference=50, num_samples=60, subset_size=20
        )

    @property
    def references(self) -> dict[str, FeatureSource]:
        return {"reference": ImageSource(REFERENCE)}

    def problem(self, *, oracle: bool) -> Problem:
        return Problem(task=self.name, event_shape=(1, 8, 8), data=NoData(), data_std=0.5)

    def evaluate(self, model: Model, *, seed: int, device: str, progress: Callable[[str], None]) -> Evaluation:
        raise NotImplementedError

    def evaluate_samples(self, samples: NDArray[Any], *, progress: Callable[[str], None]) -> Evaluation:
        return score_images(self.metrics, samples, self.references, progress=progress)

    def evaluate_statistics(
        self,
        statistics: Mapping[str, tuple[NDArray[Any], NDArray[Any]]],
        *,
        n: int | None,
        progress: Callable[[str], None],
    ) -> Evaluation:
        pooled = {"pooled": statistics["pool3"]}
        return score_statistics(self.metrics, pooled, self.references, extractor=self.extractor, n=n, progress=progress)

    def pictures(self, arrays: Mapping[str, NDArray[Any]]) -> Sequence[Any]:
        return ()
