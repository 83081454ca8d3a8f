"""Denoisers that methods sample, distil or finetune, each with how it is trained: a frozen description they share.

Methods that name the same backbone on the same streams get the same weights, so that one of them may find what
another has trained.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from torch import Generator, nn

from dxmi.backbones.starts import DataSource, NetworkData, Start
from dxmi.nets.families import networks
from dxmi.nets.residual_mlp import BetweenSteps, ResidualMLP
from dxmi.nets.steps import AtSteps, Strided
from dxmi.sampling.denoisers import EDMDenoiser, VPDenoiser, check_denoiser
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.schedules.chains import Chain, SDEChain
from dxmi.schedules.levels import VPSchedule
from dxmi.training.denoising import DDPMLoss, DenoiserTraining, DenoisingLoss, EDMLoss, Slot
from dxmi.training.parallel import ONE_PROCESS, Parallel

# EDM's family sees data of this std, as images in [-1, 1] have it, so that its noise levels mean what they mean there.
SIGMA_DATA = 0.5


@runtime_checkable
class Problem(Protocol):
    """What there is to learn; `data_std` is the std of one coordinate."""

    @property
    def event_shape(self) -> tuple[int, ...]: ...

    @property
    def data(self) -> DataSource: ...

    @property
    def data_std(self) -> float: ...


@runtime_checkable
class Store(Protocol):
    """Places for trained weights, by what they depend on."""

    def slot(self, content: Any) -> Slot: ...


@runtime_checkable
class Compute(Protocol):
    """Where to train, where trained weights are kept, and how batches are spread."""

    @property
    def device(self) -> str: ...

    @property
    def store(self) -> Store | None: ...

    @property
    def parallel(self) -> Parallel | None: ...


@runtime_checkable
class Streams(Protocol):
    """Generators by name, and the seed behind a name."""

    def torch(self, name: str, *, device: str = "cpu") -> Generator: ...

    def numpy(self, name: str) -> np.random.Generator: ...

    def seed(self, name: str) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Backbone(ABC):
    """A network and its training: Adam on batches of `batch_size`, lr decaying along a cosine, averaged weights.

    Attributes:
        iterations: of training; 0 leaves the weights as they were drawn.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    hidden: int = 128
    depth: int = 3
    iterations: int = 10000
    batch_size: int = 256
    lr: float = 1e-3
    ema_decay: float = 0.999

    def __post_init__(self) -> None:
        if min(self.hidden, self.depth, self.batch_size) < 1 or self.iterations < 0 or self.lr <= 0:
            raise ValueError(f"sizes and rates of a backbone are above 0 and iterations 0 or more; got {self}")

    @abstractmethod
    def network(self, event_shape: Sequence[int], generator: Generator) -> nn.Module:
        """What is trained, with parameters drawn from the generator."""

    @abstractmethod
    def loss(self) -> DenoisingLoss:
        """What `network` is trained by, on data multiplied by `scale`."""

    @abstractmethod
    def denoiser(self, net: nn.Module) -> nn.Module:
        """D(x, sigma) of what `network` made."""

    @abstractmethod
    def scale(self, problem: Problem) -> float:
        """By which the data are multiplied for it."""

    def content(self) -> dict[str, Any]:
        """What the trained weights depend on, besides data and streams."""
        return {"backbone": type(self).__name__, "version": 1, **asdict(self)}

    def begin(self, problem: Problem, compute: Compute, streams: Streams) -> Start:
        """Its training, with the data as it sees them."""
        return Start(
            training=self.training(problem, compute, streams),
            data=NetworkData(source=problem.data, device=compute.device, scale=self.scale(problem)),
        )

    def training(self, problem: Problem, compute: Compute, streams: Streams) -> DenoiserTraining:
        """Its training; over before it begins where the store has the weights of these streams.

        The last step raises ValueError if what was trained denoises nothing (`check_denoiser`).
        """
        device, scale = compute.device, self.scale(problem)
        data_rng = streams.numpy("backbone data")
        content = {**self.content(), "seed": streams.seed("backbone init"), "device": device}
        return DenoiserTraining(
            self.network(problem.event_shape, streams.torch("backbone init")).to(device),
            self.loss(),
            data=lambda: scale * problem.data.batch(self.batch_size, rng=data_rng).to(device),
            noise=StreamNoise(
                batch_size=self.batch_size,
                event_shape=problem.event_shape,
                generator=streams.torch("backbone noise", device=device),
            ),
            iterations=self.iterations,
            lr=self.lr,
            ema_decay=self.ema_decay,
            slot=compute.store.slot(content) if compute.store and self.iterations else None,
            check=lambda average, data: check_denoiser(self.denoiser(average), data),
            parallel=compute.parallel or ONE_PROCESS,
        )


