"""Features of patches of images: what turns pictures into points, computed once for each set of files.

An extractor sees images resized to its `side` and gives a grid of vectors. Its features are kept in float16 under the
sha256 of the files, with the masks at the same resolution.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from dxbench import paths
from dxbench.errors import InvalidFile
from dxbench.features.cache import FeatureCache
from dxbench.metrics.images.features import Images
from dxbench.readers.mvtec import READING, Category, Masks, read_images, read_masks

Grids = NDArray[np.floating[Any]]
BATCH = 16


class PatchExtractor(Protocol):
    """A fixed function from images to grids of features."""

    @property
    def name(self) -> str: ...

    @property
    def fields(self) -> dict[str, JsonValue]:
        """All that changes its features: weights by sha256, resize, normalisation, layers."""
        ...

    @property
    def side(self) -> int:
        """The side of the images that it takes, in pixels."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, d) of its grids."""
        ...

    def require(self) -> None:
        """Raises MissingData without its weights, naming the command that fetches them."""
        ...

    def load(self, device: str) -> Callable[[Images], Grids]:
        """A function from uint8 images [b, side, side, 3] to features [b, h, w, d].

        Raises:
            MissingData: as `require`.
            InvalidFile: if its weights are damaged or others.
        """
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class CategoryFeatures:
    """The features of a category, as tasks see them.

    Attributes:
        train: [n, h, w, d] float16.
        test: [m, h, w, d] float16.
        masks: of the test images, [m, side, side].
        digest: of the category's files.
    """

    train: Grids
    test: Grids
    masks: Masks
    digest: str


def features_of(
    category: Category, extractor: PatchExtractor, *, device: str, progress: Callable[[str], None]
) -> CategoryFeatures:
    """Features of a category's images, from the cache where they are, kept there where they were not.

    Raises:
        InvalidFile: for damaged files, masks that disagree with labels, or features that float16 cannot hold.
    """
    cache = FeatureCache(folder=paths.cache() / "patches" / f"reading-{READING}")
    digest = category.digest
    kept = cache.read(digest, extractor)
    if kept is None:
        kept = _extract(category, extractor, device=device, progress=progress)
        cache.write(digest, extractor, kept)
    masks = np.unpackbits(kept["masks"], axis=-1, count=extractor.side).astype(bool)
    return CategoryFeatures(train=kept["train"], test=kept["test"], masks=masks, digest=digest)


def _extract(
    category: Category, extractor: PatchExtractor, *, device: str, progress: Callable[[str], None]
) -> dict[str, NDArray[Any]]:
    # Pictures and masks are looked over before the network runs.
    splits = {"train": category.train, "test": tuple(image.path for image in category.test)}
    images = {name: read_images(category.folder, files, extractor.side) for name, files in splits.items()}
    masks = np.packbits(read_masks(category, extractor.side), axis=-1)
    extract = extractor.load(device)
    return {name: _grids(images[name], extract, extractor, category, progress) for name in splits} | {"masks": masks}


def _grids(
    images: Images,
    extract: Callable[[Images], Grids],
    extractor: PatchExtractor,
    category: Category,
    progress: Callable[[str], None],
) -> Grids:
    grids = np.empty((len(images), *extractor.shape), dtype=np.float16)
    for start in range(0, len(images), BATCH):
        progress(f"{extractor.name} features of {category.folder.name}: image {start:,} of {len(images):,}")
        batch = extract(images[start : start + BATCH])
        if batch.shape[1:] != extractor.shape:
            raise ValueError(f"{extractor.name} gave features {batch.shape[1:]}, wanted {extractor.shape}")
        grids[start : start + BATCH] = batch
    bad = int((~np.isfinite(grids.reshape(len(grids), -1)).all(axis=1)).sum())
    if bad:
        raise InvalidFile(f"{category.folder}: {extractor.name} gave {bad:,} images features that float16 cannot hold")
    return grids


@dataclass(frozen=True, kw_only=True)
class PixelPatches:
    """Square patches of pixels, centred at mid-grey and scaled to unit length: features without a network.

    Attributes:
        patch: side of a patch, in pixels.
        side: of the images, a multiple of `patch`.
    """

    patch: int
    side: int

    name = "pixels"

    @property
    def fields(self) -> dict[str, JsonValue]:
        return {"patch": self.patch, "side": self.side, "centre": MID_GREY, "length": "unit", "resize": RESIZE}

    @property
    def shape(self) -> tuple[int, int, int]:
        cells = self.side // self.patch
        return cells, cells, 3 * self.patch**2

    def require(self) -> None:
        """Nothing is needed."""

    def load(self, device: str) -> Callable[[Images], Grids]:
        return self._features

    def _features(self, images: Images) -> Grids:
        h, w, d = self.shape
        cut = images.astype(np.float32).reshape(-1, h, self.patch, w, self.patch, 3)
        points = cut.transpose(0, 1, 3, 2, 4, 5).reshape(-1, h, w, d) - MID_GREY
        return points / np.maximum(np.linalg.norm(points, axis=-1, keepdims=True), 1e-6)


MID_GREY = 127.5
RESIZE = "Pillow bilinear, no crop"
