"""Samples drawn by all processes of a run: the first one asks and scores, the others serve."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dxbench.api import FineTunedModel, Model
from dxbench.drawing.counting import counted_passes
from dxbench.engine.workers import Workers

# Methods of models that draw: their arguments are tensors with one row per sample, seeds first.
DRAWS = ("sample", "sample_classes")
END = ""


class SamplingCrew:
    """A model that every process has, and the draws of each."""

    def __init__(self, model: Model, workers: Workers) -> None:
        assert workers.parallel is not None
        self._workers, self._parallel = workers, workers.parallel
        self._models: dict[str, Any] = {"model": model}
        if isinstance(model, FineTunedModel):
            self._models["start"] = model.start
        self._in_step = True

    def serve(self) -> None:
        """Draw what the first process asks for, until it ends."""
        while True:
            whose, name, arguments = self._workers.from_first(("", END, ()))
            if name == END:
                return
            self._draw(whose, name, arguments)

    def dismiss(self) -> None:
        """Let the others go, unless they are in the middle of a draw that failed here."""
        if self._in_step:
            self._workers.from_first(("", END, ()))

    def ask(self, whose: str, name: str, arguments: tuple[Tensor, ...], elsewhere: nn.Module) -> Tensor:
        """Samples of all processes; passes of the others' networks are shown to whoever counts those of `elsewhere`."""
        arguments = tuple(argument.cpu() for argument in arguments)
        self._in_step = False
        self._workers.from_first((whose, name, arguments))
        samples, passes = self._draw(whose, name, arguments)
        self._in_step = True
        elsewhere(torch.empty(passes, 0))
        return samples

    def _draw(self, whose: str, name: str, arguments: tuple[Tensor, ...]) -> tuple[Tensor, int]:
        """All samples, and passes of the other processes' networks."""
        model, n = self._models[whose], len(arguments[0])
        share = self._workers.share(n)
        idle = (
            share.start == share.stop
        )  # of few samples there are none for this process, which has to know their shape
        mine = [argument[:1] if idle else argument[share] for argument in arguments]
        parts = []
        with torch.no_grad(), counted_passes(model.networks) as counter:
            for rows in self._parallel.micro_batches(len(mine[0])):
                with self._parallel.autocast():
                    parts.append(getattr(model, name)(*(argument[rows] for argument in mine)))
        samples = torch.cat(parts)
        passes = 0 if idle else counter.rows
        total = torch.tensor([passes], dtype=torch.int64, device=samples.device)
        self._parallel.sum([total])
        return self._workers.gather(samples[: share.stop - share.start], of=n), int(total) - passes


@contextmanager
def sampling_together(model: Model, workers: Workers) -> Iterator[Model]:
    """The model for the first process to score: its samples come from all processes, which serve meanwhile."""
    if workers.parallel is None:
        yield model
        return
    crew = SamplingCrew(model, workers)
    try:
        yield _twin(model, crew, "model")
    finally:
        crew.dismiss()


def _twin(model: Any, crew: SamplingCrew, whose: str) -> Any:
    """The same networks and abilities, with draws by the crew.

    A subclass of the model's own class: what a model is able to do is told by the attributes of its class.
    """
    elsewhere = nn.Identity()
    members: dict[str, Any] = {"networks": (*model.networks, elsewhere)}
    for name in DRAWS:
        if callable(getattr(model, name, None)):
            members[name] = lambda self, *arguments, _name=name: crew.ask(whose, _name, arguments, elsewhere)
    if whose == "model" and isinstance(model, FineTunedModel):
        members["start"] = _twin(model.start, crew, "start")
    twin = copy.copy(model)
    for name in members:
        getattr(twin, "__dict__", {}).pop(name, None)
    twin.__class__ = type(type(model).__name__, (type(model),), members)
    return twin
