"""Training in two stages: of a start that other runs may have trained already, then a method's own."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from dxbench.api import Training


class Stateful(Protocol):
    """A part whose state travels in checkpoints."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


class Stage(Stateful, Protocol):
    """The training of a start. Iterations are 0 where what it trains was found."""

    @property
    def iterations(self) -> int: ...

    @property
    def finished(self) -> bool: ...

    def step(self) -> Tensor:
        """One iteration; its loss."""
        ...


class StagedTraining(Training):
    """The start's iterations, then a method's own; all state is in named parts.

    A method that trains nothing of its own leaves `iterations` at 0 and gives a `model` only; others also give
    `parts`, `begin` and `advance`.

    Attributes:
        start: the first stage, where there is one.
        iterations: of the second.
        done: how many of them are done.
    """

    def __init__(self, start: Stage | None, *, iterations: int = 0) -> None:
        self.start, self.iterations, self.done = start, iterations, 0

    def parts(self) -> Mapping[str, Stateful]:
        """Of the second stage, in the order that they are restored."""
        return {}

    def begin(self) -> None:
        """Take over what the start has learned; called once, before the first iteration of the second stage."""

    def advance(self) -> Mapping[str, float | Tensor]:
        """One iteration of the second stage, number `done`; returns scalars to log."""
        raise RuntimeError("nothing to train")

    @property
    def total_steps(self) -> int:
        return (self.start.iterations if self.start else 0) + self.iterations

    def step(self) -> Mapping[str, float | Tensor]:
        if self.start is not None and not self.start.finished:
            return {"denoising_loss": self.start.step()}
        if self.done == 0:
            self.begin()
        scalars = self.advance()
        self.done += 1
        return scalars

    def state_dict(self) -> dict[str, Any]:
        parts = {name: part.state_dict() for name, part in self.parts().items()}
        start = None if self.start is None else self.start.state_dict()
        return {"start": start, "parts": parts, "done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.start is not None:
            self.start.load_state_dict(state["start"])
        for name, part in self.parts().items():
            part.load_state_dict(state["parts"][name])
        self.done = state["done"]
