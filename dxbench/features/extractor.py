"""Feature extractors made of a network and a file of weights."""

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from dxbench.assets import Asset
from dxbench.errors import InvalidFile
from dxbench.files import weights as weight_files
from dxbench.metrics.images.features import Extract, FeatureKind, Features, Images
from dxbench.metrics.images.neighbours import exact_float32

StateDict = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class KnownTensors:
    """The tensors that features are made of, by which a network is known whatever file brings them.

    Attributes:
        names: of the file's tensors.
        digest: `dxbench.files.weights.digest` of them.
    """

    names: frozenset[str]
    digest: str

    def check(self, state: StateDict, where: object) -> None:
        """Refuse the weights of another network.

        Raises:
            InvalidFile: if a tensor is absent, or the digest another.
        """
        missing = sorted(self.names - set(state))
        if missing:
            raise InvalidFile(
                f"{where} lacks {len(missing)} of {len(self.names)} tensors of the network, such as {missing[0]}"
            )
        got = weight_files.digest({name: state[name] for name in self.names})
        if got != self.digest:
            raise InvalidFile(
                f"{where} holds other tensors than are wanted: their digest is {got}, wanted {self.digest}"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkExtractor:
    """A network as a `dxbench.metrics.images.features.FeatureExtractor`.

    Attributes:
        build: weights to a module that turns images [b, C, H, W], float in [0, 255], into features by kind.
        image_shape: (H, W, C) the network takes; None in place of a size for any.
        preprocessing: what is done to the pixels, for the protocol.
        tensors: what the network is known by where several files bring it; None where it is by the hash of one file.
    """

    name: str
    kinds: Mapping[str, FeatureKind]
    weights: Asset
    build: Callable[[StateDict], nn.Module]
    image_shape: tuple[int | None, int | None, int]
    preprocessing: Mapping[str, JsonValue]
    tensors: KnownTensors | None = None

    @property
    def fields(self) -> dict[str, JsonValue]:
        return {
            "extractor": self.name,
            **({"tensors_sha256": self.tensors.digest} if self.tensors else {"weights_sha256": self.weights.sha256}),
            "dtype": "float32",
            **self.preprocessing,
        }

    def load(self, device: str) -> Extract:
        path = self.weights.verify()
        state = weight_files.read(path)
        if self.tensors is not None:
            self.tensors.check(state, path)
        try:
            network = self.build(state)
        except (RuntimeError, KeyError) as error:
            mismatch = textwrap.shorten(str(error), 400, placeholder=" ...")
            raise InvalidFile(f"{path.name} does not fit {self.name}: {mismatch}") from None
        fold_batch_norms(network.eval().requires_grad_(False))
        network = network.to(device=torch.device(device)).to(memory_format=torch.channels_last)

        def extract(images: Images) -> dict[str, Features]:
            self._check(images)
            with torch.inference_mode(), exact_float32():
                # NHWC in memory is channels_last already; permuting copies nothing.
                batch = torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float()
                features: dict[str, Tensor] = network(batch)
            return {kind: features[kind].cpu().numpy() for kind in self.kinds if kind in features}

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
