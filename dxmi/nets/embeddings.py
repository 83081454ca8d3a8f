"""Embed a noise level or step, and optional labels, in the vector that conditions every block of a UNet."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from dxmi.nets.layers import Layers

Features = Float[Tensor, " b _"]
Time = Float[Tensor, " b"] | Int[Tensor, " b"]


def _angles(time: Time, count: int, *, last: int) -> Float[Tensor, " b count"]:
    """time * 10000^(-i / last) for i < count, in float32 or finer."""
    time = time.to(torch.promote_types(time.dtype, torch.float32))
    index = torch.arange(count, device=time.device, dtype=time.dtype)
    return time[:, None] * torch.exp(index * (-math.log(10_000.0) / last))


class DDPMSinusoid(nn.Module):
    """[sin, cos], the slowest of frequency 1/10000 (Ho et al. 2020, arXiv:2006.11239)."""

    def __init__(self, channels: int, generator: Generator) -> None:
        super().__init__()
        self.num_frequencies = channels // 2

    def forward(self, time: Time) -> Features:
        angles = _angles(time, self.num_frequencies, last=self.num_frequencies - 1)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class ADMSinusoid(nn.Module):
    """[cos, sin], frequencies down to just above 1/10000 (Dhariwal and Nichol 2021, arXiv:2105.05233)."""

    def __init__(self, channels: int, generator: Generator) -> None:
        super().__init__()
        self.num_frequencies = channels // 2

    def forward(self, time: Time) -> Features:
        angles = _angles(time, self.num_frequencies, last=self.num_frequencies)
        return torch.cat([angles.cos(), angles.sin()], dim=1)


class FourierFeatures(nn.Module):
    """[sin, cos] at fixed random frequencies of std 16 (Song et al. 2021, arXiv:2011.13456)."""

    frequencies: Tensor

    def __init__(self, channels: int, generator: Generator) -> None:
        super().__init__()
        frequencies = torch.empty(channels // 2)
        if not frequencies.is_meta:
            frequencies.normal_(generator=generator).mul_(16.0)
        self.register_buffer("frequencies", frequencies)

    def forward(self, time: Time) -> Features:
        time = time.to(torch.promote_types(time.dtype, torch.float32))
        angles = time[:, None] * (2.0 * math.pi * self.frequencies)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class Conditioning(nn.Module):
    """silu(dense1(silu(dense0(features + augment))) + label).

    Raises:
        ValueError: on call, if labels come to a net without classes or are missing for one with.
    """

    def __init__(
        self,
        layers: Layers,
        features: Callable[[int, Generator], nn.Module],
        *,
        feature_channels: int,
        channels: int,
        num_classes: int,
        augment_channels: int,
    ) -> None:
        super().__init__()
        self.features = features(feature_channels, layers.generator)
        self.augment = layers.linear(augment_channels, feature_channels, bias=False) if augment_channels else None
        self.dense0 = layers.linear(feature_channels, channels)
        self.dense1 = layers.linear(channels, channels)
        self.labels = layers.embedding(num_classes, channels) if num_classes else None

    def forward(
        self,
        time: Time,
        labels: Int[Tensor, " b"] | None = None,
        augment: Float[Tensor, " b augment"] | None = None,
    ) -> Features:
        features = self.features(time).to(self.dense0.weight.dtype)
        if augment is not None:
            if self.augment is None:
                raise ValueError("got augmentation labels, but this net takes none; leave `augment` out")
            features = features + self.augment(augment)
        hidden = self.dense1(F.silu(self.dense0(features)))
        if (labels is None) != (self.labels is None):
            wanted = "no labels: it is unconditional" if self.labels is None else "one class label per sample"
            raise ValueError(f"got labels={'none' if labels is None else tuple(labels.shape)}; this net wants {wanted}")
        if self.labels is not None:
            hidden = hidden + self.labels(labels)
        return F.silu(hidden)
