"""Dropout from a stream."""

import torch
from torch import nn

from dxmi.nets.dropout import Dropout, dropping, set_dropout


def net(probability: float) -> nn.Sequential:
    layers = nn.Sequential(Dropout(0.9), nn.Sequential(Dropout(0.1)))
    set_dropout(layers, probability)
    return layers


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_it_is_off_but_for_where_it_is_asked_for() -> None:
    x, layers = torch.ones(2000), net(0.25)
    assert torch.equal(layers(x), x)
    with dropping(layers, generator()):
        kept = (layers(x) > 0).float().mean().item()
    assert abs(kept - 0.75**2) < 5 * (0.5625 * 0.4375 / 2000) ** 0.5
    assert torch.equal(layers(x), x)


def test_masks_follow_the_stream_and_the_offset_and_the_global_generator_stays() -> None:
    x, layers = torch.ones(200), net(0.5)

    def masked(offset: int = 0) -> torch.Tensor:
        with dropping(layers, generator(), offset=offset):
            return layers(x)

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = masked()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(masked(), first)
    assert not torch.equal(masked(offset=4), first)


def test_where_nothing_drops_nothing_is_drawn() -> None:
    stream = generator()
    with dropping(net(0.0), stream), dropping(nn.Linear(1, 1), stream):
        pass
    assert torch.equal(stream.get_state(), generator().get_state())
