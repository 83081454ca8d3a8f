"""Dropout that is on for some passes only, with masks from a stream."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Generator, Tensor, nn


class Dropout(nn.Module):
    """Units are left out with a probability while `dropping` lasts, and none outside of it.

    Attributes:
        generator: of the masks; None while nothing is left out.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.generator: Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.generator is None:
            return x
        kept = torch.rand(x.shape, generator=self.generator, device=x.device) >= self.probability
        return x * kept / (1 - self.probability)


def set_dropout(module: nn.Module, probability: float) -> None:
    """Set the probability of all dropout inside a module."""
    for layer in _layers(module):
        layer.probability = probability


@contextmanager
def dropping(module: nn.Module, stream: Generator, *, offset: int = 0) -> Iterator[None]:
    """Dropout inside a module is on while this lasts; its masks depend on the stream's state and `offset` alone.

    Where nothing drops, no random number is drawn. Processes that share a batch give different offsets; how a batch is
    cut into micro-batches changes which row gets which mask, not their law. A compiled module is executed as written
    meanwhile, since what torch compiles takes no generator.
    """
    layers = [layer for layer in _layers(module) if layer.probability > 0]
    if not layers:
        yield
        return
    seed = int(torch.randint(2**62, (), generator=stream, device=stream.device))
    generator = Generator(stream.device).manual_seed(seed + offset)
    for layer in layers:
        layer.generator = generator
    try:
        # Without the module nothing is compiled, and its import takes seconds.
        with torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext():
            yield
    finally:
        for layer in layers:
            layer.generator = None


def _layers(module: nn.Module) -> list[Dropout]:
    return [layer for layer in module.modules() if isinstance(layer, Dropout)]
