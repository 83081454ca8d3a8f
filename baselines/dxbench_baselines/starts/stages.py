"""Training in two stages: of a start that other runs may have trained already, then a method's own."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from dxbench.api import Compute, Model, Problem, RandomStreams, Training
from dxbench_baselines.starts.backbone import Start
from dxbench_baselines.starts.models import model_of
from dxmi.backbones.flows import VelocityNetwork
from dxmi.models import DenoiserSampler, FlowSampler
from dxmi.sampling.flows import FlowSteps
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.samplers import Sampler
from dxmi.schedules.levels import NoiseLevels
from dxmi.training.parallel import ONE_PROCESS


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
        """Parts of the second stage, in the order that they are restored."""
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


class Tuning(StagedTraining):
    """A start, then a method's own stage, with the batches and the noise that it is made of.

    Attributes:
        begun: the backbone, on its way.
        data_rng: stream of the method's own batches.
        noise: stream of the method's own stage, of the whole batch.
        mine: this process's rows of a batch.
    """

    def __init__(
        self,
        problem: Problem,
        begun: Start,
        compute: Compute,
        rng: RandomStreams,
        *,
        batch_size: int,
        iterations: int,
    ) -> None:
        super().__init__(begun.training, iterations=iterations)
        self.problem, self.begun, self.device = problem, begun, compute.device
        self.parallel = compute.parallel or ONE_PROCESS
        self.mine = self.parallel.rows(batch_size)
        self.data_rng = rng.numpy("data")
        self.noise = StreamNoise(
            batch_size=batch_size,
            event_shape=problem.event_shape,
            generator=rng.torch("noise", device=compute.device),
        )


class SampledField(StagedTraining):
    """A start and no stage of a method's own: the field of its averaged weights is followed from noise to data."""

    def __init__(self, problem: Problem, begun: Start, network: VelocityNetwork, steps: FlowSteps) -> None:
        super().__init__(begun.training)
        self.problem, self.begun, self.network, self.steps = problem, begun, network, steps

    def model(self) -> Model:
        sampler = FlowSampler(
            field=self.network.field(self.begun.average),
            steps=self.steps,
            event_shape=self.problem.event_shape,
            scale=self.begun.data.scale,
        )
        return model_of(sampler, self.begun.data)


class SampledDenoiser(StagedTraining):
    """A start and no stage of a method's own: `denoiser` of its averaged weights is sampled along `levels`."""

    def __init__(
        self,
        problem: Problem,
        begun: Start,
        denoiser: Callable[[nn.Module], nn.Module],
        sampler: Sampler,
        levels: NoiseLevels,
    ) -> None:
        super().__init__(begun.training)
        self.problem, self.begun = problem, begun
        self.denoiser, self.sampler, self.levels = denoiser, sampler, levels

    def model(self) -> Model:
        sampler = DenoiserSampler(
            denoiser=self.denoiser(self.begun.average),
            sampler=self.sampler,
            levels=self.levels,
            event_shape=self.problem.event_shape,
            scale=self.begun.data.scale,
        )
        return model_of(sampler, self.begun.data)
