"""Small methods for tests, loaded as `tests/methods.py:Name`, the way a user loads one of theirs."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dxbench.api import Compute, Config, Method, Model, Need, NoTraining, Problem, RandomStreams, Training


class Affine(nn.Module):
    """One network pass per sample."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift


def gaussian_model(net: Affine) -> Model:
    """Seeded Gaussian samples through an `Affine`."""

    def sampler(seeds: Tensor) -> Tensor:
        # Per-sample noise without a library: golden-ratio hashing is enough for a test.
        u = torch.stack([(seeds * 2654435761 + 40503 * i) % 1000003 for i in (1, 2)], dim=1) / 1000003.0
        return net(torch.erfinv(2 * u.float().clamp(1e-6, 1 - 1e-6) - 1) * 2.8)

    return Model(networks=(net,), sampler=sampler)


class ToyConfig(Config):
    """Of the toy methods."""

    iterations: int = 40
    bad_step: int = 20
    pause: float = 0.0


class ToyTraining(Training):
    """Fits the shift; state of every kind that a checkpoint has to carry."""

    def __init__(self, problem: Problem, config: ToyConfig, rng: RandomStreams) -> None:
        self.problem, self.config = problem, config
        self.net = Affine()
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=0.05)
        self.data_rng = rng.numpy("data")
        self.noise = rng.torch("noise")
        self.trace: list[tuple[int, float]] = []

    @property
    def total_steps(self) -> int:
        return self.config.iterations

    def step(self) -> dict[str, float | Tensor]:
        time.sleep(self.config.pause)
        data = self.problem.data.batch(8, rng=self.data_rng)
        # The global generators are used on purpose: the harness seeds them and keeps their state.
        target = data + 0.1 * torch.randn(data.shape, generator=self.noise) + 0.1 * torch.rand(())
        loss = (self.net(torch.zeros_like(data)) - target).square().mean()
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.trace.append((len(self.trace), float(loss.detach())))
        return {"loss": loss.detach()}

    def state_dict(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "optimiser": self.optimiser.state_dict(), "trace": self.trace}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.trace = state["trace"]

    def model(self) -> Model:
        return gaussian_model(self.net)


