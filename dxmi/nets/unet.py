"""One UNet for all image diffusion backbones of the suite; `dxmi.nets.presets` has their configurations.

DDPM (Ho et al. 2020, arXiv:2006.11239), DDPM++ and NCSN++ (Song et al. 2021, arXiv:2011.13456), ADM (Dhariwal and
Nichol 2021, arXiv:2105.05233; the network of consistency models too) and the generator of denoising diffusion GANs
(Xiao et al. 2022, arXiv:2112.07804) walk the same levels in the same order. They differ in the embedding of time, in
how the size changes, in where attention stands and in how a block adds its conditioning: the fields of `UNetConfig`.
"""

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from dxmi.nets.blocks import Level, PlainResampling, ResidualBlock, Vector
from dxmi.nets.embeddings import Conditioning, Time
from dxmi.nets.layers import Image, Layers, PlainNorm
from dxmi.nets.precision import in_precision
from dxmi.nets.resampling import NearestConv, StridedConv, pyramid_step
from dxmi.nets.unet_config import UNetConfig


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
        with in_precision(self.config.precision, x):
            embedding = self.conditioning(time, labels, augment)
            hidden, skips = self._go_down(x, embedding, style)
            for block in self.middle:
                hidden = block(hidden, embedding, style)
            hidden = self._go_up(hidden, skips, embedding, style)
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

    def _go_up(self, hidden: Image, skips: list[Tensor], embedding: Vector, style: Vector | None) -> Image:
        """The map at full size, from that at the bottom and those of the way down."""
        for level in self.up:
            assert isinstance(level, Level)
            if level.resample is not None:
                hidden = level.resample(hidden, embedding, style)
            for block in level.blocks:
                hidden = block(torch.cat([hidden, skips.pop()], dim=1), embedding, style)
        return hidden

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
