"""Parts of a UNet: residual blocks, changes of size, the levels they form."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from dxmi.nets.dropout import Dropout
from dxmi.nets.layers import Image, Layers, PlainNorm, SelfAttention, StyleNorm
from dxmi.nets.unet_config import UNetConfig

Vector = Float[Tensor, " b _"]


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
        self.dropout = Dropout(config.dropout)
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


def _norm(layers: Layers, config: UNetConfig, channels: int) -> nn.Module:
    if config.style_channels:
        return StyleNorm(layers, channels, config.style_channels, eps=config.eps)
    return PlainNorm(channels, eps=config.eps)
