"""Counting what networks do: rows that pass through them, floating-point operations, and calls of a given energy."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
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


class CountedEnergy(torch.nn.Module):
    """An energy that a task gives: points [b, *event] to [b] in nats, each call and each gradient counted per point.

    It has no parameters, and a copy of a network that holds it holds the same object, so that nothing goes uncounted.

    Attributes:
        calls: points whose energy was asked.
        gradients: points whose gradient was taken, by a backward pass through a call.
    """

    def __init__(self, energy: Callable[[Tensor], Tensor], *, event_shape: tuple[int, ...], task: str) -> None:
        super().__init__()
        self._energy, self._event_shape, self._task = energy, event_shape, task
        self.calls = self.gradients = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> "CountedEnergy":
        return self

    @property
    def total(self) -> int:
        """The sum of both, which is what the energy costs."""
        return self.calls + self.gradients

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Count from zero while the context is open; what was counted in it is forgotten when it closes."""
        before = self.calls, self.gradients
        self.calls = self.gradients = 0
        try:
            yield
        finally:
            self.calls, self.gradients = before

    def forward(self, x: Tensor) -> Tensor:
        """E(x), [b].

        Raises:
            ValueError: if the points have another shape or are not finite, or the energy gives NaN or another shape.
        """
        if x.shape[1:] != self._event_shape or x.ndim != 1 + len(self._event_shape):
            wanted = ", ".join(["b", *map(str, self._event_shape)])
            raise ValueError(f"{self._task} wants points of shape [{wanted}], got {list(x.shape)}")
        energies = self._energy(x)
        if not isinstance(energies, Tensor) or energies.shape != x.shape[:1]:
            got = list(energies.shape) if isinstance(energies, Tensor) else f"a {type(energies).__name__}"
            raise ValueError(
                f"the energy of {self._task} gave {got} for {len(x)} points, wanted [{len(x)}]; sum over all axes but "
                "the first"
            )
        if not torch.isfinite(x).all():
            raise ValueError(
                f"{self._task} was asked for the energy of points that are not finite: the method has diverged; lower "
                "its rates or its steps"
            )
        if torch.isnan(energies).any():
            raise ValueError(
                f"the energy of {self._task} is NaN at {int(torch.isnan(energies).sum()):,} of {len(x):,} finite "
                "points; an energy may be infinite, where p is 0, and is a number everywhere else"
            )
        self.calls += len(x)
        if energies.requires_grad:
            energies.register_hook(self._count_gradient)
        return energies

    def _count_gradient(self, gradient: Tensor) -> None:
        self.gradients += len(gradient)
