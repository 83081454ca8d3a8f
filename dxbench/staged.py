"""Training in two stages: of a start that other runs may have trained already, then a method's own."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol

from pydantic import Field
from torch import Tensor

from dxbench.api import Compute, Config, Need, Problem, RandomStreams, Training


class FromWeights(Config):
    """A method's settings on images of 32 pixels and more, whose start has official weights.

    Attributes:
        backbone: the start's network; its `weights` is a name among those that the task grants.
        samples_only: the method samples its start as it is.
    """

    needs = frozenset({Need.IMAGES})

    samples_only: ClassVar[bool] = False

    backbone: Any
    init: Literal["pretrained", "train"] = Field(
        default="pretrained", description="backbone from official weights, or trained first, then kept and found again"
    )
    flips: bool = Field(default=True, description="half of the data mirrored")

    def official_weights(self) -> tuple[str, ...]:
        return (self.backbone.weights,) if self.init == "pretrained" else ()

    def uses_data(self) -> bool:
        return self.init == "train" or not self.samples_only

    def begin(self, problem: Problem, compute: Compute, streams: RandomStreams) -> Any:
        """What the backbone makes of its official weights, or of none where it is to be trained."""
        official = None
        if problem.pretrained is not None and self.init == "pretrained":
            official = problem.pretrained.load(self.backbone.weights)
        return self.backbone.begin(problem, compute, streams, official=official, flips=self.flips)


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
