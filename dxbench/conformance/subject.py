"""The method under examination: trained anew as often as a check asks, the way the harness would."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dxbench.api import (
    Compute,
    Config,
    Method,
    Model,
    PatchData,
    Problem,
    Training,
)
from dxbench.api.streams import RandomStreams
from dxbench.engine.parts import require_pretrained, trained_model, unmet_needs
from dxbench.engine.process import seed_global_generators
from dxbench.errors import MissingData


class Broken(Exception):
    """The method does not keep what the check wants; the message says what was got."""


class NotChecked(Exception):
    """There is nothing to check here; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A training run to its end."""

    training: Training
    rng: RandomStreams
    scalars: list[dict[str, float]]
    model: Model


class Subject:
    """One method with a problem and a configuration; `steps` bounds every training."""

    def __init__(self, method: type[Method], problem: Problem, config: Config, *, steps: int, compute: Compute) -> None:
        self.method, self.problem, self.config, self.compute = method, problem, config, compute
        self._limit = steps

    def fresh(self, scope: str = "a") -> tuple[Training, RandomStreams]:
        """A training at its first step and its streams, from a seed named `scope`.

        Raises:
            NotChecked: if the method needs what is not here.
        """
        self.require_needs()
        rng = RandomStreams("conformance", scope)
        return self.method().start(self.problem, self.config, compute=self.compute, rng=rng), rng

    def require_needs(self) -> None:
        """Raises NotChecked if the method needs what is not here."""
        needs = self.method.needs | self.config.needs()
        unmet = [need.value for need in unmet_needs(needs, self.problem, self.compute)]
        if unmet:
            raise NotChecked(f"needs {' and '.join(unmet)}")
        try:
            require_pretrained(self.method, self.config, self.problem)
        except MissingData as reason:
            raise NotChecked(str(reason)) from None

    @staticmethod
    def seed_globals(scope: str = "global") -> None:
        """Seed the process's generators as the harness does, so that only `global-rng` tells who uses them."""
        seed_global_generators(RandomStreams("conformance", scope))

    def steps_of(self, training: Training) -> int:
        return min(self._limit, training.total_steps)

    @staticmethod
    def advance(training: Training, steps: int) -> list[dict[str, float]]:
        """The scalars of `steps` steps."""
        return [{key: float(value) for key, value in training.step().items()} for _ in range(steps)]

    def train(self, scope: str = "a") -> Trained:
        self.seed_globals()
        training, rng = self.fresh(scope)
        scalars = self.advance(training, self.steps_of(training))
        return Trained(training=training, rng=rng, scalars=scalars, model=trained_model(training))

    @cached_property
    def trained(self) -> Trained:
        """One training that checks share which only look."""
        return self.train()

    @cached_property
    def points(self) -> Tensor:
        """[16, *event] points of the size of the data, on the compute device."""
        noise = torch.randn((16, *self.problem.event_shape), generator=torch.Generator().manual_seed(0))
        return (self.problem.data_std * noise).to(self.compute.device)

    @cached_property
    def grids(self) -> Tensor:
        """[2, h, w, d] patches of two images, of the size of the data, on the compute device.

        Raises:
            NotChecked: if the data are no patches.
        """
        if not isinstance(self.problem.data, PatchData):
            raise NotChecked("the task's data are no patches of images")
        shape = (2, *self.problem.data.grid, *self.problem.event_shape)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        return (self.problem.data_std * noise).to(self.compute.device)

    def probe(self, model: Model) -> dict[str, Tensor]:
        """Run a model: its samples, its energies and maps, on the CPU."""
        found: dict[str, Tensor] = {}
        with torch.no_grad():
            if model.sampler is not None:
                found["samples"] = self.draw(model, torch.arange(16)).cpu()
            if model.energy is not None:
                found["energies"] = model.energy(self.points).cpu()
            if model.maps is not None:
                found["maps"] = model.maps(self.grids).cpu()
        return found

    def sampler(self) -> Model:
        """The trained model.

        Raises:
            NotChecked: if it does not sample.
        """
        model = self.trained.model
        if model.sampler is None:
            raise NotChecked("the model does not sample")
        return model

    def draw(self, model: Model, seeds: Tensor, *, shift: int = 0) -> Tensor:
        """Samples of seeds; where the problem has classes, of class (seed + shift) mod their number."""
        classes = self.problem.num_classes
        return model.sample(seeds, None if classes is None else (seeds + shift) % classes)

    def equal(self, a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
        """Equal to the bit on a CPU; on other devices, whose sums have no fixed order, to three digits."""
        if self.compute.device == "cpu":
            return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
        return a.keys() == b.keys() and all(torch.allclose(a[key], b[key], rtol=1e-3, atol=1e-3) for key in a)
