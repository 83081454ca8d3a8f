"""Samples drawn by all processes of a run: the first one asks and scores, the others serve."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from dxbench.api import Model
from dxbench.drawing.counting import counted_passes
from dxbench.engine.workers import Workers

END = ""


class DistributedSampling:
    """A model that every process has, and the draws of each."""

    def __init__(self, model: Model, workers: Workers) -> None:
        assert workers.parallel is not None
        self._workers, self._parallel = workers, workers.parallel
        self._models = {"model": model}
        if model.start is not None:
            self._models["start"] = model.start
        self._in_step = True

    def serve(self) -> None:
        """Draw what the first process asks for, until it ends."""
        while True:
            whose, arguments = self._workers.from_first((END, ()))
            if whose == END:
                return
            self._draw(whose, arguments)

    def dismiss(self) -> None:
        """Let the others go, unless they are in the middle of a draw that failed here."""
        if self._in_step:
            self._workers.from_first((END, ()))

    def model(self) -> Model:
        """The model for the first process: the same networks and capabilities, with samples of all processes."""
        start = self._distributed("start") if "start" in self._models else None
        return replace(self._distributed("model"), start=start)

    def _distributed(self, whose: str) -> Model:
        model, elsewhere = self._models[whose], nn.Identity()

        def sampler(*arguments: Tensor) -> Tensor:
            return self._ask(whose, arguments, elsewhere)

        networks = (*model.networks, elsewhere)
        return replace(model, networks=networks, sampler=None if model.sampler is None else sampler)

    def _ask(self, whose: str, arguments: tuple[Tensor, ...], elsewhere: nn.Module) -> Tensor:
        """Samples of all processes; passes of the others' networks are shown to whoever counts those of `elsewhere`."""
        arguments = tuple(argument.cpu() for argument in arguments)
        self._in_step = False
        self._workers.from_first((whose, arguments))
        samples, passes = self._draw(whose, arguments)
        self._in_step = True
        elsewhere(torch.empty(passes, 0))
        return samples

    def _draw(self, whose: str, arguments: tuple[Tensor, ...]) -> tuple[Tensor, int]:
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
                    parts.append(model.sample(*(argument[rows] for argument in mine)))
        samples = torch.cat(parts)
        passes = 0 if idle else counter.total
        total = torch.tensor([passes], dtype=torch.int64, device=samples.device)
        self._parallel.sum([total])
        return self._workers.gather(samples[: share.stop - share.start], of=n), int(total) - passes


@contextmanager
def sampling_together(model: Model, workers: Workers) -> Iterator[Model]:
    """The model for the first process to score: its samples come from all processes, which serve meanwhile."""
    if workers.parallel is None:
        yield model
        return
    sampling = DistributedSampling(model, workers)
    try:
        yield sampling.model()
    finally:
        sampling.dismiss()
