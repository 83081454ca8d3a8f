"""Networks that methods sample, distil or finetune: what each predicts, how it is trained, and small ones.

A network is a frozen description. Methods add how long it is trained and how few steps sample it (`few_steps`).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt
from torch import Generator, Tensor, nn

from dxmi.checkpoints import Conversion
from dxmi.nets.families import denoising_net, is_image, noise_predictor
from dxmi.nets.mlp import StepMLP
from dxmi.nets.residual_mlp import BetweenSteps, ResidualMLP
from dxmi.nets.steps import AtSteps
from dxmi.sampling.denoisers import EDMDenoiser, VPDenoiser, check_denoiser
from dxmi.schedules.chains import Chain, SDEChain
from dxmi.schedules.levels import VPSchedule
from dxmi.training.denoising import DDPMLoss, DenoisingLoss, EDMLoss

# EDM's family sees data of this std, as images in [-1, 1] have it, so that its noise levels mean what they mean there.
SIGMA_DATA = 0.5
SCHEDULES = {"linear": VPSchedule.linear, "cosine": VPSchedule.cosine}


@dataclass(frozen=True, kw_only=True)
class Network(ABC):
    """A network's layout, what it is trained by and how official weights become its own.

    Attributes:
        events: kind of data that it has layers for.
        few_steps: trained for one number of sampling steps, so that no other method has a use for its weights.
        differentiated: its loss holds derivatives of the network, for which it is executed as written.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    events: ClassVar[Literal["vectors", "small", "images"]]
    few_steps: ClassVar[bool] = False
    differentiated: ClassVar[bool] = False

    @property
    def num_classes(self) -> int | None:
        """Number of classes that the network is conditioned on; None without classes."""
        return None

    def at(self, num_steps: int) -> "Network":
        """The network for a sampler of so many steps: this one, unless it is trained for a number of them."""
        return self

    def scale(self, event_shape: Sequence[int], data_std: float) -> float:
        """The factor that data are multiplied by for the network."""
        return 1.0

    @abstractmethod
    def network(self, event_shape: Sequence[int], generator: Generator) -> nn.Module:
        """The module that is trained, with parameters drawn from the generator."""

    @abstractmethod
    def loss(self) -> DenoisingLoss:
        """The loss of what `network` made, on data multiplied by `scale`."""

    @abstractmethod
    def denoiser(self, net: nn.Module) -> nn.Module:
        """D(x, sigma) of what `network` made."""

    def official(self, event_shape: Sequence[int]) -> Conversion:
        """The tensors of a released file as those of `network`.

        Raises:
            ValueError: for a network of which nobody has released weights.
        """
        raise ValueError(f"nobody has released weights of a {type(self).__name__}; train it, with init=train")

    def check(self, net: nn.Module, data: Tensor) -> None:  # noqa: B027 (nothing to check of a UNet)
        """Refuse what was trained if it denoises nothing.

        Raises:
            ValueError: as `check_denoiser`.
        """


@dataclass(frozen=True, kw_only=True)
class MLPNetwork(Network):
    """A multi-layer perceptron for vectors and small images."""

    events = "small"

    hidden: PositiveInt = 128
    depth: PositiveInt = 3

    def check(self, net: nn.Module, data: Tensor) -> None:
        check_denoiser(self.denoiser(net), data)


@dataclass(frozen=True, kw_only=True)
class EDMMLP(MLPNetwork):
    """A denoiser of EDM's family and loss (Karras et al. 2022, arXiv:2206.00364), on data scaled to `SIGMA_DATA`."""

    kind: Literal["edm_mlp"] = "edm_mlp"

    def scale(self, event_shape: Sequence[int], data_std: float) -> float:
        return SIGMA_DATA / data_std

    def network(self, event_shape: Sequence[int], generator: Generator) -> EDMDenoiser:
        net = denoising_net(event_shape, hidden=self.hidden, depth=self.depth, generator=generator)
        return EDMDenoiser(net, sigma_data=SIGMA_DATA)

    def loss(self) -> EDMLoss:
        return EDMLoss()

    def denoiser(self, net: nn.Module) -> EDMDenoiser:
        assert isinstance(net, EDMDenoiser)
        return net


