"""Dropout that is on for some passes only, with masks from a stream."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Generator, nn


def quiet_dropout(module: nn.Module, probability: float) -> None:
    """Set the probability of all dropout inside a module, and switch it off until `dropping`."""
    for layer in _layers(module):
        layer.p = probability
        layer.eval()


@contextmanager
def dropping(module: nn.Module, generator: Generator, *, offset: int = 0) -> Iterator[None]:
    """Dropout inside a module is on while this lasts; its masks depend on the generator's state and `offset` alone.

    torch's dropout knows the global generator only, which is seeded from `generator` here and restored behind. Where
    nothing drops, no random number is drawn. Processes that share a batch give different offsets; how a batch is cut
    into micro-batches changes which row gets which mask, not their law.
    """
    layers = [layer for layer in _layers(module) if layer.p > 0]
    if not layers:
        yield
        return
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    devices = [generator.device] if generator.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed + offset)
        for layer in layers:
            layer.train()
        try:
            yield
        finally:
            for layer in layers:
                layer.eval()


def _layers(module: nn.Module) -> list[nn.Dropout]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Dropout)]
