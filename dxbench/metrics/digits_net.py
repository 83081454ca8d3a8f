"""The feature net of task `digits`: a small convolutional classifier, its weights committed beside this file.

`tools/train_digits_net.py` makes the weights from the task's training split alone, so that neither validation nor
test images have shaped the space they are compared in.
"""

import hashlib
from functools import cache
from importlib import resources

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from torch import Tensor, nn

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
    data = (resources.files("dxbench.metrics") / WEIGHTS).read_bytes()
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


def features_and_logits(images: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features [n, 32] and logits [n, 10] of [n, 1, 8, 8] images in [-1, 1], computed in float32."""
    net = digits_net()
    parts = []
    with torch.no_grad():
        for batch in torch.from_numpy(images).float().split(1000):
            features = net.features(batch)
            parts.append((features.double().numpy(), net.head(features.relu()).double().numpy()))
    features, logits = zip(*parts, strict=True)
    return np.concatenate(features), np.concatenate(logits)
