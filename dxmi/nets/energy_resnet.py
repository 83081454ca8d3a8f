"""The energy, and time-independent value, of DxMI on images."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from dxmi.nets.layers import ADM_INITIALISER, Image, Layers
from dxmi.nets.precision import in_precision


class EnergyBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, no normalisation; then optionally half the size."""

    def __init__(self, layers: Layers, cin: int, cout: int, *, halves: bool) -> None:
        super().__init__()
        self.conv0 = layers.conv(cin, cout, 3)
        self.conv1 = layers.conv(cout, cout, 3)
        self.skip = layers.conv(cin, cout, 1, bias=False) if halves or cin != cout else nn.Identity()
        self.pool = nn.AvgPool2d(2) if halves else nn.Identity()

    def forward(self, x: Image) -> Image:
        hidden = self.conv1(F.leaky_relu(self.conv0(x), 0.2))
        return F.leaky_relu(self.pool(hidden + self.skip(x)), 0.2)


class EnergyResNet(nn.Module):
    """[b, c, h, w] to [b, 1]: six blocks, sum over positions, a dense layer, a learned scale and shift.

    The net of Du and Mordatch 2019 (arXiv:1903.08689) without spectral normalisation, as DxMI uses it
    (arXiv:2407.00626, App. C.2); 5,134,595 parameters at width 128. The head runs in float32 (or finer) also under
    autocast: energies are compared with each other, and bfloat16 would leave them 8 bits. `precision` is that of the
    inside, where no autocast around it says another.
    """

    def __init__(
        self,
        *,
        generator: Generator,
        in_channels: int = 3,
        width: int = 128,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.precision = precision
        layers = Layers(ADM_INITIALISER, generator)
        self.stem = layers.conv(in_channels, width, 3)
        wide = 2 * width
        plan = [(width, width), (width, width), (width, wide), (wide, wide), (wide, wide), (wide, wide)]
        self.blocks = nn.ModuleList(
            EnergyBlock(layers, cin, cout, halves=index % 2 == 0) for index, (cin, cout) in enumerate(plan)
        )
        self.head = layers.linear(wide, 1)
        self.scale = layers.linear(1, 1)

    def forward(self, x: Float[Tensor, " b c h w"]) -> Float[Tensor, " b 1"]:
        with in_precision(self.precision, x):
            hidden = F.leaky_relu(self.stem(x), 0.2)
            for block in self.blocks:
                hidden = block(hidden)
        with torch.autocast(x.device.type, enabled=False):
            pooled = F.relu(hidden.to(self.head.weight.dtype)).sum(dim=(2, 3))
            return self.scale(self.head(pooled))
