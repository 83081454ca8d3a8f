"""The feature net of task `digits`: a small convolutional classifier of any 8 x 8 grey images.

Its weights are committed beside this file, so that it needs no download.
`tools/train_digits_net.py` makes the weights from the task's training split alone, so that neither validation nor
test images have shaped the space they are compared in.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from safetensors.torch import load
from torch import Tensor, nn

from dxbench.errors import InvalidFile
from dxbench.metrics.images.features import Extract, FeatureKind, Features, FeatureSet, Images

WEIGHTS = "digits_net.safetensors"
SHA256 = "e13d436a498f9a71689c0c704aede3038659bd37c559b5f91164620c52d019f3"
NUM_FEATURES = 32
LEVELS = 17


class DigitsNet(nn.Module):
    """[b, 1, 8, 8] images to 32 features and 10 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4, NUM_FEATURES),
        )
        self.head = nn.Linear(NUM_FEATURES, 10)

    def features(self, x: Tensor) -> Tensor:
        """[b, 32], before the last ReLU: closer to a Gaussian than behind it."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).relu())


@cache
def digits_net() -> DigitsNet:
    """The trained net in evaluation mode.

    Raises:
        RuntimeError: if the committed weights are not those of `SHA256`.
    """
    data = (resources.files("dxbench.features") / WEIGHTS).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise RuntimeError(f"{WEIGHTS} has sha256 {found}, wanted {SHA256}; reinstall dxbench")
    net = DigitsNet()
    net.load_state_dict(load(data))
    return net.eval().requires_grad_(False)


def quantise(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest of the 17 levels that the data have, values outside [-1, 1] clipped."""
    half = (LEVELS - 1) / 2
    return np.clip(np.rint((images + 1.0) * half), 0, LEVELS - 1) / half - 1.0


class DigitsExtractor:
    """Images uint8 [n, 8, 8, 1] to what metrics of digits compare, computed in float32.

    `features` are the 32 before the last ReLU, `logits` those of the ten digits, `pixels` the 64 in [-1, 1] over 8: a
    distance of them is a root mean square.
    """

    name = "digits-net"
    kinds: Mapping[str, FeatureKind] = {
        "features": FeatureKind(dim=NUM_FEATURES, frechet="fd_digits", kernel="kd_digits"),
        "logits": FeatureKind(dim=10),
        "pixels": FeatureKind(dim=64),
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
        net = digits_net()

        def extract(images: Images) -> dict[str, Features]:
            if images.dtype != np.uint8 or images.shape[1:] != (8, 8, 1):
                raise InvalidFile(
                    f"{self.name} takes uint8 images [n, 8, 8, 1] (n, height, width, channels), "
                    f"got {images.dtype} {list(images.shape)}"
                )
            x = torch.from_numpy(quantise(images.transpose(0, 3, 1, 2) / 127.5 - 1.0)).float()
            with torch.no_grad():
                features = net.features(x)
                logits = net.head(features.relu())
            pixels = x.flatten(1) / 8
            return {"features": features.numpy(), "logits": logits.numpy(), "pixels": pixels.numpy()}

        return extract


DIGITS_NET = DigitsExtractor()
FEATURES, LOGITS, PIXELS = (FeatureSet(extractor=DIGITS_NET, kind=kind) for kind in DIGITS_NET.kinds)
