"""Counting what networks do: rows that pass through them, and floating-point operations."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(slots=True)
class PassCounter:
    """Rows that went forward through any of the counted networks."""

    rows: int = 0


@contextmanager
def counted_passes(networks: Sequence[torch.nn.Module]) -> Iterator[PassCounter]:
    """Counts forward passes, in samples, of `networks` while the context is open."""
    counter = PassCounter()

    def count(module: torch.nn.Module, args: tuple[Any, ...], output: object) -> None:
        counter.rows += len(args[0])

    handles = [network.register_forward_hook(count) for network in networks]
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
        from torch.utils.flop_counter import flop_registry  # imports triton, which takes half a second

        super().__init__()
        self._formulas = flop_registry
        self.forward = 0
        self.backward = 0

    @property
    def total(self) -> int:
        """The sum of both."""
        return self.forward + self.backward

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = self._formulas.get(func._overloadpacket)
        if formula is not None:
            operations = formula(*args, **(kwargs or {}), out_val=out)
            if torch._C._current_graph_task_id() == -1:  # no backward pass is under way
                self.forward += operations
            else:
                self.backward += operations
        return out
