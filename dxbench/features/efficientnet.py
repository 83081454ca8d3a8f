"""EfficientNet-b4 as UniAD, DxMI and VGS use it: four of its stages, brought to one grid.

UniAD's recipe (You et al. 2022, arXiv:2206.03687; DxMI's features come from a fork of it): images of 224 x 224, resized
without a crop; the outputs of stages at strides 2, 4, 8 and 16 with 24, 32, 56 and 160 channels, each resized to stride
16 (bilinear, align_corners=True, no antialiasing) and stacked in that order: 272 x 14 x 14. The network is timm's, with
the weights that were trained with AutoAugment; others of the same shapes give other features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from pydantic import JsonValue
from torch import Tensor

from dxbench.assets import file_digest
from dxbench.errors import InvalidFile, MissingData
from dxbench.features.patches import RESIZE, Grids
from dxbench.files import weights
from dxbench.metrics.images.features import Images
from dxbench.metrics.images.neighbours import exact_float32

if TYPE_CHECKING:
    from torch import nn

TIMM_NAME = "tf_efficientnet_b4"
STAGES = (0, 1, 2, 3)
STRIDES = (2, 4, 8, 16)
CHANNELS = (24, 32, 56, 160)
HEAD = ("conv_head.", "bn2.", "classifier.", "blocks.5.", "blocks.6.")  # of the classifier, beyond the last stage
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class WeightFile(Protocol):
    """A file that knows where it lies and by which hash it is recognised, such as a `dxbench.assets.Asset`."""

    def require(self) -> Path:
        """Raises MissingData, naming the command that fetches it, where it is not."""
        ...

    def verify(self) -> Path:
        """Its path, its hash compared; raises InvalidFile where that is another."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class EfficientNetB4:
    """The recipe as a `dxbench.features.patches.PatchExtractor`.

    Attributes:
        weights: file of the weights.
        sha256_head: first digits of the file's sha256, by which torch's hub and timm tell weights apart.
    """

    weights: WeightFile
    sha256_head: str

    name = "efficientnet_b4"
    side = 224
    shape = (14, 14, sum(CHANNELS))

    @property
    def fields(self) -> dict[str, JsonValue]:
        return {
            "network": f"timm {TIMM_NAME}",
            "weights": f"sha256 {self.sha256_head}...",
            "strides": list(STRIDES),
            "channels": list(CHANNELS),
            "to_grid": "bilinear, align_corners=True, no antialiasing",
            "side": self.side,
            "resize": RESIZE,
            "normalisation": "ImageNet mean and std",
        }

    def require(self) -> None:
        """Raises MissingData without the weights or without timm."""
        self.weights.require()
        _timm()

    def load(self, device: str) -> Callable[[Images], Grids]:
        path = self.weights.verify()
        got = file_digest(path).removeprefix("sha256:")
        if not got.startswith(self.sha256_head):
            raise InvalidFile(f"{path}: wanted a sha256 that begins with {self.sha256_head}, got {got}; other weights")
        return self.extractor(weights.read(path), device)

    def extractor(self, state: "weights.State", device: str) -> Callable[[Images], Grids]:
        """The function of weights, those of the classifier or of its stages alone."""
        net = network(state).to(device)
        mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))

        @torch.inference_mode()
        def extract(images: Images) -> Grids:
            pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255.0
            with exact_float32():
                return one_grid(net((pixels - mean) / std), self.shape[0]).permute(0, 2, 3, 1).cpu().numpy()

        return extract


def network(state: "weights.State") -> "nn.Module":
    """The stages with their weights, in evaluation mode.

    Raises:
        MissingData: without timm.
        InvalidFile: for weights of another network.
    """
    timm = _timm()
    with torch.random.fork_rng(devices=[]):  # its initial weights, which are not kept
        net = timm.create_model(TIMM_NAME, pretrained=False, features_only=True, out_indices=STAGES)
    own = net.state_dict()
    missing = sorted(own.keys() - state.keys())
    other = sorted(key for key in state.keys() - own.keys() if not key.startswith(HEAD))
    shapes = sorted(key for key in own.keys() & state.keys() if own[key].shape != state[key].shape)
    for keys, what in ((missing, "lack"), (other, "have beside its own"), (shapes, "have in other shapes")):
        if keys:
            raise InvalidFile(
                f"the weights are not those of {TIMM_NAME}: they {what} {', '.join(keys[:3])} ({len(keys)} in all)"
            )
    net.load_state_dict({key: state[key] for key in own})
    return net.eval()


def one_grid(maps: list[Tensor], side: int) -> Tensor:
    """Maps [b, c_i, h_i, w_i] resized to side x side and stacked, [b, sum c_i, side, side]."""
    size = (side, side)
    resized = [torch.nn.functional.interpolate(m, size=size, mode="bilinear", align_corners=True) for m in maps]
    return torch.cat(resized, dim=1)


def _timm():
    try:
        import timm
    except ImportError as error:
        raise MissingData(f"EfficientNet-b4 needs timm ({error}); pip install 'dxmi-bench[mvtec]'") from None
    return timm