class ChainNetwork(Network):
    """A noise predictor on a chain of many steps, which few-step samplers ask at whole or fractional ones."""

    @property
    @abstractmethod
    def chain(self) -> Chain:
        """The steps that the network is trained on."""

    @abstractmethod
    def between(self, net: nn.Module) -> nn.Module:
        """eps(x, t) of what `network` made, t in steps counted from the data, whole or fractional."""

    def denoiser(self, net: nn.Module) -> VPDenoiser:
        return VPDenoiser(self.between(net), self.chain)


@dataclass(frozen=True, kw_only=True)
class DDPMMLP(MLPNetwork, ChainNetwork):
    """A noise predictor on a chain of many steps (Ho et al. 2020, arXiv:2006.11239): the linear VP-SDE in `levels`.

    Points in the plane are scaled to a std of `SIGMA_DATA`, images come in [-1, 1] and stay as they are.
    """

    kind: Literal["ddpm_mlp"] = "ddpm_mlp"
    levels: Annotated[int, Field(ge=2)] = 1000

    @property
    def chain(self) -> Chain:
        return SDEChain(length=self.levels)

    @property
    def whole(self) -> VPSchedule:
        """The whole chain, from noise to data."""
        return VPSchedule.linear(self.levels)

    def scale(self, event_shape: Sequence[int], data_std: float) -> float:
        return 1.0 if is_image(event_shape) else SIGMA_DATA / data_std

    def network(self, event_shape: Sequence[int], generator: Generator) -> nn.Module:
        """eps(x, k), k a step index of the whole chain."""
        return noise_predictor(event_shape, self.levels, hidden=self.hidden, depth=self.depth, generator=generator)

    def loss(self) -> DDPMLoss:
        return DDPMLoss(schedule=self.whole)

    def between(self, net: nn.Module) -> nn.Module:
        if isinstance(net, ResidualMLP):
            return BetweenSteps(net)
        assert isinstance(net, AtSteps)
        return net.net


@dataclass(frozen=True, kw_only=True)
class StepsMLP(Network):
    """A net (x, k) for vectors, k one of as many steps as are sampled: DDPM's noise predictor on a chain of so few.

    Attributes:
        schedule: of the VP chain that it is trained on.
        zero_output: 0 before training, as residual steps begin.
        levels: steps of the chain; None for as many as the sampler has.
    """

    events = "vectors"
    few_steps = True

    kind: Literal["steps_mlp"] = "steps_mlp"
    hidden: PositiveInt = 128
    depth: PositiveInt = 3
    schedule: Literal["linear", "cosine"] = "linear"
    zero_output: bool = False
    levels: PositiveInt | None = None

    def at(self, num_steps: int) -> "StepsMLP":
        return replace(self, levels=self.levels or num_steps)

    @property
    def whole(self) -> VPSchedule:
        """The whole chain, from noise to data."""
        assert self.levels is not None, "a network of so many steps is asked for by `at`"
        return SCHEDULES[self.schedule](self.levels)

    def network(self, event_shape: Sequence[int], generator: Generator) -> StepMLP:
        (dim,) = event_shape
        return StepMLP(
            dim_in=dim,
            dim_out=dim,
            num_levels=self.whole.num_steps,
            hidden=self.hidden,
            depth=self.depth,
            generator=generator,
            zero_output=self.zero_output,
        )

    def loss(self) -> DDPMLoss:
        return DDPMLoss(schedule=self.whole)

    def denoiser(self, net: nn.Module) -> nn.Module:
        raise ValueError("a network of a few whole steps is no denoiser of every noise level; take kind=ddpm_mlp")
