"""A task of 8 x 8 RGB images, with classes or without, on a small feature net; its weights lie under DXBENCH_DATA."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dxbench.api import DataSource, Model
from dxbench.assets import Asset
from dxbench.features.extractor import NetworkExtractor
from dxbench.features.protocols import fidelity
from dxbench.features.sources import PartOf
from dxbench.metrics.images.features import FeatureKind, FeatureSource
from dxbench.metrics.start import OfTheStart
from dxbench.tasks.image_data import ImageData, LabelledImages, real_images
from dxbench.tasks.images import ImageTask, first_images

N, CLASSES = 60, 3
RNG = np.random.default_rng(3)
TRAIN = LabelledImages(
    images=RNG.integers(0, 256, size=(100, 8, 8, 3), dtype=np.uint8), labels=RNG.integers(CLASSES, size=100)
)


class Linear(nn.Module):
    """A fixed linear map of pixels."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(192, 5, bias=False)
        self.load_state_dict(dict(state))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"pooled": self.linear(images.flatten(1) / 255)}


def asset(name: str, path: str) -> Asset:
    return Asset(
        name=name,
        title=f"{name} of a test",
        kind="weights",
        path=path,
        licence="none",
        by_hand="The test makes it.",
        task="tiny_images",
    )


NET, DATA, OFFICIAL = (
    asset("net", "weights/net.safetensors"),
    asset("images", "tiny/images.npy"),
    asset("official", "weights/official.safetensors"),
)


def write_all(data: Path) -> None:
    """What the task needs, under DXBENCH_DATA."""
    (data / "weights").mkdir(parents=True)
    (data / "tiny").mkdir()
    weight = torch.randn(5, 192, generator=torch.Generator().manual_seed(0))
    save_file({"linear.weight": weight}, data / NET.path)
    save_file({"shift": torch.tensor([0.25])}, data / OFFICIAL.path)
    np.save(data / DATA.path, TRAIN.images)


class TinyExtractor(NetworkExtractor):
    """Its hash is not published."""

    @property
    def fields(self) -> dict[str, Any]:
        return {"extractor": self.name}


EXTRACTOR = TinyExtractor(
    name="tiny",
    kinds={"pooled": FeatureKind(dim=5, frechet="fd_tiny", kernel="kd_tiny")},
    weights=NET,
    build=Linear,
    image_shape=(8, 8, 3),
    preprocessing={},
)
METRICS = fidelity(
    EXTRACTOR, evaluator="tiny@1", reference="train", num_reference=50, num_samples=N, subset_size=20, suffix="tiny"
)


class TinyImages(ImageTask):
    """Sixty small RGB images."""

    name, version = "tiny_images", 1
    auto_device = "cpu"
    threads = 1
    event_shape = (3, 8, 8)
    num_samples = N
    batch_size = 17
    headline = ("fd_tiny@60", "fd_tiny@60_start")
    data_asset = DATA
    scored_with = (NET,)
    pretrained_assets: ClassVar[Mapping[str, Asset]] = {"official": OFFICIAL}
    extractor = EXTRACTOR
    scored_by: ClassVar[Any] = (*METRICS, OfTheStart(METRICS[0]))

    @cached_property
    def train(self) -> LabelledImages:
        return LabelledImages(images=np.load(DATA.require()), labels=TRAIN.labels)

    def training_data(self) -> DataSource:
        return ImageData(read=lambda: self.train)

    def real_images(self) -> np.ndarray:
        return self.train.images

    def oracle(self) -> Model:
        return real_images(self.train.images[50:])

    def references(self) -> Mapping[str, FeatureSource]:
        return {"train": PartOf(first_images(self.train.images, 100, device="cpu"), np.arange(50))}


class TinyClasses(TinyImages):
    """Sixty small RGB images of three classes."""

    name = "tiny_classes"
    num_classes = CLASSES

    def labels(self) -> np.ndarray:
        return np.arange(N) % CLASSES
