"""Parts that tasks of images share: drawing, start, chain and energies of a model, bytes, scores, pictures."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from dxbench.api import (
    DataSource,
    Evaluation,
    EvaluationInputs,
    Metric,
    Model,
    Problem,
    Task,
    Tile,
)
from dxbench.api.streams import derive_seed
from dxbench.assets import Asset, PretrainedFiles
from dxbench.drawing.draw import draw_chains, draw_samples, energy_function
from dxbench.errors import InvalidFile
from dxbench.features.quantisation import quantise
from dxbench.features.scoring import feature_cache, score_images, score_statistics
from dxbench.features.sources import ImageSource
from dxbench.metrics.images.features import (
    FeatureExtractor,
    FeatureInputs,
    FeatureMetric,
    FeatureSource,
    short_count,
)
from dxbench.metrics.scoring import score
from dxbench.pictures.images import CHAIN_COLUMNS, GRID_SIDE, ImagePicture, image_pictures
from dxbench.pictures.tiles import image_tiles
from dxbench.tasks.image_data import DATA_STD, to_floats

Array = NDArray[Any]
Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
SHOWN = GRID_SIDE**2
BIAS = (
    "{name} is a preview: a Frechet distance of {n:,} samples is biased upwards, by about a constant over their number "
    "(Chong and Forsyth 2020, arXiv:1911.07023), so that it is comparable with no FID of {whole} samples, ours or a "
    "paper's"
)
ENERGIES_OF = 1000
"""Images of each kind behind the histogram of energies."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """The draws of a model.

    Attributes:
        samples: [n, ...], and `start` those of the model it was fine-tuned from, of the same seeds; None if there are
            none.
        nfe: counted network evaluations per sample.
        chain: states of a few samples from noise on, [K + 1, b, *event].
    """

    samples: Array | None = None
    start: Array | None = None
    nfe: float | None = None
    chain: Array | None = None


def draw_images(
    model: Model,
    n: int,
    *,
    event_shape: tuple[int, ...],
    seed: int,
    batch_size: int,
    progress: Callable[[str], None],
    labels: Labels | None = None,
    keep: Callable[[Array], Array] | None = None,
) -> Drawn:
    """Draw n samples, and as many of the start, of seeds `seed` .. `seed` + n - 1; `keep` as in `draw_samples`."""

    def draw(one: Model) -> tuple[Array, float]:
        return draw_samples(
            one,
            n,
            event_shape=event_shape,
            first_seed=seed,
            batch_size=batch_size,
            progress=progress,
            labels=labels,
            keep=keep,
        )

    samples, nfe, start = None, None, None
    if model.sampler is not None:
        samples, nfe = draw(model)
    if model.start is not None:
        progress("sampling the model before fine-tuning")
        start, _ = draw(model.start)
    chain = draw_chains(model, CHAIN_COLUMNS, first_seed=seed, labels=labels)
    return Drawn(samples=samples, start=start, nfe=nfe, chain=chain)


class ImageTask(Task):
    """Samples as bytes, scored on features of networks that are not shipped.

    Attributes:
        event_shape: (C, H, W).
        data_std: of one coordinate of its training images.
        num_samples: N of every score.
        batch_size: samples drawn at a time; it changes no sample.
        num_classes: of tasks with classes.
        data_asset: its training images.
        scored_with: feature nets and references.
        scored_later: those of metrics that a run leaves out (`dxbench.metrics.later`).
        pretrained_assets: official weights by the name a method asks for.
        extractor: what statistics made elsewhere are taken to be of.
        scored_by: its metrics.
        previews: Frechet distances of fewer samples, which `evaluate_samples` gives in place of the metrics where
            there are just so many; no run measures them.
    """

    family = "images"
    threads = 2
    event_shape: ClassVar[tuple[int, int, int]]
    data_std: ClassVar[float] = DATA_STD
    num_samples: ClassVar[int] = 50_000
    batch_size: ClassVar[int]
    num_classes: ClassVar[int | None] = None
    data_asset: ClassVar[Asset]
    scored_with: ClassVar[tuple[Asset, ...]]
    scored_later: ClassVar[tuple[Asset, ...]] = ()
    pretrained_assets: ClassVar[Mapping[str, Asset]] = {}
    extractor: ClassVar[FeatureExtractor]
    scored_by: ClassVar[Sequence[Metric]]
    previews: ClassVar[Sequence[FeatureMetric]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "data_asset" in vars(cls):
            every = (cls.data_asset, *cls.scored_with, *cls.scored_later, *cls.pretrained_assets.values())
            cls.assets = tuple({asset.name: asset for asset in every}.values())

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.scored_by

    @abstractmethod
    def training_data(self) -> DataSource:
        """Training images, read when first asked for."""

    @abstractmethod
    def references(self) -> Mapping[str, FeatureSource]:
        """Sets that metrics compare with, by the names that stand in their protocols."""

    @abstractmethod
    def real_images(self) -> Images:
        """Some real images [n, H, W, C], for pictures and energies."""

    def other_images(self) -> Mapping[str, Images]:
        """Images that are no real ones [n, H, W, C], whose energies are shown beside, by what they are."""
        rng = np.random.default_rng(derive_seed(self.name, "noise"))
        size = self.event_shape[1:] + self.event_shape[:1]
        return {"uniform noise": rng.integers(0, 256, size=(ENERGIES_OF, *size), dtype=np.uint8)}

    def oracle(self) -> Model | None:
        """The truth as a model, where images are kept back for it."""
        return None

    def labels(self) -> Labels | None:
        """Classes of the samples, [num_samples], where there are classes."""
        return None

    def needed(self, *, training: bool, weights: Sequence[str]) -> list[Asset]:
        begun_from = [self.pretrained_assets[name] for name in weights if name in self.pretrained_assets]
        every = [*([self.data_asset] if training else []), *self.scored_with, *begun_from]
        return [replace(asset, task=self.name) for asset in dict.fromkeys(every)]  # the remedy names this task

    def problem(self, *, oracle: bool) -> Problem:
        return Problem(
            task=self.name,
            event_shape=self.event_shape,
            data=self.training_data(),
            data_std=self.data_std,
            num_classes=self.num_classes,
            pretrained=PretrainedFiles(task=self.name, files=self.pretrained_assets),
            oracle=self.oracle() if oracle else None,
        )

    @cached_property
    def _references(self) -> Mapping[str, FeatureSource]:
        return self.references()

    def evaluate(self, model: Model, *, seed: int, device: str, progress: Callable[[str], None]) -> Evaluation:
        drawn = draw_images(
            model,
            self.num_samples,
            event_shape=self.event_shape,
            seed=seed,
            batch_size=self.batch_size,
            progress=progress,
            labels=self.labels(),
            keep=quantise,
        )
        energy = None
        if model.energy is not None:
            energy = energy_function(model.energy, device=device, batch_size=self.batch_size)
        arrays: dict[str, Array] = {"test": self.real_images()[:SHOWN]}
        if energy is not None:
            arrays |= self._energies(energy, drawn)
        if drawn.start is not None:
            arrays["start_samples"] = drawn.start[:SHOWN]
        if drawn.chain is not None:
            arrays["chain"] = drawn.chain.astype(np.float16)
        if drawn.samples is None:
            inputs = EvaluationInputs(
                samples=None, energy=energy, temperature=model.temperature, nfe=None, reference=None
            )
            scores, notes, protocols = score(self.metrics, inputs, progress=progress)
            return Evaluation(scores=scores, notes=notes, protocols=protocols, arrays=arrays)
        found = score_images(
            self.metrics,
            drawn.samples,
            self._references,
            start=drawn.start,
            energy=energy,
            temperature=model.temperature,
            nfe=drawn.nfe,
            device=device,
            progress=progress,
        )
        found.arrays.update(arrays | {"samples": drawn.samples})
        return found

    def _energies(self, energy: Callable[[Array], Array], drawn: Drawn) -> dict[str, Array]:
        """Energies of images of each kind, for the histogram."""
        kinds = {"real images": self.real_images()[:ENERGIES_OF], **self.other_images()}
        if drawn.samples is not None:
            kinds["samples"] = drawn.samples[:ENERGIES_OF]
        return {f"energy of {kind}": energy(to_floats(images)) for kind, images in kinds.items()}

    def evaluate_samples(self, samples: Array, *, progress: Callable[[str], None]) -> Evaluation:
        metrics, warnings = self._scored_on(len(samples))
        self.require(training=False)
        found = score_images(metrics, samples, self._references, device=_device(), progress=progress)
        return replace(found, warnings=(*found.warnings, *warnings))

    def evaluate_statistics(
        self, statistics: Mapping[str, tuple[Array, Array]], *, n: int | None, progress: Callable[[str], None]
    ) -> Evaluation:
        previewed = n in {metric.num_samples for metric in self.previews}
        metrics, warnings = self._scored_on(n) if n is not None and previewed else (self.metrics, [])
        self.require(training=False)
        found = score_statistics(
            metrics, statistics, self._references, extractor=self.extractor, n=n, progress=progress
        )
        return replace(found, warnings=(*found.warnings, *warnings))

    def inputs_of(self, samples: Array) -> EvaluationInputs:
        return FeatureInputs(
            samples=samples,
            energy=None,
            temperature=None,
            nfe=None,
            features=ImageSource(samples, device=_device(), cache=feature_cache()),
            reference=self._references,
            device=_device(),
        )

    def _scored_on(self, n: int) -> tuple[Sequence[Metric], list[str]]:
        """The metrics of so many samples, and what a reader has to know of them.

        Raises:
            InvalidFile: for a number that nothing is measured of.
        """
        if n == self.num_samples:
            return self.metrics, []
        found = [metric for metric in self.previews if metric.num_samples == n]
        if not found:
            sizes = " or ".join(f"{size:,}" for size in sorted({metric.num_samples for metric in self.previews}))
            preview = f", or on {sizes} for a preview of FID" if sizes else ""
            raise InvalidFile(
                f"{self.name} is scored on exactly {self.num_samples:,} samples{preview}, got {n:,}; a Frechet "
                "distance of fewer is larger, one of more smaller"
            )
        return found, [BIAS.format(name=metric.name, n=n, whole=short_count(self.num_samples)) for metric in found]

    def pictures(self, arrays: Mapping[str, Array]) -> list[ImagePicture]:
        return image_pictures(_shown(arrays))

    def tiles(self, arrays: Mapping[str, Array]) -> list[Tile]:
        return image_tiles(_shown(arrays))


def _shown(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Bytes as pixels in [-1, 1], as many as are shown, and floats as they are."""
    return {
        name: to_floats(cast(Images, array[:SHOWN])) if array.dtype == np.uint8 else array.astype(np.float64)
        for name, array in arrays.items()
    }


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def first_images(source: Images, n: int, *, device: str | None = None) -> ImageSource:
    """The first n images as a reference, with features kept between runs."""
    return ImageSource(source[:n], device=device or _device(), cache=feature_cache())
