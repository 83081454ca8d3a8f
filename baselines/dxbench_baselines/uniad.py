"""UniAD: a transformer that rebuilds the features of an image without being able to copy them.

You et al. 2022, arXiv:2206.03687, the reference of DxMI's detection experiment. Tokens are the patches of an image.
Encoder layers attend to the tokens, decoder layers carry a learned query of their own: it attends to the encoded image,
then to the layer below. In every attention a token does not see its `neighbourhood` x `neighbourhood` neighbours, and
training features are jittered, f + alpha |f| / d eps, so that a copy does not pay. Loss: squared error to the clean
features; energy: |f - f^| per patch.

Deviations: sinusoidal positions are learned ones; dropout acts on the outputs of attention and feed-forward layers, not
inside them; iterations instead of 1,000 epochs, the rate falling to a tenth after four fifths of them as there; sizes
and length are for small sets unless a recipe says otherwise.
"""

import math
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn
from torch.nn import functional

from dxbench.api import Compute, Config, Method, Model, Need, PatchData, Problem, RandomStreams, Training
from dxmi.nets.mlp import linear

Tokens = Float[Tensor, " b n width"]


class UniADConfig(Config):
    """Settings of the transformer; the source's sizes are hidden 256, feed-forward 1024, 4 layers, 8 heads."""

    hidden: PositiveInt = Field(default=64, description="width of a token; a multiple of the heads")
    feed_forward: PositiveInt = 4
    layers: PositiveInt = 2
    heads: PositiveInt = 4
    neighbourhood: NonNegativeInt = Field(default=7, description="side of the square that attention leaves out; odd")
    jitter: NonNegativeFloat = 20.0
    dropout: float = Field(default=0.1, ge=0, lt=1)
    iterations: PositiveInt = 500
    batch_size: PositiveInt = 8
    lr: PositiveFloat = 1e-4
    weight_decay: NonNegativeFloat = 1e-4
    max_grad_norm: PositiveFloat = 0.1


