"""EfficientNet-lite by UniAD's recipe: four of its stages, brought to one grid, for machines without a GPU.

The networks are those of Google's EfficientNet-lite (2020): EfficientNet (Tan & Le 2019, arXiv:1905.11946) without
squeeze and excitation, with ReLU6, a stem of fixed width, and first and last stages of fixed depth; pixels enter as
(x - 127) / 128. As in `dxbench.features.efficientnet`, the outputs at strides 2, 4, 8 and 16 are resized to one grid
and stacked. **Features of these networks are not EfficientNet-b4's**: no number on them compares with a paper's.
"""

import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from pydantic import JsonValue
from torch import Tensor, nn
from torch.nn import functional

from dxbench.errors import InvalidFile
from dxbench.features.efficientnet import STRIDES, WeightFile, one_grid
from dxbench.features.extractor import fold_batch_norms
from dxbench.features.patches import RESIZE, Grids
from dxbench.files import weights
from dxbench.metrics.images.features import Images
from dxbench.metrics.images.neighbours import exact_float32

STEM = 32
STAGES = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3))
"""Expansion, kernel, stride, channels and blocks of the stages up to stride 16, of lite0."""
SCALES = {0: (1.0, 1.0), 2: (1.1, 1.2)}
"""Width and depth by version."""
READ_AFTER = (0, 1, 2, 4)
"""The stages whose outputs are the features."""
HEAD = ("_conv_head.", "_bn1.", "_fc.")
NAMES = {"_conv_stem": "stem.conv0", "_bn0": "bn0", "_bn1": "bn1", "_bn2": "bn2", "_blocks": "blocks",
         "_expand_conv": "conv0", "_depthwise_conv": "conv1", "_project_conv": "conv2"}  # fmt: skip


class LiteWeights(WeightFile, Protocol):
    """A file of weights whose sha256 is known beforehand."""

    @property
    def sha256(self) -> str: ...


class Same(nn.Conv2d):
    """A convolution without a bias, padded as TensorFlow's SAME: the odd pixel lies below and to the right."""

    def __init__(self, dim_in: int, dim_out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(dim_in, dim_out, kernel, stride, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        h, w = (max((math.ceil(n / stride) - 1) * stride + kernel - n, 0) for n in input.shape[2:])
        return super().forward(functional.pad(input, (w // 2, w - w // 2, h // 2, h - h // 2)))


class Block(nn.Module):
    """Widen (but for expansion 1), filter each channel, narrow; the input is added where shapes allow."""

    def __init__(self, dim_in: int, dim_out: int, *, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = expansion * dim_in
        self.wide = expansion > 1
        if self.wide:
            self.conv0, self.bn0 = Same(dim_in, wide, 1), _norm(wide)
        self.conv1, self.bn1 = Same(wide, wide, kernel, stride, groups=wide), _norm(wide)
        self.conv2, self.bn2 = Same(wide, dim_out, 1), _norm(dim_out)
        self.adds = stride == 1 and dim_in == dim_out

    def forward(self, x: Tensor) -> Tensor:
        h = functional.relu6(self.bn0(self.conv0(x))) if self.wide else x
        h = self.bn2(self.conv2(functional.relu6(self.bn1(self.conv1(h)))))
        return x + h if self.adds else h


def _norm(dim: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(dim, eps=1e-3)


class Trunk(nn.Module):
    """The stages of a network: images [b, 3, H, W] to the maps that are read."""

    def __init__(self, version: int) -> None:
        super().__init__()
        width, depth = SCALES[version]
        self.stem = nn.ModuleDict({"conv0": Same(3, STEM, 3, 2), "bn0": _norm(STEM)})
        self.blocks = nn.ModuleList()
        self.ends: list[int] = []
        dim = STEM
        for i, (expansion, kernel, first_stride, channels, blocks) in enumerate(STAGES):
            for j in range(blocks if i == 0 else math.ceil(depth * blocks)):
                stride, dim_out = first_stride if j == 0 else 1, rounded(width * channels)
                self.blocks.append(Block(dim, dim_out, expansion=expansion, kernel=kernel, stride=stride))
                dim = dim_out
            self.ends.append(len(self.blocks) - 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = functional.relu6(self.stem["bn0"](self.stem["conv0"](x)))
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return [maps[self.ends[stage]] for stage in READ_AFTER]


def rounded(channels: float) -> int:
    """The nearest multiple of 8, and the next one where that is less than 90 % (Tan & Le's released code)."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def trunk(state: "weights.State", version: int) -> Trunk:
    """The stages with the weights of the whole classifier, in evaluation mode.

    Raises:
        InvalidFile: for weights of another network.
    """
    with torch.random.fork_rng(devices=[]):  # its initial weights, which are not kept
        net = Trunk(version)
    beyond = tuple(f"_blocks.{i}." for i in range(len(net.blocks), 1000))
    own = {_renamed(key): value for key, value in state.items() if not key.startswith((*HEAD, *beyond))}
    try:
        net.load_state_dict(own)
    except RuntimeError as error:
        mismatch = textwrap.shorten(str(error), 300, placeholder=" ...")
        raise InvalidFile(f"the weights are not those of EfficientNet-lite{version}: {mismatch}") from None
    return net.eval()


def _renamed(key: str) -> str:
    prefix = "stem." if key.startswith("_bn0.") else ""
    return prefix + ".".join(NAMES.get(part, part) for part in key.split("."))


@dataclass(frozen=True, kw_only=True, eq=False)
class EfficientNetLite:
    """The recipe as a `dxbench.features.patches.PatchExtractor`.

    Attributes:
        version: of the network, 0 or 2.
        weights: file of the classifier's weights.
        side: of the images, in pixels.
        cells: of a side of the grid.
    """

    version: int
    weights: LiteWeights
    side: int
    cells: int

    @property
    def name(self) -> str:
        return f"efficientnet_lite{self.version}"

    @property
    def channels(self) -> tuple[int, ...]:
        """The number of channels of the maps that are stacked."""
        width, _ = SCALES[self.version]
        return tuple(rounded(width * STAGES[stage][3]) for stage in READ_AFTER)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.cells, self.cells, sum(self.channels)

    @property
    def fields(self) -> dict[str, JsonValue]:
        return {
            "network": self.name,
            "weights": f"sha256 {self.weights.sha256}",
            "strides": list(STRIDES),
            "channels": list(self.channels),
            "to_grid": "bilinear, align_corners=True, no antialiasing",
            "side": self.side,
            "resize": RESIZE,
            "normalisation": "(x - 127) / 128",
        }

    def require(self) -> None:
        """Raises MissingData without the weights."""
        self.weights.require()

    def load(self, device: str) -> Callable[[Images], Grids]:
        return self.extractor(weights.read(self.weights.verify()), device)

    def extractor(self, state: "weights.State", device: str) -> Callable[[Images], Grids]:
        """The function of the classifier's weights."""
        net = trunk(state, self.version)
        fold_batch_norms(net)
        net = net.to(device=torch.device(device)).to(memory_format=torch.channels_last)

        @torch.inference_mode()
        def extract(images: Images) -> Grids:
            pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float()
            with exact_float32():
                return one_grid(net((pixels - 127) / 128), self.cells).permute(0, 2, 3, 1).cpu().numpy()

        return extract
