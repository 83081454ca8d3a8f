"""Methods that break the contract in one way each, named after the check that has to find them."""

import random
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from dxbench.api import Compute, Config, Method, Model, Problem, RandomStreams, Training
from dxmi.sampling.noise import SeededNoise


class GoodConfig(Config):
    """Of the sound method."""

    iterations: int = 8
    num_steps: int = 3
    notes: list[str] = []


class GoodModel:
    """What a sound model is made of: noise refined `num_steps` times with one network, a toy energy and value."""

    num_classes: int | None = None

    def __init__(self, net: nn.Module, num_steps: int, event_shape: tuple[int, ...]) -> None:
        self.net, self.num_steps, self.event_shape = net, num_steps, event_shape
        self.networks: Any = (net,)

    def noise(self, seeds: Tensor) -> Tensor:
        return SeededNoise(seeds=seeds, event_shape=self.event_shape).normal(0)

    def refine(self, x: Tensor) -> Tensor:
        return x + 0.1 * self.net(x)

    def model(self) -> Model:
        return Model(
            networks=self.networks,
            sampler=self.sample,
            num_classes=self.num_classes,
            energy=self.energy,
            temperature=1.0,
            value=self.value,
            num_steps=self.num_steps,
        )

    def sample(self, seeds: Tensor) -> Tensor:
        x = self.noise(seeds).to(next(self.net.parameters()).device)
        for _ in range(self.num_steps):
            x = self.refine(x)
        return x

    def energy(self, x: Tensor) -> Tensor:
        return x.flatten(1).square().sum(dim=1)

    def value(self, x: Tensor, k: int) -> Tensor:
        return self.energy(x) + (self.num_steps - k)


class GoodTraining(Training):
    """Fits a small network to the data's mean."""

    model_type: type[GoodModel] = GoodModel

    def __init__(self, problem: Problem, config: GoodConfig, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device = problem, config, compute.device
        self.data_rng = rng.numpy("data")
        self.net = self.build(rng)
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=0.01)

    def build(self, rng: RandomStreams) -> nn.Module:
        (dim,) = self.problem.event_shape
        with torch.random.fork_rng():
            torch.manual_seed(rng.seed("weights"))
            net = nn.Sequential(nn.Linear(dim, 16), nn.Tanh(), nn.Linear(16, dim))
        return net.to(self.device)

    @property
    def total_steps(self) -> int:
        return self.config.iterations

    def batch(self) -> Tensor:
        return self.problem.data.batch(16, rng=self.data_rng).to(self.device)

    def step(self) -> dict[str, float | Tensor]:
        data = self.batch()
        loss = (self.net(torch.zeros_like(data)) - data).square().mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {"loss": loss.detach()}

    def state_dict(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])

    def model(self) -> Model:
        return self.model_type(self.net, self.config.num_steps, self.problem.event_shape).model()