class UniAD(Method):
    """Reconstruction error of a transformer with neighbour-masked attention."""

    name = "uniad"
    version = 1
    family = "detector"
    citation = "You, Cui, Shen, Yang, Lu, Zheng, Le 2022, arXiv:2206.03687"
    Config = UniADConfig
    recipes = ".recipes.uniad"
    needs = frozenset({Need.TRAINING_DATA, Need.FINITE_DATA, Need.PATCHES})

    def start(self, problem: Problem, config: UniADConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return UniADTraining(problem, config, compute, rng)


def neighbour_mask(grid: tuple[int, int], side: int) -> Tensor:
    """[n, n] bool of a grid's patches, row by row: which may be attended to, those outside the square around one.

    A patch whose square is the whole grid sees all, rather than nothing.
    """
    rows, columns = torch.meshgrid(*(torch.arange(size) for size in grid), indexing="ij")
    place = torch.stack([rows.flatten(), columns.flatten()], dim=1)
    apart = (place[:, None] - place[None]).abs().amax(dim=2)
    seen = apart > side // 2
    return seen | ~seen.any(dim=1, keepdim=True)


class Attention(nn.Module):
    """Multi-head attention, masked."""

    def __init__(self, width: int, heads: int, init: Generator) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (linear(width, width, init) for _ in range(4))

    def forward(self, query: Tokens, key: Tokens, value: Tokens, seen: Tensor) -> Tokens:
        parts = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, query), (self.key, key), (self.value, value))
        )
        mixed = functional.scaled_dot_product_attention(*parts, attn_mask=seen)
        return self.output(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attentions and a feed-forward layer, each added to its input and normalised after (post-norm)."""

    def __init__(self, width: int, feed_forward: int, heads: int, attentions: int, init: Generator) -> None:
        super().__init__()
        self.attentions = nn.ModuleList(Attention(width, heads, init) for _ in range(attentions))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(attentions + 1))
        self.first, self.second = linear(width, feed_forward, init), linear(feed_forward, width, init)

    def forward(self, x: Tokens, sources: list[Tokens], place: Tensor, seen: Tensor, drop: "Dropping") -> Tokens:
        """`sources`: what each attention attends to."""
        for attention, norm, source in zip(self.attentions, self.norms, sources, strict=False):
            x = norm(x + drop(attention(x + place, source + place, source, seen)))
        return self.norms[-1](x + drop(self.second(self.first(x).relu())))


class Dropping:
    """Dropout from a generator; without one, none."""

    def __init__(self, share: float, generator: Generator | None = None) -> None:
        self._share, self._generator = share, generator

    def __call__(self, x: Tensor) -> Tensor:
        if self._generator is None or self._share == 0:
            return x
        kept = torch.rand(x.shape, generator=self._generator, device=x.device) >= self._share
        return x * kept / (1 - self._share)


class Rebuilder(nn.Module):
    """Grids of patches [b, h, w, d] to rebuilt ones."""

    seen: Tensor

    def __init__(self, config: UniADConfig, grid: tuple[int, int], dim: int, init: Generator) -> None:
        super().__init__()
        width, n = config.hidden, math.prod(grid)
        self.register_buffer("seen", neighbour_mask(grid, config.neighbourhood), persistent=False)
        self.enter, self.leave = linear(dim, width, init), linear(width, dim, init)

        def learned(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=init) / math.sqrt(width))

        def blocks(attentions: int) -> nn.ModuleList:
            return nn.ModuleList(
                Block(width, config.feed_forward * width, config.heads, attentions, init) for _ in range(config.layers)
            )

        self.place, self.queries = learned(n, width), learned(config.layers, n, width)
        self.encoder, self.decoder = blocks(1), blocks(2)

    def forward(self, grids: Tensor, drop: Dropping) -> Tensor:
        x = self.enter(grids.flatten(1, 2))
        for block in self.encoder:
            x = block(x, [x], self.place, self.seen, drop)
        memory = x
        for block, query in zip(self.decoder, self.queries, strict=True):
            x = block(query.expand_as(memory), [memory, x], self.place, self.seen, drop)
        return self.leave(x).unflatten(1, grids.shape[1:3])


class UniADTraining(Training):
    """AdamW on jittered images."""

    def __init__(self, problem: Problem, config: UniADConfig, compute: Compute, rng: RandomStreams) -> None:
        assert isinstance(problem.data, PatchData)
        if config.hidden % config.heads:
            raise ValueError(f"hidden={config.hidden} is no multiple of heads={config.heads}; change one of them")
        self.config, self.device = config, compute.device
        self.images = problem.data.points.unflatten(0, (-1, *problem.data.grid))
        dim = self.images.shape[-1]
        self.net = Rebuilder(config, problem.data.grid, dim, rng.torch("init")).to(self.device)
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
        late = round(0.8 * config.iterations)
        self.decay = torch.optim.lr_scheduler.LambdaLR(self.optimiser, lambda i: 1.0 if i < late else 0.1)
        self.rng = rng.numpy("data")
        self.generator = rng.torch("noise", device=self.device)

    @property
    def total_steps(self) -> int:
        return self.config.iterations

    def step(self) -> dict[str, float | Tensor]:
        rows = torch.from_numpy(self.rng.integers(len(self.images), size=self.config.batch_size))
        clean = self.images[rows].to(self.device)
        eps = torch.randn(clean.shape, generator=self.generator, device=self.device)
        jittered = clean + self.config.jitter / clean.shape[-1] * clean.norm(dim=-1, keepdim=True) * eps
        rebuilt = self.net(jittered, Dropping(self.config.dropout, self.generator))
        loss = functional.mse_loss(rebuilt, clean)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.config.max_grad_norm)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.decay.step()
        return {"error": loss.detach()}

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        return {"net": self.net, "optimiser": self.optimiser, "decay": self.decay}

    def model(self) -> Model:
        return Model(networks=(self.net,), maps=partial(rebuilding_error, self.net))


def rebuilding_error(net: Rebuilder, grids: Tensor) -> Tensor:
    """The part of an image that the transformer cannot rebuild, [b, h, w, d] to [b, h, w]."""
    return (net(grids, Dropping(0.0)) - grids).norm(dim=-1)
