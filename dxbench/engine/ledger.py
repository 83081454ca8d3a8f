"""Count what training costs: operations and network passes of a run, and of the parts it found trained.

Seconds depend on the machine and on what else runs there. Operations and passes do not, so boards compare by them.
"""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from dxbench.api import TrainingCost
from dxbench.drawing.counting import CountedEnergy, OperationCounter

WINDOWS = 64
"""Steps of a run that are counted: the middle one of as many equal windows, each for its window."""


class TrainingMeter:
    """Counts operations and passes on some steps of a run, and takes each for its neighbours.

    Which steps are counted depends on their number alone, so that a resumed run counts what an uninterrupted one does.
    Phases of different cost are seen to one window, a 64th of the run.
    """

    def __init__(self, total_steps: int, *, processes: int = 1) -> None:
        """`processes` share the rows of a batch evenly; one of them counts."""
        self._total, self._processes = total_steps, processes
        self._windows = min(WINDOWS, total_steps)
        self._flops, self._passes = 0.0, 0.0
        self._under_way: tuple[int, OperationCounter, _Entered] | None = None

    @property
    def flops(self) -> float:
        """Operations of matrix products and convolutions so far, forward and backward, the step under way included."""
        if self._under_way is None:
            return self._flops
        weight, operations, _ = self._under_way
        return self._flops + weight * (operations.forward + operations.backward)

    @property
    def passes(self) -> float:
        """Rows that entered a network from outside of any so far, forward."""
        if self._under_way is None:
            return self._passes
        weight, _, entered = self._under_way
        return self._passes + weight * entered.rows

    def _edge(self, window: int) -> int:
        return window * self._total // self._windows

    def _window_of(self, step: int) -> tuple[int, int]:
        """First step of the window of `step`, and how many it has."""
        window = min((step * self._windows) // self._total, self._windows - 1)
        while self._edge(window + 1) <= step:
            window += 1
        return self._edge(window), self._edge(window + 1) - self._edge(window)

    @contextmanager
    def step(self, step: int) -> Iterator[None]:
        """Around step number `step`, from 0 on."""
        first, size = self._window_of(step)
        if step != first + size // 2:
            yield
            return
        with as_written(), OperationCounter() as operations, _entries() as entered:
            self._under_way = (size * self._processes, operations, entered)
            try:
                yield
                self._flops, self._passes = self.flops, self.passes
            finally:
                self._under_way = None

    def state_dict(self) -> dict[str, float]:
        return {"flops": self.flops, "passes": self.passes}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self._flops, self._passes = float(state["flops"]), float(state["passes"])


@contextmanager
def first_step(step: int) -> Iterator[OperationCounter]:
    """A counter of the operations of a run's first step; of the others it counts none."""
    counter = OperationCounter()
    if step > 0:
        yield counter
        return
    with as_written(), counter:
        yield counter


def as_written() -> AbstractContextManager[object]:
    """Compiled networks are executed as they are written, operation by operation, so that these can be counted."""
    # Without the module nothing is compiled, and its import takes seconds.
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


@dataclass(slots=True)
class _Entered:
    rows: int = 0
    depth: int = 0


@contextmanager
def _entries() -> Iterator[_Entered]:
    """Counts rows that enter a module which no other module has called."""
    found = _Entered()

    def enter(module: torch.nn.Module, args: tuple[Any, ...]) -> None:
        if found.depth == 0 and args and isinstance(args[0], Tensor) and args[0].ndim:
            found.rows += len(args[0])
        found.depth += 1

    def leave(module: torch.nn.Module, args: tuple[Any, ...], output: object) -> None:
        found.depth -= 1

    handles = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


class Ledger:
    """The account of a run, and of those who trained the parts that it found trained.

    Attributes:
        meter: of the run's own steps; None until their number is known.
        energy: the given energy that the run calls, whose counts a resumed run takes up; None where none is given.
        seconds: of the run's own training so far.
    """

    def __init__(self) -> None:
        self.meter: TrainingMeter | None = None
        self.energy: CountedEnergy | None = None
        self.seconds = 0.0
        self._found: dict[str, TrainingCost] = {}

    def clear(self) -> None:
        """Begin anew: nothing spent, nothing found."""
        self.meter, self.energy, self.seconds = None, None, 0.0
        self._found.clear()

    def spent(self) -> TrainingCost:
        """The cost of this run itself, so far."""
        flops, passes = (self.meter.flops, self.meter.passes) if self.meter else (0.0, 0.0)
        return TrainingCost(seconds=round(self.seconds, 2), flops=round(flops), passes=round(passes))

    def found(self, key: str, cost: TrainingCost) -> None:
        """A part was taken from the store; taken twice, it counts once."""
        self._found[key] = cost

    def stored(self) -> TrainingCost:
        """The cost of all parts that were found."""
        costs = list(self._found.values())
        return TrainingCost(
            seconds=round(sum(cost.seconds for cost in costs), 2),
            flops=sum(cost.flops for cost in costs),
            passes=sum(cost.passes for cost in costs),
        )

    def state_dict(self) -> dict[str, Any]:
        found = {key: cost.model_dump() for key, cost in self._found.items()}
        calls = [self.energy.calls, self.energy.gradients] if self.energy else None
        return {"meter": self.meter.state_dict() if self.meter else None, "found": found, "energy": calls}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """A resumed run found what it had found before; its own part, which it meets again, is none of it."""
        self._found = {key: TrainingCost.model_validate(cost) for key, cost in state["found"].items()}
        if self.meter and state["meter"] is not None:
            self.meter.load_state_dict(state["meter"])
        if self.energy and (calls := state.get("energy")) is not None:  # absent in checkpoints of before
            self.energy.calls, self.energy.gradients = map(int, calls)
