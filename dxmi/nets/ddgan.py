"""Generator of denoising diffusion GANs (Xiao, Kreis, Vahdat 2022, arXiv:2112.07804)."""

from itertools import pairwise

from jaxtyping import Float
from torch import Generator, Tensor, nn

from dxmi.nets.embeddings import Time
from dxmi.nets.layers import Layers
from dxmi.nets.unet import UNet
from dxmi.nets.unet_config import UNetConfig


class DDGANGenerator(nn.Module):
    """x_0 in (-1, 1) from x_k, the step and a standard normal latent z, which styles every block.

    Raises:
        ValueError: if the configuration has no style.
    """

    def __init__(
        self, config: UNetConfig, *, generator: Generator, latent_channels: int = 100, mapping_depth: int = 5
    ) -> None:
        super().__init__()
        if config.style_channels < 1:
            raise ValueError(f"got style_channels={config.style_channels}; the latent needs at least 1")
        self.latent_channels = latent_channels
        layers = Layers(config.law, generator)
        widths = [latent_channels] + [config.style_channels] * mapping_depth
        self.mapping = nn.ModuleList(layers.linear(cin, cout) for cin, cout in pairwise(widths))
        self.unet = UNet(config, generator=generator)

    def forward(
        self,
        x: Float[Tensor, " b c h w"],
        time: Time,
        z: Float[Tensor, " b latent"],
    ) -> Float[Tensor, " b c h w"]:
        style = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        for dense in self.mapping:
            style = nn.functional.silu(dense(style))
        return self.unet(x, time, style=style).tanh()
