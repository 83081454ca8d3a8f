"""Ways to execute networks of images. Neither memory layout nor compilation changes what a network is asked for."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn


@runtime_checkable
class Execution(Protocol):
    """A way to execute networks."""

    def prepare(self, net: nn.Module) -> None:
        """Set `net` up in place; its parameters keep their names and values."""
        ...


class Eager:
    """Operation by operation, as the network was made."""

    def prepare(self, net: nn.Module) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class ChannelsLast:
    """Channels innermost in memory, as tensor cores and CPU convolutions want them; compiled by torch if asked.

    A compiled network is compiled once per shape of its input, with and without gradients.
    """

    compiled: bool

    def prepare(self, net: nn.Module) -> None:
        net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if self.compiled:
            net.compile(dynamic=False)
