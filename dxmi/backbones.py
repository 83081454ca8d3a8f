"""Denoisers that samplers begin from, each with how it is trained: a frozen description that methods share.

Two methods that name the same backbone on the same streams get the same weights, so that one of them may find what
the other has trained.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from torch import Generator, nn

from dxmi.arrays import Points
from dxmi.denoising import NoisePredictorTraining, Slot
from dxmi.nets.residual_mlp import ResidualMLP, Strided
from dxmi.noise import StreamNoise
from dxmi.parallel import ONE_PROCESS, Parallel
from dxmi.policies import GaussianPolicy
from dxmi.schedules import VPSchedule


@runtime_checkable
class DataSource(Protocol):
    """Training data."""

    def batch(self, n: int, *, rng: np.random.Generator) -> Points: ...


@runtime_checkable
class Streams(Protocol):
    """Generators by name, and the seed behind a name."""

    def torch(self, name: str, *, device: str = "cpu") -> Generator: ...

    def numpy(self, name: str) -> np.random.Generator: ...

    def seed(self, name: str) -> int: ...


@runtime_checkable
class Store(Protocol):
    """Places for trained weights, by what they depend on."""

    def slot(self, content: Any) -> Slot: ...


@dataclass(frozen=True, kw_only=True)
class MLPBackbone:
    """A residual MLP that predicts the noise of DDPM's chain of 1,000 steps, for small images.

    Attributes:
        iterations: of Adam on batches of `batch_size`, lr decaying along a cosine.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    hidden: int = 256
    depth: int = 3
    levels: int = 1000
    iterations: int = 6000
    batch_size: int = 128
    lr: float = 1e-3
    ema_decay: float = 0.999

    @property
    def schedule(self) -> VPSchedule:
        return VPSchedule.linear(self.levels)

    def content(self) -> dict[str, Any]:
        """What the trained weights depend on, besides data and streams."""
        return {"backbone": type(self).__name__, "version": 1, **asdict(self)}

    def training(
        self,
        *,
        event_shape: Sequence[int],
        data: DataSource,
        streams: Streams,
        device: str,
        store: Store | None,
        parallel: Parallel = ONE_PROCESS,
    ) -> NoisePredictorTraining:
        """Its training; over before it begins where `store` has the weights of these streams."""
        data_rng = streams.numpy("backbone data")
        content = {**self.content(), "seed": streams.seed("backbone init"), "device": device}
        net = ResidualMLP(
            event_shape=event_shape,
            output_shape=event_shape,
            num_levels=self.levels,
            hidden=self.hidden,
            depth=self.depth,
            generator=streams.torch("backbone init"),
        )
        return NoisePredictorTraining(
            net.to(device),
            self.schedule,
            data=lambda: data.batch(self.batch_size, rng=data_rng).to(device),
            noise=StreamNoise(
                batch_size=self.batch_size,
                event_shape=tuple(event_shape),
                generator=streams.torch("backbone noise", device=device),
            ),
            iterations=self.iterations,
            lr=self.lr,
            ema_decay=self.ema_decay,
            slot=store.slot(content) if store else None,
            parallel=parallel,
        )

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


def strided_steps(levels: int, *, num_steps: int, first: int) -> list[int]:
    """`num_steps` steps of a chain of `levels`, evenly from `first` to the end.

    Raises:
        ValueError: unless 0 <= first and first + num_steps <= levels.
    """
    if first < 0 or first + num_steps > levels:
        raise ValueError(f"no {num_steps} steps of {levels} from {first} on; take fewer steps or an earlier first")
    return [first + (levels - first) * i // num_steps for i in range(num_steps)]
