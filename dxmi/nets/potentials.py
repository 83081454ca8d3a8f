"""Scalar potentials: of noisy points, the inner product of EqM-E, and the network of Energy Matching on images."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from dxmi.arrays import PerSample, Points
from dxmi.nets.layers import ADM_INITIALISER, Image, Layers
from dxmi.nets.mlp import NoiseMLP, condition_octaves
from dxmi.nets.unet import UNet
from dxmi.nets.unet_config import UNetConfig

Tokens = Float[Tensor, " b tokens channels"]
# The UNet is one of diffusion models and takes a time; a potential has none, so it is always told this one.
NO_TIME = 0.5


class NoisyPotential(nn.Module):
    """E(x, sigma), [b], of points under noise: that of a Gaussian under the noise, and a perceptron's on top.

    E = ||x||^2 / (2 s^2) + D ln s + (sigma_data / s) f(x / s, ln(sigma) / 4), s^2 = sigma^2 + sigma_data^2: under any
    noise f moves x - sigma^2 grad E by no more than sigma_data times its slope. The perceptron f is smooth (SiLU), so
    that E can be trained through its gradient, and sees cos and sin of `octaves` of x / s too, of periods from eight
    down.
    """

    angular: Tensor

    def __init__(
        self, dim: int, *, hidden: int, depth: int, octaves: int, sigma_data: float, generator: Generator
    ) -> None:
        super().__init__()
        self.sigma_data = sigma_data
        self.register_buffer("angular", condition_octaves(octaves), persistent=False)
        self.net = NoiseMLP(
            dim=dim * (1 + 2 * octaves), hidden=hidden, depth=depth, generator=generator, dim_out=1, activation=F.silu
        )

    def forward(self, x: Points, sigma: PerSample) -> PerSample:
        x = x.flatten(1)
        variance = sigma.square() + self.sigma_data**2
        seen = x / variance.sqrt()[:, None]
        angle = (seen[:, :, None] * self.angular).flatten(1)
        correction = self.net(torch.cat([seen, angle.cos(), angle.sin()], dim=1), sigma.log() / 4).squeeze(1)
        gaussian = (seen.square().sum(dim=1) + x.shape[1] * variance.log()) / 2
        return gaussian + self.sigma_data / variance.sqrt() * correction


class InnerProductNet(nn.Module):
    """<x, f(x)>, [b, 1], of a net f from points to points."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Points) -> Float[Tensor, " b 1"]:
        return (x * self.net(x)).flatten(1).sum(dim=1, keepdim=True)


class EncoderLayer(nn.Module):
    """Attention, then two dense layers, each added to its input and then normalised (Vaswani et al. 2017)."""

    def __init__(self, layers: Layers, channels: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = layers.linear(channels, 3 * channels), layers.linear(channels, channels)
        self.wide, self.narrow = layers.linear(channels, 4 * channels), layers.linear(4 * channels, channels)
        self.norm0, self.norm1 = nn.LayerNorm(channels), nn.LayerNorm(channels)

    def forward(self, tokens: Tokens) -> Tokens:
        q, k, v = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        tokens = self.norm0(tokens + self.proj(mixed))
        return self.norm1(tokens + self.narrow(F.gelu(self.wide(tokens))))


class UNetPotential(nn.Module):
    """[b, c, h, w] to [b, 1]: a UNet, its output cut into patches, a transformer over them, the mean, a dense layer.

    The released network of Energy Matching (Balcerak et al. 2025, arXiv:2504.10612).
    50.0 million parameters at the released size (UNet of width 128; patches of 4, eight layers of 384). Smooth, so that
    its gradient can be trained.

    Raises:
        ValueError: if the sides of the images are no multiples of the patches'.
    """

    def __init__(
        self,
        config: UNetConfig,
        sides: tuple[int, int],
        *,
        generator: Generator,
        patch: int,
        channels: int,
        heads: int,
        depth: int,
        output_scale: float,
    ) -> None:
        super().__init__()
        if any(side % patch for side in sides):
            raise ValueError(
                f"images of {sides} pixels have no whole patches of {patch}; set potential.patch to a divisor"
            )
        layers = Layers(ADM_INITIALISER, generator)
        self.output_scale = output_scale
        self.unet = UNet(config, generator=generator)
        self.patches = layers.conv(config.out_channels, channels, patch, padding=0, stride=patch)
        self.places = nn.Parameter(torch.zeros(1, sides[0] * sides[1] // patch**2, channels))
        self.encoder = nn.Sequential(*(EncoderLayer(layers, channels, heads=heads) for _ in range(depth)))
        self.head = layers.linear(channels, 1)

    def forward(self, x: Image) -> Float[Tensor, " b 1"]:
        hidden = self.unet(x, x.new_full((len(x),), NO_TIME))
        tokens = self.patches(hidden).flatten(2).transpose(1, 2) + self.places
        return self.output_scale * self.head(self.encoder(tokens).mean(dim=1))
