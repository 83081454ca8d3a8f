"""Halving and doubling the size of feature maps."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dxmi.nets.layers import Image, Layers


class _Binomial(nn.Module):
    """Taps (1, 3, 3, 1) / 8 along both axes, zeros outside the image (Zhang 2019, arXiv:1904.11486)."""

    taps: Tensor

    def __init__(self) -> None:
        super().__init__()
        row = (0.125, 0.375, 0.375, 0.125)
        self.register_buffer("taps", torch.tensor([[a * b for b in row] for a in row]), persistent=False)

    def weight(self, x: Image) -> Tensor:
        """One filter per channel."""
        return self.taps.to(x.dtype).expand(x.shape[1], 1, 4, 4)


class BinomialDown(_Binomial):
    """Half the size. `padding` 0 where the input has a margin of one pixel all around already."""

    def __init__(self, *, padding: int = 1) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, x: Image) -> Image:
        return F.conv2d(x, self.weight(x), stride=2, padding=self.padding, groups=x.shape[1])


class BinomialUp(_Binomial):
    """Twice the size."""

    def forward(self, x: Image) -> Image:
        return F.conv_transpose2d(x, 4.0 * self.weight(x), stride=2, padding=1, groups=x.shape[1])


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """Makers of the two modules."""

    down: Callable[[], nn.Module]
    up: Callable[[], nn.Module]


BOX = Filter(down=partial(nn.AvgPool2d, 2), up=partial(nn.Upsample, scale_factor=2))
BINOMIAL = Filter(down=BinomialDown, up=BinomialUp)


class StridedConv(nn.Module):
    """Half the size by a 3x3 convolution of stride 2, one row and column of zeros at the far edges (DDPM)."""

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.conv = layers.conv(channels, channels, 3, padding=0)
        self.conv.stride = (2, 2)

    def forward(self, x: Image) -> Image:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class NearestConv(nn.Module):
    """Twice the size by repetition, then a 3x3 convolution (DDPM)."""

    def __init__(self, layers: Layers, channels: int) -> None:
        super().__init__()
        self.conv = layers.conv(channels, channels, 3)

    def forward(self, x: Image) -> Image:
        return self.conv(F.interpolate(x, scale_factor=2.0))


def pyramid_step(layers: Layers, cin: int, cout: int) -> nn.Sequential:
    """3x3 convolution and halving in one, as in the input pyramid of NCSN++ (arXiv:2011.13456)."""
    return nn.Sequential(layers.conv(cin, cout, 3, padding=2), BinomialDown(padding=0))
