"""NFE honesty: do the declared networks account for all that sampling evaluates?

NFE is counted by hooks on `model.networks`, so a network that is not listed, or a listed one that loops over an
inner one, would sample for free. Hooks on every module of the process see what is called; counted floating-point
operations see what is computed without a call.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from dxbench.conformance.subject import Broken, Subject
from dxbench.drawing.counting import OperationCounter, counted_passes

FREE_SHARE = 0.05
BATCH = 6


class Watch:
    """Follows every module call while sampling.

    Attributes:
        hidden: modules with parameters that were evaluated outside the declared networks.
        repeats: largest number of times that one pass of a declared network used most of its parameters.
        inside: floating-point operations inside the declared networks.
    """

    def __init__(self, networks: Sequence[torch.nn.Module], operations: OperationCounter) -> None:
        self._declared = {id(network) for network in networks}
        self._operations = operations
        self._depth = 0
        self._entered_at = 0
        self._calls: Counter[torch.nn.Module] = Counter()
        self.hidden: set[str] = set()
        self.repeats = 1
        self.inside = 0

    def enter(self, module: torch.nn.Module, args: tuple[Any, ...]) -> None:
        if id(module) in self._declared:
            if self._depth == 0:
                self._entered_at = self._operations.forward
                self._calls.clear()
            self._depth += 1
        own = any(True for _ in module.parameters(recurse=False))
        if self._depth and own:
            self._calls[module] += 1
        wraps_declared = any(id(part) in self._declared for part in module.modules())
        if not self._depth and not wraps_declared and any(True for _ in module.parameters()):
            self.hidden.add(type(module).__name__)

    def leave(self, module: torch.nn.Module, args: tuple[Any, ...], output: object) -> None:
        if id(module) not in self._declared:
            return
        self._depth -= 1
        if self._depth == 0:
            self.inside += self._operations.forward - self._entered_at
            self.repeats = max(self.repeats, _repeats(self._calls))


def _repeats(calls: Counter[torch.nn.Module]) -> int:
    """Count how often the parameters were used: the median over parameters."""
    sizes = sorted((count, sum(p.numel() for p in module.parameters(recurse=False))) for module, count in calls.items())
    half, seen = sum(size for _, size in sizes) / 2, 0
    for count, size in sizes:
        seen += size
        if seen > half:
            return count
    return 1


@contextmanager
def watched(networks: Sequence[torch.nn.Module], operations: OperationCounter) -> Iterator[Watch]:
    watch = Watch(networks, operations)
    handles = [register_module_forward_pre_hook(watch.enter), register_module_forward_hook(watch.leave)]
    try:
        yield watch
    finally:
        for handle in handles:
            handle.remove()


def check_nfe(subject: Subject) -> None:
    model = subject.sampler()
    seeds = torch.arange(BATCH)
    with torch.no_grad(), OperationCounter() as operations, watched(model.networks, operations) as watch:
        subject.draw(model, seeds)
    if watch.hidden:
        raise Broken(f"sampling evaluates {', '.join(sorted(watch.hidden))}, which `networks` does not list")
    if watch.repeats > 1:
        raise Broken(f"one pass of a listed network evaluates its parts {watch.repeats} times")
    outside = operations.forward - watch.inside
    # An affine map of the event is no network.
    free = FREE_SHARE * watch.inside + 2 * BATCH * math.prod(subject.problem.event_shape) ** 2
    if outside > free:
        share = outside / operations.forward
        raise Broken(f"{share:.0%} of the operations of sampling happen outside the forward passes of `networks`")
    whole = _rows(subject, [seeds])
    singly = _rows(subject, list(seeds[:, None]))
    if whole != singly:
        raise Broken(f"{BATCH} samples take {whole} evaluations in one batch and {singly} one by one")


def _rows(subject: Subject, batches: list[torch.Tensor]) -> int:
    model = subject.sampler()
    with torch.no_grad(), counted_passes(model.networks) as counter:
        for batch in batches:
            subject.draw(model, batch)
    return counter.total