class Toy(Method):
    """Trains in a moment."""

    name = "toy"
    version = 1
    Config = ToyConfig
    training: type[ToyTraining] = ToyTraining

    def start(self, problem: Problem, config: ToyConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return self.training(problem, config, rng)


class NaNTraining(ToyTraining):
    def step(self) -> dict[str, float | Tensor]:
        scalars = super().step()
        bad = len(self.trace) == self.config.bad_step
        return {"loss": scalars["loss"], "critic": torch.tensor(float("nan")) if bad else torch.tensor(0.0)}


class NaN(Toy):
    """One term of its loss is NaN at step `bad_step`."""

    name = "nan"
    training = NaNTraining


class PoisonedTraining(ToyTraining):
    def step(self) -> dict[str, float | Tensor]:
        scalars = super().step()
        if len(self.trace) == self.config.bad_step:
            with torch.no_grad():
                self.net.shift.fill_(float("nan"))
        return scalars


class Poisoned(Toy):
    """Its weights turn NaN after `bad_step` although the loss it reports is finite."""

    name = "poisoned"
    training = PoisonedTraining


class Far(Toy):
    """Its samples are finite and of no use to anybody."""

    name = "far"

    def start(self, problem: Problem, config: ToyConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return NoTraining(Model(sampler=lambda seeds: torch.full((len(seeds), 2), 1e30)))


class Crash(Toy):
    """Fails when set up."""

    name = "crash"

    def start(self, problem: Problem, config: ToyConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        raise RuntimeError("a bug of the method")


class KilledTraining(ToyTraining):
    def step(self) -> dict[str, float | Tensor]:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().step()


class Killed(Toy):
    """Its process is killed whenever it takes a step, as by a system without memory left."""

    name = "killed"
    training = KilledTraining


class HeldTraining(ToyTraining):
    def step(self) -> dict[str, float | Tensor]:
        time.sleep(0.1 if (Path(os.environ["DXBENCH_HOME"]) / "hold").exists() else 0.0)
        return super().step()


class Held(Toy):
    """Slow while there is a file `hold` in the home, so that runs can be met on their way; the same numbers as ever."""

    name = "held"
    training = HeldTraining


class OutOfMemory(Toy):
    """Asks for more memory than there is."""

    name = "oom"

    def start(self, problem: Problem, config: ToyConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        raise torch.OutOfMemoryError("tried to allocate 2.00 TiB")


class HungryConfig(ToyConfig):
    """With a batch size that is too large."""

    batch_size: int = 200


class HungryTraining(ToyTraining):
    def step(self) -> dict[str, float | Tensor]:
        raise torch.OutOfMemoryError("tried to allocate 3.00 GiB")


class Hungry(Toy):
    """Asks for more memory than there is once it trains."""

    name = "hungry"
    Config = HungryConfig
    training = HungryTraining


class HungryCPUTraining(ToyTraining):
    def step(self) -> dict[str, float | Tensor]:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 3.00 GiB")


class HungryCPU(Hungry):
    """In the words of the CPU's allocator."""

    name = "hungrycpu"
    training = HungryCPUTraining


class HungryInParallel(Hungry):
    """As a method that could take its batch in parts."""

    name = "hungrypart"
    parallel = True


class NeedsOracle(Toy):
    """Looks whether it is shown the truth although it did not ask."""

    name = "peek"

    def start(self, problem: Problem, config: ToyConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        assert problem.oracle is None
        return super().start(problem, config, compute=compute, rng=rng)


class NeedsGPU(Toy):
    """Cannot run without a GPU."""

    name = "gpu"
    needs = frozenset({Need.TRAINING_DATA, Need.CUDA})


class PointsConfig(ToyConfig):
    """For points in the plane."""

    def needs(self) -> frozenset[Need]:
        return frozenset({Need.VECTORS})


class Points(Toy):
    """Has networks for vectors only."""

    name = "points"
    Config = PointsConfig


class WrongShape(Toy):
    """Its samples have one coordinate too few."""

    name = "wrongshape"

    def start(self, problem: Problem, config: ToyConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        model = gaussian_model(Affine())
        return NoTraining(Model(networks=model.networks, sampler=lambda seeds: model.sample(seeds)[:, :1]))


class Untrained(Toy):
    """Trains nothing."""

    name = "untrained"

    def start(self, problem: Problem, config: ToyConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return NoTraining(gaussian_model(Affine()))


class NoModelTraining(ToyTraining):
    def model(self) -> Model:
        return self.net  # type: ignore[return-value]


class NoModel(Toy):
    """Gives its network in place of a model."""

    name = "nomodel"
    training = NoModelTraining


not_a_method = 3


class PreparedTraining(ToyTraining):
    """Fits a shift through a layer that may be compiled."""

    def __init__(self, problem: Problem, config: ToyConfig, compute: Compute, rng: RandomStreams) -> None:
        super().__init__(problem, config, rng)
        self.layer = nn.Linear(2, 2)
        nn.init.eye_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)
        compute.prepare(self.layer)
        self.optimiser.add_param_group({"params": list(self.layer.parameters())})

    def step(self) -> dict[str, float | Tensor]:
        data = self.problem.data.batch(8, rng=self.data_rng)
        loss = (self.layer(self.net(data)) - torch.tanh(data)).square().mean()
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        return {"loss": loss.detach()}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"layer": self.layer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.layer.load_state_dict(state["layer"])


class Prepared(Toy):
    """Its layer may be compiled."""

    name = "prepared"

    def start(self, problem: Problem, config: ToyConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return PreparedTraining(problem, config, compute, rng)
