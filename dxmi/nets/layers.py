"""Layers of the image networks, their weights drawn from an explicit generator."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional as F

Image = Float[Tensor, " b _ _ _"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Initialiser:
    """The start of weights: uniform of half-width `bound(fan_in, fan_out)`, times a factor where a branch ends."""

    bound: Callable[[int, int], float]
    draws_bias: bool
    branch_end: float
    qkv: float = 1.0


# Ho et al. 2020 (arXiv:2006.11239) and Song et al. 2021 (arXiv:2011.13456).
DDPM_INITIALISER = Initialiser(
    bound=lambda fan_in, fan_out: math.sqrt(6.0 / (fan_in + fan_out)),
    draws_bias=False,
    branch_end=1e-5,
    qkv=math.sqrt(0.2),
)
# Dhariwal and Nichol 2021 (arXiv:2105.05233): torch's own default, branches ending in zeros.
ADM_INITIALISER = Initialiser(bound=lambda fan_in, fan_out: 1.0 / math.sqrt(fan_in), draws_bias=True, branch_end=0.0)


class _Conv2d(nn.Conv2d):
    def reset_parameters(self) -> None:
        """Left to `Layers`, so that the global generator stays where it is."""


class _Linear(nn.Linear):
    def reset_parameters(self) -> None:
        """Left to `Layers`."""


class Layers:
    """Makes layers on the default device, drawn from `generator` by `law`; on the meta device nothing is drawn."""

    def __init__(self, law: Initialiser, generator: Generator) -> None:
        self.law = law
        self.generator = generator

    def conv(
        self,
        cin: int,
        cout: int,
        kernel: int,
        *,
        scale: float = 1.0,
        bias: bool = True,
        padding: int | None = None,
        stride: int = 1,
    ) -> nn.Conv2d:
        """Convolution that keeps the size, unless `padding` or `stride` say otherwise."""
        padding = kernel // 2 if padding is None else padding
        layer = _Conv2d(cin, cout, kernel, padding=padding, stride=stride, bias=bias)
        self._draw(layer.weight, layer.bias, cin * kernel**2, cout * kernel**2, scale)
        return layer

    def linear(self, cin: int, cout: int, *, bias: bool = True) -> nn.Linear:
        """Dense layer."""
        layer = _Linear(cin, cout, bias=bias)
        self._draw(layer.weight, layer.bias, cin, cout, 1.0)
        return layer

    def embedding(self, count: int, dim: int) -> nn.Embedding:
        """Table of standard normal rows."""
        layer = nn.Embedding.from_pretrained(torch.empty(count, dim), freeze=False)
        if not layer.weight.is_meta:
            with torch.no_grad():
                layer.weight.normal_(generator=self.generator)
        return layer

    def _draw(self, weight: Tensor, bias: Tensor | None, fan_in: int, fan_out: int, scale: float) -> None:
        if weight.is_meta:
            return
        bound = scale * self.law.bound(fan_in, fan_out)
        with torch.no_grad():
            weight.uniform_(-bound, bound, generator=self.generator)
            if bias is not None:
                bias_bound = bound if self.law.draws_bias else 0.0
                bias.uniform_(-bias_bound, bias_bound, generator=self.generator)


def groups_of(channels: int) -> int:
    """32 groups, fewer where a group would have less than 4 channels."""
    return max(1, min(32, channels // 4))


class PlainNorm(nn.GroupNorm):
    """Group normalisation with a learned scale and shift; a style, if given, is not looked at."""

    def __init__(self, channels: int, *, eps: float) -> None:
        super().__init__(groups_of(channels), channels, eps=eps)

    def forward(self, input: Image, style: Float[Tensor, " b style"] | None = None) -> Image:
        return super().forward(input)


class StyleNorm(nn.Module):
    """Group normalisation whose scale and shift are linear in a style (Xiao et al. 2022, arXiv:2112.07804)."""

    def __init__(self, layers: Layers, channels: int, style_channels: int, *, eps: float) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups_of(channels), channels, eps=eps, affine=False)
        self.style = layers.linear(style_channels, 2 * channels)
        with torch.no_grad():
            self.style.bias[:channels] = 1.0

    def forward(self, x: Image, style: Float[Tensor, " b style"]) -> Image:
        scale, shift = self.style(style)[:, :, None, None].chunk(2, dim=1)
        return scale * self.norm(x) + shift


class SelfAttention(nn.Module):
    """(x + proj(attention(norm(x)))) * residual_scale over all positions; rows of qkv in the order (3, heads, d)."""

    def __init__(self, layers: Layers, channels: int, *, heads: int, eps: float, residual_scale: float) -> None:
        super().__init__()
        self.heads = heads
        self.residual_scale = residual_scale
        self.norm = PlainNorm(channels, eps=eps)
        self.qkv = layers.conv(channels, 3 * channels, 1, scale=layers.law.qkv)
        self.proj = layers.conv(channels, channels, 1, scale=layers.law.branch_end)

    def forward(self, x: Image) -> Image:
        batch, channels, height, width = x.shape
        # Positions before channels: a view where memory is channels-last already.
        rows = self.qkv(self.norm(x)).permute(0, 2, 3, 1)
        q, k, v = rows.reshape(batch, height * width, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        mixed = mixed.transpose(1, 2).reshape(batch, height, width, channels).permute(0, 3, 1, 2)
        return (x + self.proj(mixed)) * self.residual_scale
