"""Feature extractors made of a network and a file of weights."""

import hashlib
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from dxbench import paths
from dxbench.errors import InvalidFile, MissingData
from dxbench.metrics.features import Extract, FeatureKind, Features, Images
from dxbench.metrics.neighbours import exact_float32
from dxbench.weights import read as read_weights

StateDict = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """Weights that are known by their hash.

    Attributes:
        names: file names it goes by; the first is what `dxbench prepare` writes.
        sha256: of the file.
        folder: where it lies; None for `weights/` under DXBENCH_DATA.
        prepare: the command that fetches it.
    """

    names: tuple[str, ...]
    sha256: str
    folder: Path | None = None
    prepare: str

    def path(self) -> Path:
        """Where it lies; tasks ask before training, so that nobody trains for a score that cannot be taken.

        Raises:
            MissingData: if there is no such file, naming the command that fetches it.
        """
        folder = self.folder or paths.data() / "weights"
        for name in self.names:
            if (folder / name).is_file():
                return folder / name
        raise MissingData(f"no {self.names[0]} in {folder}; fetch it with `{self.prepare}`, or set DXBENCH_DATA")

    def read(self) -> StateDict:
        """Tensors by name; nothing in the file is executed.

        Raises:
            MissingData: if there is no such file.
            InvalidFile: if its hash is another, or it holds no tensors by name.
        """
        path = self.path()
        got = file_sha256(path)
        if got != self.sha256:
            raise InvalidFile(
                f"{path}: wanted sha256 {self.sha256}, got {got}; remove the file and fetch it with `{self.prepare}`"
            )
        return read_weights(path)


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkExtractor:
    """A network as a `dxbench.metrics.features.FeatureExtractor`.

    Attributes:
        build: weights to a module that turns images [b, C, H, W], float in [0, 255], into features by kind.
        image_shape: (H, W, C) the network takes; None in place of a size for any.
        preprocessing: what is done to the pixels, for the protocol.
    """

    name: str
    kinds: Mapping[str, FeatureKind]
    weights: WeightsFile
    build: Callable[[StateDict], nn.Module]
    image_shape: tuple[int | None, int | None, int]
    preprocessing: Mapping[str, JsonValue]

    @property
    def fields(self) -> dict[str, JsonValue]:
        return {
            "extractor": self.name,
            "weights_sha256": self.weights.sha256,
            "dtype": "float32",
            **self.preprocessing,
        }

    def load(self, device: str) -> Extract:
        state = self.weights.read()
        try:
            network = self.build(state)
        except (RuntimeError, KeyError) as error:
            mismatch = textwrap.shorten(str(error), 400, placeholder=" ...")
            raise InvalidFile(f"{self.weights.names[0]} does not fit {self.name}: {mismatch}") from None
        fold_batch_norms(network.eval().requires_grad_(False))
        network = network.to(device=torch.device(device)).to(memory_format=torch.channels_last)

        def extract(images: Images) -> dict[str, Features]:
            self._check(images)
            with torch.inference_mode(), exact_float32():
                # NHWC in memory is channels_last already; permuting copies nothing.
                batch = torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float()
                features: dict[str, Tensor] = network(batch)
            return {kind: features[kind].cpu().numpy() for kind in self.kinds}

        return extract

    def _check(self, images: Images) -> None:
        fits = images.ndim == 4 and all(
            wanted in (None, got) for wanted, got in zip(self.image_shape, images.shape[1:], strict=True)
        )
        if images.dtype != np.uint8 or not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in self.image_shape)
            raise InvalidFile(
                f"{self.name} takes uint8 images [n, {wanted}] (n, height, width, channels), "
                f"got {images.dtype} {list(images.shape)}"
            )


def fold_batch_norms(module: nn.Module) -> None:
    """Folds every `bn*` into the `conv*` of the same suffix beside it; the function stays, the passes halve."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for name, child in list(module.named_children()):
        norm = getattr(module, name.replace("conv", "bn", 1), None) if name.startswith("conv") else None
        if isinstance(child, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(child, norm))
            setattr(module, name.replace("conv", "bn", 1), nn.Identity())
        fold_batch_norms(child)


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