class Good(Method):
    """Keeps everything."""

    name = "good"
    version = 1
    Config = GoodConfig
    training: type[GoodTraining] = GoodTraining

    def start(self, problem: Problem, config: GoodConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return self.training(problem, config, compute, rng)


def bad(check: str, *, training: type[GoodTraining] | None = None, model: type[GoodModel] | None = None) -> type[Good]:
    """A method of that training or that model, to be found by `check`."""
    chosen = training or type("BadTraining", (GoodTraining,), {"model_type": model})
    fields = {"__doc__": f"Breaks `{check}`.", "name": "bad", "training": chosen}
    return type("Bad", (Good,), fields)


class NoVersion(Good):
    """Was never given a version."""

    version = 0


class WritesConfig(GoodTraining):
    def step(self) -> dict[str, float | Tensor]:
        self.config.notes.append("seen")
        return super().step()


class InfiniteLoss(GoodTraining):
    def step(self) -> dict[str, float | Tensor]:
        return {**super().step(), "penalty": float("inf")}


class NamesNoModules(GoodModel):
    def __init__(self, net: nn.Module, num_steps: int, event_shape: tuple[int, ...]) -> None:
        super().__init__(net, num_steps, event_shape)
        self.networks = (net.forward,)


class NoModel(GoodModel):
    """In place of a model, an object that looks like one of old."""

    def model(self) -> Model:
        return self  # type: ignore[return-value]


class CannotDoAnything(GoodModel):
    def model(self) -> Model:
        return Model(networks=self.networks)


class OnlyByClass(GoodModel):
    """Samples only of a class, which is not asked for."""

    num_classes = 2

    def sample(self, seeds: Tensor, labels: Tensor) -> Tensor:  # type: ignore[override]
        return super().sample(seeds) + labels[:, None].to(next(self.net.parameters()).device)


class DropsSingletons(GoodModel):
    def sample(self, seeds: Tensor) -> Tensor:
        return super().sample(seeds).squeeze()


class Overflows(GoodModel):
    def sample(self, seeds: Tensor) -> Tensor:
        return super().sample(seeds) * 1e8


class NotANumber(GoodModel):
    def sample(self, seeds: Tensor) -> Tensor:
        samples = super().sample(seeds)
        return torch.where(samples > 1.5, torch.nan, samples)


class IgnoresSeeds(GoodModel):
    def noise(self, seeds: Tensor) -> Tensor:
        return super().noise(torch.arange(len(seeds)))


class CentresBatches(GoodModel):
    def sample(self, seeds: Tensor) -> Tensor:
        samples = super().sample(seeds)
        return samples - samples.mean(dim=0) / 10


class SeedByPosition(GoodModel):
    def noise(self, seeds: Tensor) -> Tensor:
        return super().noise(seeds + torch.arange(len(seeds)))


class HidesANetwork(GoodModel):
    """A second network that no one was told of."""

    def __init__(self, net: nn.Module, num_steps: int, event_shape: tuple[int, ...]) -> None:
        super().__init__(net, num_steps, event_shape)
        self.helper = skip_init(nn.Linear, *event_shape, *event_shape, device=next(net.parameters()).device)
        nn.init.eye_(self.helper.weight)
        nn.init.zeros_(self.helper.bias)

    def refine(self, x: Tensor) -> Tensor:
        return self.helper(super().refine(x))


class CallsForward(GoodModel):
    """`forward` called by name, which runs no hook of the network itself."""

    def refine(self, x: Tensor) -> Tensor:
        return x + 0.1 * self.net.forward(x)


class UsesWeights(GoodModel):
    """The network's arithmetic by hand, on its weights."""

    def refine(self, x: Tensor) -> Tensor:
        first, second = self.net[0], self.net[2]  # type: ignore[index]
        hidden = torch.tanh(x @ first.weight.T + first.bias)
        return x + 0.1 * (hidden @ second.weight.T + second.bias)


class Loop(nn.Module):
    """All the steps of a sampler as one pass."""

    def __init__(self, net: nn.Module, num_steps: int) -> None:
        super().__init__()
        self.net, self.num_steps = net, num_steps

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.num_steps):
            x = x + 0.1 * self.net(x)
        return x


class CallsALoopOnePass(GoodModel):
    def __init__(self, net: nn.Module, num_steps: int, event_shape: tuple[int, ...]) -> None:
        super().__init__(net, num_steps, event_shape)
        self.loop = Loop(net, num_steps)
        self.networks = (self.loop,)

    def sample(self, seeds: Tensor) -> Tensor:
        return self.loop(self.noise(seeds).to(next(self.net.parameters()).device))


class FoldsTheBatch(GoodModel):
    """One row [1, b, d] for b samples."""

    def refine(self, x: Tensor) -> Tensor:
        return x + 0.1 * self.net(x[None])[0]


class BatchEnergy(GoodModel):
    def energy(self, x: Tensor) -> Tensor:
        return super().energy(x) - super().energy(x).mean()


class ColumnEnergy(GoodModel):
    def energy(self, x: Tensor) -> Tensor:
        return super().energy(x)[:, None]


class OtherValue(GoodModel):
    def value(self, x: Tensor, k: int) -> Tensor:
        return super().value(x, k) + 1


class ReadsTheClock(GoodTraining):
    def step(self) -> dict[str, float | Tensor]:
        with torch.no_grad():
            next(self.net.parameters()).add_(1e-3 * (time.perf_counter_ns() % 1_000_003) / 1_000_003)
        return super().step()


class FixedSeed(GoodTraining):
    def __init__(self, problem: Problem, config: GoodConfig, compute: Compute, rng: RandomStreams) -> None:
        super().__init__(problem, config, compute, RandomStreams("always the same"))


class GlobalDropout(GoodTraining):
    def batch(self) -> Tensor:
        return nn.functional.dropout(super().batch(), 0.1)


