"""One UNet for all image diffusion backbones of the suite; `dxmi.nets.presets` has their configurations.

DDPM (Ho et al. 2020, arXiv:2006.11239), DDPM++ and NCSN++ (Song et al. 2021, arXiv:2011.13456), ADM (Dhariwal and
Nichol 2021, arXiv:2105.05233; the network of consistency models too) and the generator of denoising diffusion GANs
(Xiao et al. 2022, arXiv:2112.07804) walk the same levels in the same order. They differ in the embedding of time, in
how the size changes, in where attention stands and in how a block adds its conditioning: the fields of `UNetConfig`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from dxmi.nets.embeddings import Conditioning, Time
from dxmi.nets.layers import Image, Law, Layers, PlainNorm, SelfAttention, StyleNorm
from dxmi.nets.resampling import Filter, NearestConv, StridedConv, pyramid_step

Vector = Float[Tensor, " b _"]


@dataclass(frozen=True, kw_only=True, slots=True)
class UNetConfig:
    """A UNet of `width * multipliers[level]` channels at level 0 (full size), 1 (half), ...; `width` before them.

    `dropout` draws its masks from torch's global generator: whoever trains with it has to seed that.
    """

    width: int
    multipliers: tuple[int, ...]
    blocks_per_level: int
    attention_levels: tuple[int, ...]
    features: Callable[[int, Generator], nn.Module]  # of time; (channels, generator) -> module
    law: Law
    eps: float  # of every group normalisation
    filter: Filter | None  # None: plain convolutions change the size, not residual blocks
    project_resampled: bool = False  # a 1x1 convolution on the shortcut wherever the size changes
    pyramid: bool = False  # a halved copy of the input is added at every level on the way down
    attend_once_going_up: bool = False  # after the last block of a level only
    head_channels: int | None = None  # None: one head
    residual_scale: float = 1.0
    scale_shift: bool = False  # conditioning scales and shifts the second normalisation; else it is added before
    feature_multiplier: int = 1
    num_classes: int = 0
    augment_channels: int = 0
    style_channels: int = 0
    dropout: float = 0.0
    in_channels: int = 3
    out_channels: int = 3

    @property
    def embedding_channels(self) -> int:
        return 4 * self.width

    def channels(self, level: int) -> int:
        """Channels of a level; those of the stem at level -1."""
        return self.width * self.multipliers[level] if level >= 0 else self.width

    def attends_going_up(self, level: int, index: int) -> bool:
        """Whether attention follows block `index` = 0 .. blocks_per_level of a level on the way up."""
        is_last = index == self.blocks_per_level
        return level in self.attention_levels and (is_last or not self.attend_once_going_up)


class ResidualBlock(nn.Module):
    """norm, silu, [resample], conv, + conditioning, norm, silu, conv; + shortcut; [attention]."""

    def __init__(
        self,
        layers: Layers,
        config: UNetConfig,
        cin: int,
        cout: int,
        *,
        attention: bool = False,
        resample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.scale_shift = config.scale_shift
        self.residual_scale = config.residual_scale
        self.norm0 = _norm(layers, config, cin)
        self.resample = resample or nn.Identity()
        self.conv0 = layers.conv(cin, cout, 3)
        self.affine = layers.linear(config.embedding_channels, cout * (2 if config.scale_shift else 1))
        self.norm1 = _norm(layers, config, cout)
        self.dropout = nn.Dropout(config.dropout)
        self.conv1 = layers.conv(cout, cout, 3, scale=layers.law.branch_end)
        projects = cin != cout or (resample is not None and config.project_resampled)
        self.skip = layers.conv(cin, cout, 1) if projects else nn.Identity()
        self.attention: nn.Module = nn.Identity()
        if attention:
            heads = cout // config.head_channels if config.head_channels else 1
            self.attention = SelfAttention(
                layers, cout, heads=heads, eps=config.eps, residual_scale=config.residual_scale
            )

    def forward(self, x: Image, embedding: Vector, style: Vector | None = None) -> Image:
        hidden = self.conv0(self.resample(F.silu(self.norm0(x, style))))
        condition = self.affine(embedding)[:, :, None, None]
        if self.scale_shift:
            scale, shift = condition.chunk(2, dim=1)
            hidden = self.norm1(hidden, style) * (1.0 + scale) + shift
        else:
            hidden = self.norm1(hidden + condition, style)
        hidden = self.conv1(self.dropout(F.silu(hidden)))
        return self.attention((hidden + self.skip(self.resample(x))) * self.residual_scale)


class PlainResampling(nn.Module):
    """A change of size that takes no conditioning, in the place of a block."""

    def __init__(self, step: nn.Module) -> None:
        super().__init__()
        self.step = step

    def forward(self, x: Image, embedding: Vector, style: Vector | None = None) -> Image:
        return self.step(x)


class Level(nn.Module):
    """The blocks of one size, after the change of size that leads to it and, going down, a step of the pyramid."""

    def __init__(
        self, blocks: list[ResidualBlock], *, resample: nn.Module | None, pyramid: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.resample = resample
        self.pyramid = pyramid
        self.blocks = nn.ModuleList(blocks)


class UNet(nn.Module):
    """[b, c, h, w] and one time per sample to [b, c, h, w]; h and w divisible by 2^(levels - 1).

    `time` is whatever the weights were trained with: the DDPM step 0 .. 999 (fractions allowed), log(sigma) / 4 for
    EDM, 250 log(sigma) for consistency models, the GAN step for DDGAN. The head runs in float32 (or finer) and the
    output has the dtype of x, under autocast too.

    Raises:
        ValueError: on call, for a size that does not divide, labels missing or not wanted, a style missing.
    """

    def __init__(self, config: UNetConfig, *, generator: Generator) -> None:
        super().__init__()
        self.config = config
        layers = Layers(config.law, generator)
        self.conditioning = Conditioning(
            layers,
            config.features,
            feature_channels=config.feature_multiplier * config.width,
            channels=config.embedding_channels,
            num_classes=config.num_classes,
            augment_channels=config.augment_channels,
        )
        levels = range(len(config.multipliers))
        top, bottom = config.channels(0), config.channels(levels[-1])
        self.stem = layers.conv(config.in_channels, config.width, 3)
        self.down = nn.ModuleList(_level_down(layers, config, level) for level in levels)
        self.middle = nn.ModuleList(
            ResidualBlock(layers, config, bottom, bottom, attention=attention) for attention in (True, False)
        )
        self.up = nn.ModuleList(_level_up(layers, config, level) for level in reversed(levels))
        self.out_norm = PlainNorm(top, eps=config.eps)
        self.out_conv = layers.conv(top, config.out_channels, 3, scale=config.law.branch_end)

    def forward(
        self,
        x: Float[Tensor, " b c h w"],
        time: Time,
        *,
        labels: Int[Tensor, " b"] | None = None,
        augment: Float[Tensor, " b augment"] | None = None,
        style: Float[Tensor, " b style"] | None = None,
    ) -> Float[Tensor, " b out h w"]:
        self._check(x, style)
        embedding = self.conditioning(time, labels, augment)
        hidden, skips = self._go_down(x, embedding, style)
        for block in self.middle:
            hidden = block(hidden, embedding, style)
        for level in self.up:
            assert isinstance(level, Level)
            if level.resample is not None:
                hidden = level.resample(hidden, embedding, style)
            for block in level.blocks:
                hidden = block(torch.cat([hidden, skips.pop()], dim=1), embedding, style)
        with torch.autocast(x.device.type, enabled=False):
            return self.out_conv(F.silu(self.out_norm(hidden.to(self.out_conv.weight.dtype)))).to(x.dtype)

    def _go_down(self, x: Image, embedding: Vector, style: Vector | None) -> tuple[Image, list[Tensor]]:
        """The map at the bottom, and all maps on the way that the way up takes in, last one last."""
        pyramid = x
        hidden = self.stem(x)
        skips = [hidden]
        for level in self.down:
            assert isinstance(level, Level)
            if level.resample is not None:
                hidden = level.resample(hidden, embedding, style)
                if level.pyramid is not None:
                    hidden = pyramid = (hidden + level.pyramid(pyramid)) * self.config.residual_scale
                skips.append(hidden)
            for block in level.blocks:
                hidden = block(hidden, embedding, style)
                skips.append(hidden)
        return hidden, skips

    def _check(self, x: Tensor, style: Tensor | None) -> None:
        step = 2 ** (len(self.config.multipliers) - 1)
        if x.shape[1] != self.config.in_channels or x.shape[2] % step or x.shape[3] % step:
            raise ValueError(
                f"got images of shape {tuple(x.shape)}; wanted {self.config.in_channels} channels and sides divisible "
                f"by {step}: resize or pad them"
            )
        if bool(self.config.style_channels) != (style is not None):
            wanted = f"a style of {self.config.style_channels}" if self.config.style_channels else "no style"
            raise ValueError(f"got {'no style' if style is None else 'a style'}; this net wants {wanted}")


def _norm(layers: Layers, config: UNetConfig, channels: int) -> nn.Module:
    if config.style_channels:
        return StyleNorm(layers, channels, config.style_channels, eps=config.eps)
    return PlainNorm(channels, eps=config.eps)


def _level_down(layers: Layers, config: UNetConfig, level: int) -> Level:
    before, channels = config.channels(level - 1), config.channels(level)
    resample = pyramid = None
    if level > 0:
        if config.filter is None:
            resample = PlainResampling(StridedConv(layers, before))
        else:
            resample = ResidualBlock(layers, config, before, before, resample=config.filter.down())
        if config.pyramid:
            pyramid_in = config.channels(level - 2) if level > 1 else config.in_channels
            pyramid = pyramid_step(layers, pyramid_in, before)
    attention = level in config.attention_levels
    inputs = [before] + [channels] * (config.blocks_per_level - 1)
    blocks = [ResidualBlock(layers, config, cin, channels, attention=attention) for cin in inputs]
    return Level(blocks, resample=resample, pyramid=pyramid)


def _level_up(layers: Layers, config: UNetConfig, level: int) -> Level:
    channels = config.channels(level)
    is_bottom = level == len(config.multipliers) - 1
    below = channels if is_bottom else config.channels(level + 1)
    resample = None
    if not is_bottom:
        if config.filter is None:
            resample = PlainResampling(NearestConv(layers, below))
        else:
            resample = ResidualBlock(layers, config, below, below, resample=config.filter.up())
    # The maps taken in, in this order: what the level's blocks gave on the way down, then what led to the level.
    skips = [channels] * config.blocks_per_level + [config.channels(level - 1)]
    blocks = []
    for index, skip in enumerate(skips):
        cin = (below if index == 0 else channels) + skip
        attention = config.attends_going_up(level, index)
        blocks.append(ResidualBlock(layers, config, cin, channels, attention=attention))
    return Level(blocks, resample=resample)
