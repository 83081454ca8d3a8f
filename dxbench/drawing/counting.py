"""Counting what networks do: rows that pass through them, and floating-point operations."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from torch.utils.hooks import RemovableHandle


@dataclass(slots=True)
class PassCounter:
    """Rows that went through any of the counted networks.

    Attributes:
        rows: forward.
        backward: backward, from the network's output.
    """

    rows: int = 0
    backward: int = 0

    @property
    def total(self) -> int:
        """Both: a gradient is one forward and one backward pass. NFE counts these."""
        return self.rows + self.backward


@contextmanager
def counted_passes(networks: Sequence[torch.nn.Module]) -> Iterator[PassCounter]:
    """Counts passes, in samples, of `networks` while the context is open."""
    counter = PassCounter()

    def count(module: torch.nn.Module, args: tuple[Any, ...], output: object) -> None:
        size = len(args[0])
        counter.rows += size

        def count_backward(gradient: torch.Tensor) -> None:
            counter.backward += size

        if isinstance(output, torch.Tensor) and output.requires_grad:
            handles.append(output.register_hook(count_backward))

    handles: list[RemovableHandle] = [network.register_forward_hook(count) for network in networks]
    try:
        yield counter
    finally:
        for handle in handles:
            handle.remove()


class OperationCounter(TorchDispatchMode):
    """Counts the floating-point operations of matrix products and convolutions while the context is open.

    By torch's own formulas per operation. `FlopCounterMode`, which they come from, also follows modules through
    autograd and fails on samplers that take gradients of a network, as guidance does.

    Attributes:
        forward: operations outside of autograd's backward passes.
        backward: operations inside them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forward = 0
        self.backward = 0

    @property
    def total(self) -> int:
        """The sum of both."""
        return self.forward + self.backward

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            operations = formula(*args, **(kwargs or {}), out_val=out)
            if torch._C._current_graph_task_id() == -1:  # no backward pass is under way
                self.forward += operations
            else:
                self.backward += operations
        return out