class GlobalWeights(GoodTraining):
    def build(self, rng: RandomStreams) -> nn.Module:
        (dim,) = self.problem.event_shape
        return nn.Sequential(nn.Linear(dim, 16), nn.Tanh(), nn.Linear(16, dim)).to(self.device)


class PythonsRandom(GoodTraining):
    def batch(self) -> Tensor:
        return super().batch() + 1e-3 * random.random()


class ReadsTheGlobalSeed(GoodTraining):
    """Draws nothing from the global generator and depends on it all the same."""

    def batch(self) -> Tensor:
        return super().batch() + 1e-3 * (torch.initial_seed() % 97)


class KeepsALambda(GoodTraining):
    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"schedule": lambda step: step}


class InfiniteState(GoodTraining):
    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"best": torch.tensor(float("inf"))}


class SamplingTrains(GoodModel):
    """Counts its samples in a buffer of the network."""

    def sample(self, seeds: Tensor) -> Tensor:
        with torch.no_grad():
            self.net[2].bias.add_(0.0).mul_(1.0)  # type: ignore[index]
        if "seen" not in dict(self.net.named_buffers()):
            self.net.register_buffer("seen", torch.zeros(()))
        self.net.seen += 1  # type: ignore[operator]
        return super().sample(seeds)


class ForgetsTheOptimiser(GoodTraining):
    def state_dict(self) -> dict[str, Any]:
        return {"net": self.net.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])


class StaysBehind(GoodTraining):
    """Its network never leaves the CPU."""

    def build(self, rng: RandomStreams) -> nn.Module:
        device, self.device = self.device, "cpu"
        net = super().build(rng)
        self.device = device
        return net

    def batch(self) -> Tensor:
        return super().batch().cpu() if self.device == "cuda" else super().batch()


BAD: list[tuple[str, str, type[Method]]] = [
    ("identity", "no version", NoVersion),
    ("config", "training writes into it", bad("config", training=WritesConfig)),
    ("training", "infinite loss", bad("training", training=InfiniteLoss)),
    ("capabilities", "networks that are functions", bad("capabilities", model=NamesNoModules)),
    ("capabilities", "no model", bad("capabilities", model=NoModel)),
    ("capabilities", "no capability", bad("capabilities", model=CannotDoAnything)),
    ("classes", "samples by class alone", bad("classes", model=OnlyByClass)),
    ("shapes", "squeezed", bad("shapes", model=DropsSingletons)),
    ("range", "overflowing", bad("range", model=Overflows)),
    ("range", "nan", bad("range", model=NotANumber)),
    ("seeds", "ignored", bad("seeds", model=IgnoresSeeds)),
    ("batch-size", "centred batches", bad("batch-size", model=CentresBatches)),
    ("batch-size", "seed by position", bad("batch-size", model=SeedByPosition)),
    ("nfe", "hidden network", bad("nfe", model=HidesANetwork)),
    ("nfe", "forward by name", bad("nfe", model=CallsForward)),
    ("nfe", "arithmetic by hand", bad("nfe", model=UsesWeights)),
    ("nfe", "a loop as one pass", bad("nfe", model=CallsALoopOnePass)),
    ("nfe", "the batch as one row", bad("nfe", model=FoldsTheBatch)),
    ("energy", "of the batch", bad("energy", model=BatchEnergy)),
    ("energy", "a column", bad("energy", model=ColumnEnergy)),
    ("value", "not the energy at the end", bad("value", model=OtherValue)),
    ("repeatable", "reads the clock", bad("repeatable", training=ReadsTheClock)),
    ("repeatable", "always one seed", bad("repeatable", training=FixedSeed)),
    ("global-rng", "dropout", bad("global-rng", training=GlobalDropout)),
    ("global-rng", "weights", bad("global-rng", training=GlobalWeights)),
    ("global-rng", "the module random", bad("global-rng", training=PythonsRandom)),
    ("global-rng", "the seed itself", bad("global-rng", training=ReadsTheGlobalSeed)),
    ("state", "a function", bad("state", training=KeepsALambda)),
    ("state", "infinite", bad("state", training=InfiniteState)),
    ("resume", "forgets the optimiser", bad("resume", training=ForgetsTheOptimiser)),
    ("device", "stays behind", bad("device", training=StaysBehind)),
]