@dataclass(frozen=True, kw_only=True)
class EDMBackbone(Backbone):
    """A denoiser of EDM's family and loss (Karras et al. 2022, arXiv:2206.00364), on data scaled to `SIGMA_DATA`."""

    def network(self, event_shape: Sequence[int], generator: Generator) -> EDMDenoiser:
        nets = networks(event_shape, hidden=self.hidden, depth=self.depth, data_std=SIGMA_DATA)
        return EDMDenoiser(nets.denoiser(generator), sigma_data=SIGMA_DATA)

    def loss(self) -> EDMLoss:
        return EDMLoss()

    def denoiser(self, net: nn.Module) -> EDMDenoiser:
        assert isinstance(net, EDMDenoiser)
        return net

    def scale(self, problem: Problem) -> float:
        return SIGMA_DATA / problem.data_std


@dataclass(frozen=True, kw_only=True)
class DDPMBackbone(Backbone):
    """A noise predictor on a chain of many steps (Ho et al. 2020, arXiv:2006.11239): the linear VP-SDE in `levels`.

    Points in the plane are scaled to a std of `SIGMA_DATA`, images come in [-1, 1] and stay as they are.
    """

    levels: int = 1000

    @property
    def chain(self) -> Chain:
        return SDEChain(length=self.levels)

    @property
    def schedule(self) -> VPSchedule:
        return VPSchedule.linear(self.levels)

    def network(self, event_shape: Sequence[int], generator: Generator) -> nn.Module:
        """eps(x, k), k a step index of the whole chain."""
        nets = networks(event_shape, hidden=self.hidden, depth=self.depth, data_std=SIGMA_DATA)
        return nets.noise_predictor(self.levels, generator)

    def loss(self) -> DDPMLoss:
        return DDPMLoss(schedule=self.schedule)

    def denoiser(self, net: nn.Module) -> VPDenoiser:
        return VPDenoiser(between_steps(net), self.chain)

    def scale(self, problem: Problem) -> float:
        return SIGMA_DATA / problem.data_std if len(problem.event_shape) == 1 else 1.0

    def policy(
        self,
        net: nn.Module,
        *,
        event_shape: Sequence[int],
        num_steps: int,
        first_level: int,
        last_std: float,
        trainable_std: Sequence[bool],
    ) -> GaussianPolicy:
        """Ancestral sampling that visits `num_steps` levels of the chain, evenly from `first_level` on."""
        steps = strided_steps(self.levels, num_steps=num_steps, first=first_level)
        return GaussianPolicy.from_noise_predictor(
            Strided(net, steps),
            self.schedule.visiting(steps),
            event_shape=event_shape,
            last_std=last_std,
            trainable_std=trainable_std,
        )

    def policy_along(
        self, net: nn.Module, schedule: VPSchedule, *, event_shape: Sequence[int], min_std: float
    ) -> GaussianPolicy:
        """Ancestral sampling along a schedule of fractional steps; no std is below `min_std` and none is trained."""
        return GaussianPolicy.from_noise_predictor(
            AtSteps(between_steps(net), self.chain.step_of(schedule.alpha_bar[:-1].log())),
            schedule,
            event_shape=event_shape,
            last_std=min_std,
            min_std=min_std,
            trainable_std=[False] * schedule.num_steps,
        )


# What methods on small images begin from, each family by one net: rows of one training seed share it.
IMAGE_DDPM = DDPMBackbone(hidden=256, iterations=6000, batch_size=128)
IMAGE_EDM = EDMBackbone(hidden=256, iterations=6000, batch_size=128)


def between_steps(net: nn.Module) -> nn.Module:
    """eps(x, t) of a `Networks.noise_predictor`, t in steps counted from the data, whole or fractional."""
    if isinstance(net, ResidualMLP):
        return BetweenSteps(net)
    assert isinstance(net, AtSteps)
    return net.net


def strided_steps(levels: int, *, num_steps: int, first: int) -> list[int]:
    """`num_steps` steps of a chain of `levels`, evenly from `first` to the end.

    Raises:
        ValueError: unless 0 <= first and first + num_steps <= levels.
    """
    if first < 0 or first + num_steps > levels:
        raise ValueError(f"no {num_steps} steps of {levels} from {first} on; take fewer steps or an earlier first")
    return [first + (levels - first) * i // num_steps for i in range(num_steps)]
