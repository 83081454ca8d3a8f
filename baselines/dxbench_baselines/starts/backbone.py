"""Backbones: a network with its pretraining and its official weights, and how a run comes by the trained network."""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Generator, Tensor, nn

from dxbench.api import Compute, Problem, RandomStreams
from dxbench_baselines.starts.data import HorizontalFlips, NetworkData
from dxmi.backbones.small import Network
from dxmi.sampling.noise import StreamNoise
from dxmi.training.denoising import DenoiserTraining
from dxmi.training.parallel import ONE_PROCESS


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """Adam on batches of `batch_size`, lr decaying along a cosine, averaged weights.

    Attributes:
        iterations: 0 leaves the weights as they were drawn.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    iterations: NonNegativeInt = 10000
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 1e-3
    ema_decay: float = 0.999
    max_grad_norm: PositiveFloat | None = None


N = TypeVar("N", bound=Network, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Backbone(Generic[N]):
    """A network and where its weights come from. How few steps sample it stands beside it (`dxmi.backbones`).

    Methods that name the same network and pretraining get the same weights at one training seed, so that one of them
    may find what another has trained.

    Attributes:
        weights: name of the official weights among a task's; None where there are none.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    network: N
    pretraining: Pretraining = Pretraining()
    weights: str | None = None

    def content(self) -> dict[str, Any]:
        """All that trained weights depend on, besides data, device and streams."""
        return {"version": 2, "network": asdict(self.network), "pretraining": asdict(self.pretraining)}


class Official:
    """A network whose training others have done.

    Attributes:
        net: to be trained on.
        average: as it came.
    """

    iterations, finished = 0, True

    def __init__(self, net: nn.Module) -> None:
        self.net, self.average = net, copy.deepcopy(net)

    def step(self) -> Tensor:
        raise RuntimeError("nothing to train")

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert not state


@dataclass(frozen=True, kw_only=True)
class Start:
    """A network on its way, and the data as it sees them.

    Attributes:
        training: its `net` is to be trained on, its `average` is what the start is worth.
        factor: what the network sees of `data` is this times as large.
    """

    training: DenoiserTraining | Official
    data: NetworkData
    factor: float = 1.0

    @property
    def net(self) -> nn.Module:
        return self.training.net

    @property
    def average(self) -> nn.Module:
        return self.training.average

    def in_units_of_data(self) -> Self:
        """This start, for a method whose energy is of the data as they are: these, and the network's factor."""
        return replace(self, data=replace(self.data, scale=1.0), factor=self.data.scale)


@dataclass(frozen=True, kw_only=True)
class StreamNames:
    """The random streams that a pretraining draws from."""

    init: str = "backbone init"
    data: str = "backbone data"
    noise: str = "backbone noise"


def data_of(network: Network, problem: Problem, compute: Compute, *, flips: bool) -> NetworkData:
    """The data as the network sees them; `flips` mirrors half of the images.

    Raises:
        ValueError: if the problem has other classes than the network, or has no images to mirror.
    """
    if problem.num_classes != network.num_classes:
        raise ValueError(
            f"the backbone is conditioned on {network.num_classes or 'no'} classes and the task has "
            f"{problem.num_classes or 'none'}; name a backbone for this task"
        )
    if flips and len(problem.event_shape) != 3:
        raise ValueError(f"events of shape {problem.event_shape} are no images to mirror; set flips=false")
    return NetworkData(
        source=HorizontalFlips(problem.data) if flips else problem.data,
        device=compute.device,
        scale=network.scale(problem.event_shape, problem.data_std),
        num_classes=network.num_classes,
    )


def prepared(network: Network, net: nn.Module, compute: Compute) -> nn.Module:
    """The net that `network` has made, or a copy of it, to be trained; one of images is compiled where this pays."""
    if network.events == "images" and not network.differentiated:
        compute.prepare(net)
    return net


def official(backbone: Backbone[Any], problem: Problem, compute: Compute, *, flips: bool = False) -> Start:
    """The network with its official weights.

    Raises:
        ValueError: if the task grants none, or the file is of another network, with the first keys that differ; and as
            `data_of`.
    """
    if problem.pretrained is None or backbone.weights is None:
        raise ValueError(f"{problem.task} grants no official weights; set init=train")
    return converted(backbone.network, problem.pretrained.load(backbone.weights), problem, compute, flips=flips)


def converted(
    network: Network, weights: Mapping[str, Tensor], problem: Problem, compute: Compute, *, flips: bool = False
) -> Start:
    """The network with the tensors of a released file: one of the suite, in its own layout, or of other authors.

    Raises:
        ValueError: if the file is of another network, with the first keys that differ; and as `data_of`.
    """
    data = data_of(network, problem, compute, flips=flips)
    net = network.network(problem.event_shape, Generator().manual_seed(0))  # every number is overwritten
    own = net.state_dict()
    net.load_state_dict(
        _of_this_size(weights, own) if weights.keys() == own.keys() else network.official(problem.event_shape)(weights)
    )
    return Start(training=Official(prepared(network, net.to(compute.device), compute)), data=data)


def _of_this_size(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The weights, if they are of a network of this size; raises ValueError, with the first that is not, otherwise."""
    for name, tensor in weights.items():
        if tensor.shape != own[name].shape:
            raise ValueError(
                f"the weights are of a network of another size: {name} is {list(tensor.shape)}, wanted "
                f"{list(own[name].shape)}; leave the network as the recipe has it, or set init=train"
            )
    return weights


def pretrained(
    backbone: Backbone[Any],
    problem: Problem,
    compute: Compute,
    streams: RandomStreams,
    *,
    flips: bool = False,
    names: StreamNames = StreamNames(),
    keep: bool = True,
) -> Start:
    """The pretraining of a network; over before it begins where the store has the weights of these streams.

    Its last step raises ValueError if what was trained denoises nothing (`Network.check`), and leaves the average in
    the store where it is to `keep`.

    Raises:
        ValueError: as `data_of`.
    """
    network, plan, shape = backbone.network, backbone.pretraining, problem.event_shape
    data = data_of(network, problem, compute, flips=flips)
    content = {
        **backbone.content(),
        "data": {"flips": flips},
        "seed": streams.seed(names.init),
        "device": compute.device,
    }
    slot = compute.store.slot(content) if keep and compute.store and plan.iterations else None
    data_rng = streams.numpy(names.data)

    def finish(average: nn.Module, batch: Tensor) -> None:
        network.check(average, batch)
        if slot is not None:
            slot.save(dict(average.state_dict()))

    net = network.network(shape, streams.torch(names.init)).to(compute.device)
    training = DenoiserTraining(
        prepared(network, net, compute),
        network.loss(),
        data=lambda: data.batch(plan.batch_size, rng=data_rng),
        noise=StreamNoise(
            batch_size=plan.batch_size,
            event_shape=shape,
            generator=streams.torch(names.noise, device=compute.device),
        ),
        iterations=plan.iterations,
        lr=plan.lr,
        ema_decay=plan.ema_decay,
        max_grad_norm=plan.max_grad_norm,
        found=slot.load() if slot else None,
        finish=finish,
        parallel=compute.parallel or ONE_PROCESS,
    )
    return Start(training=training, data=data)
