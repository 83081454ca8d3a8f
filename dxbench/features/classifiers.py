"""Feature nets that are shipped: small convolutional classifiers of grey images, their weights beside this file.

They need no download. `tools/train_feature_net.py` makes each from the training split of its task alone, so that
neither validation nor test images have shaped the space they are compared in.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from safetensors.torch import load
from torch import Tensor, nn

from dxbench.errors import InvalidFile
from dxbench.metrics.images.features import Extract, FeatureKind, Features, FeatureSet, Images

Array = NDArray[np.float64]
CLASSES = 10


class Classifier(nn.Module):
    """Images in [-1, 1] to features and, behind a ReLU, the logits of ten classes."""

    def __init__(self, body: nn.Module, *, num_features: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(num_features, CLASSES)

    def features(self, x: Tensor) -> Tensor:
        """[b, num_features], before the last ReLU: closer to a Gaussian than behind it."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).relu())


@dataclass(frozen=True, kw_only=True, eq=False)
class ShippedClassifier:
    """A shipped classifier as a `dxbench.metrics.images.features.FeatureExtractor`, computed in float32.

    Its kinds are `features`, those before the last ReLU; `logits` of the ten classes; and `pixels`, in [-1, 1] and over
    the root of their number, so that a distance of them is a root mean square.

    Attributes:
        subject: what it knows, for the names of distances: "digits" gives `fd_digits` and `kd_digits`.
        file: its weights, in this package.
        build: the untrained net.
        image_shape: (H, W, C) of the bytes that it takes.
        prepare: what is done to pixels in [-1, 1].
        normalisation: from bytes to pixels, for protocols.
    """

    name: str
    subject: str
    file: str
    sha256: str
    build: Callable[[], Classifier]
    image_shape: tuple[int, int, int]
    num_features: int
    prepare: Callable[[Array], Array]
    normalisation: str

    @property
    def kinds(self) -> Mapping[str, FeatureKind]:
        return {
            "features": FeatureKind(dim=self.num_features, frechet=f"fd_{self.subject}", kernel=f"kd_{self.subject}"),
            "logits": FeatureKind(dim=CLASSES),
            "pixels": FeatureKind(dim=math.prod(self.image_shape)),
        }

    @property
    def sets(self) -> tuple[FeatureSet, ...]:
        """Its features, logits and pixels, for metrics to read."""
        return tuple(FeatureSet(extractor=self, kind=kind) for kind in self.kinds)

    @property
    def fields(self) -> dict[str, JsonValue]:
        return {
            "extractor": self.name,
            "weights_sha256": self.sha256,
            "dtype": "float32",
            "normalisation": self.normalisation,
        }

    @cached_property
    def network(self) -> Classifier:
        """The trained net in evaluation mode.

        Raises:
            RuntimeError: if the weights beside this file are not those of `sha256`.
        """
        data = (resources.files("dxbench.features") / self.file).read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            raise RuntimeError(f"{self.file} has sha256 {found}, wanted {self.sha256}; reinstall dxbench")
        net = self.build()
        net.load_state_dict(load(data))
        return net.eval().requires_grad_(False)

    def load(self, device: str) -> Extract:
        """Load the net on the CPU, whatever the device: it is too small for another to pay."""
        net = self.network

        def extract(images: Images) -> dict[str, Features]:
            if images.dtype != np.uint8 or images.shape[1:] != self.image_shape:
                size = ", ".join(map(str, self.image_shape))
                raise InvalidFile(
                    f"{self.name} takes uint8 images [n, {size}] (n, height, width, channels), "
                    f"got {images.dtype} {list(images.shape)}"
                )
            x = torch.from_numpy(self.prepare(images.transpose(0, 3, 1, 2) / 127.5 - 1.0)).float()
            with torch.no_grad():
                features = net.features(x)
                logits = net.head(features.relu())
            pixels = x.flatten(1) / math.prod(self.image_shape) ** 0.5
            return {"features": features.numpy(), "logits": logits.numpy(), "pixels": pixels.numpy()}

        return extract
