"""The feature net of task `digits` on any 8 x 8 grey images: it needs no file that is not shipped."""

from collections.abc import Mapping

import numpy as np
from pydantic import JsonValue

from dxbench.errors import InvalidFile
from dxbench.metrics.digits_net import NUM_FEATURES, SHA256, features_and_logits, quantise
from dxbench.metrics.images.features import Extract, FeatureKind, Features, Images


class DigitsExtractor:
    """Images uint8 [n, 8, 8, 1] to the 32 features before the last ReLU."""

    name = "digits-net"
    kinds: Mapping[str, FeatureKind] = {
        "features": FeatureKind(dim=NUM_FEATURES, frechet="fd_digits", kernel="kd_digits")
    }

    @property
    def fields(self) -> dict[str, JsonValue]:
        return {
            "extractor": self.name,
            "weights_sha256": SHA256,
            "dtype": "float32",
            "normalisation": "x / 127.5 - 1, rounded to the 17 levels of the data",
        }

    def load(self, device: str) -> Extract:
        """On the CPU, whatever the device: the net is too small for another to pay."""

        def extract(images: Images) -> dict[str, Features]:
            if images.dtype != np.uint8 or images.shape[1:] != (8, 8, 1):
                raise InvalidFile(
                    f"{self.name} takes uint8 images [n, 8, 8, 1] (n, height, width, channels), "
                    f"got {images.dtype} {list(images.shape)}"
                )
            x = quantise(images.transpose(0, 3, 1, 2) / 127.5 - 1.0)
            return {"features": features_and_logits(x)[0].astype(np.float32)}

        return extract


DIGITS_NET = DigitsExtractor()
