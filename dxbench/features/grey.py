"""Networks for colour images that are shown grey ones."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from dxbench.errors import InvalidFile
from dxbench.metrics.images.features import Extract, FeatureExtractor, FeatureKind, Features, Images


@dataclass(frozen=True, kw_only=True)
class GreyAsColour:
    """An extractor of colour images for grey ones, whose channel is each of its three.

    The protocol says so: a Frechet distance of it is comparable with that of no colour images.
    """

    extractor: FeatureExtractor

    @property
    def name(self) -> str:
        return f"{self.extractor.name}-grey"

    @property
    def kinds(self) -> Mapping[str, FeatureKind]:
        return self.extractor.kinds

    @property
    def fields(self) -> dict[str, JsonValue]:
        return {**self.extractor.fields, "channels": "the grey one three times"}

    def load(self, device: str) -> Extract:
        extract = self.extractor.load(device)

        def of_grey(images: Images) -> dict[str, Features]:
            if images.ndim != 4 or images.shape[-1] != 1:
                raise InvalidFile(f"{self.name} takes grey images [n, height, width, 1], got {list(images.shape)}")
            return extract(np.repeat(images, 3, axis=-1))

        return of_grey
