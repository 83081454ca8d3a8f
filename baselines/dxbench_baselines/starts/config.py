"""The settings that methods with a start have in common."""

from collections.abc import Callable
from typing import Annotated, ClassVar, Generic, Literal, Self

from pydantic import Field, JsonValue, PositiveInt, model_validator
from torch import nn

from dxbench.api import Compute, Config, Need, Problem, RandomStreams
from dxbench_baselines.starts.backbone import Backbone, N, Start, StreamNames, official, pretrained
from dxbench_baselines.starts.presets import POINTS_DDPM
from dxmi.arrays import PerStep
from dxmi.backbones.edm import ADMUNet, EDMUNet
from dxmi.backbones.few_steps import AnyFewSteps, ResidualSteps
from dxmi.backbones.flows import FlowMLP, FlowUNet, MeanFlowMLP, MeanFlowUNet
from dxmi.backbones.images import DDGANUNet, DDPMUNet
from dxmi.backbones.small import DDPMMLP, EDMMLP, Network, StepsMLP
from dxmi.sampling.policies import GaussianPolicy
from dxmi.schedules.chains import Chain
from dxmi.schedules.levels import VPSchedule

NEEDS = {"vectors": Need.VECTORS, "small": Need.SMALL_EVENTS, "images": Need.IMAGES}

EDMNetwork = Annotated[EDMMLP | EDMUNet | ADMUNet, Field(discriminator="kind")]
"""Denoisers of EDM's family."""
DDPMNetwork = Annotated[DDPMMLP | DDPMUNet, Field(discriminator="kind")]
"""Noise predictors on a chain of many steps."""
FlowNetwork = Annotated[FlowMLP | FlowUNet, Field(discriminator="kind")]
"""Velocities of the straight path between data and noise."""
MeanFlowNetwork = Annotated[MeanFlowMLP | MeanFlowUNet, Field(discriminator="kind")]
"""Average velocities of the flow along it."""
FewStepNetwork = Annotated[
    StepsMLP | DDPMMLP | EDMMLP | DDPMUNet | DDGANUNet | EDMUNet | ADMUNet, Field(discriminator="kind")
]
"""Networks that some sampler of `dxmi.backbones.few_steps` takes."""


class StartConfig(Config, Generic[N]):
    """Settings of a method that begins from a network.

    Attributes:
        samples_only: the method samples its start as it is.
    """

    samples_only: ClassVar[bool] = False

    backbone: Backbone[N]
    init: Literal["official", "train"] = Field(
        default="train", description="backbone from official weights, or trained first, then kept and found again"
    )
    flips: bool = Field(default=False, description="half of the images mirrored")

    @model_validator(mode="after")
    def _has_official_weights(self) -> Self:
        if self.init == "official" and self.backbone.weights is None:
            raise ValueError("nobody has released weights of this backbone; set init=train")
        return self

    def needs(self) -> frozenset[Need]:
        return frozenset({NEEDS[self.backbone.network.events]})

    def official_weights(self) -> tuple[str, ...]:
        return (self.backbone.weights,) if self.init == "official" and self.backbone.weights else ()

    def uses_data(self) -> bool:
        return self.init == "train" or not self.samples_only

    def shared_start(self) -> JsonValue:
        if self.init == "official" or not self.backbone.pretraining.iterations:
            return None
        return {**self.backbone.content(), "flips": self.flips}

    def begin(self, problem: Problem, compute: Compute, rng: RandomStreams) -> Start:
        """The backbone with its official weights, or with its training ahead."""
        if self.init == "train":
            return pretrained(self.backbone, problem, compute, rng.common, flips=self.flips)
        return official(self.backbone, problem, compute, flips=self.flips)


class FewOfManyConfig(StartConfig[DDPMNetwork]):
    """Settings of a method that samples a DDPM of 1,000 steps in few of them; `samples_only` unless it trains them."""

    samples_only = True

    num_steps: int = Field(default=10, ge=2, description="sampling steps = NFE")
    schedule: Literal["quadratic", "linear"] = "quadratic"
    backbone: Backbone[DDPMNetwork] = Field(default=POINTS_DDPM, description="the noise predictor and its training")

    @model_validator(mode="after")
    def _chain_has_these_steps(self) -> Self:
        self.vp_schedule()
        return self

    def vp_schedule(self) -> VPSchedule:
        """The few noise levels."""
        raise NotImplementedError


WHOLE_STEPS: dict[str, Callable[[Chain, int], VPSchedule]] = {
    "quadratic": Chain.step_quadratic,
    "linear": Chain.step_linear,
}


class WholeStepsConfig(FewOfManyConfig):
    """Settings of a method that samples a DDPM along a few of its whole steps (DDIM, arXiv:2010.02502, App. D.2)."""

    def vp_schedule(self) -> VPSchedule:
        return WHOLE_STEPS[self.schedule](self.backbone.network.chain, self.num_steps)


class FewStepConfig(StartConfig[FewStepNetwork]):
    """Settings of a method whose model is a sampler of few Gaussian steps around its backbone.

    Attributes:
        own_streams: of the pretraining of a network that no other method has a use for.
    """

    own_streams: ClassVar[StreamNames] = StreamNames(init="init policy", data="data", noise="noise")

    num_steps: PositiveInt
    sampler: AnyFewSteps

    @model_validator(mode="after")
    def _sampler_can_be_built(self) -> Self:
        self.sampler.check(self.network, self.num_steps)
        if isinstance(self.sampler, ResidualSteps) and self.backbone.pretraining.iterations:
            raise ValueError("residual steps begin from scratch; set backbone.pretraining.iterations to 0")
        return self

    @property
    def network(self) -> Network:
        """The backbone's network, for the sampler's number of steps."""
        return self.backbone.network.at(self.num_steps)

    def shared_start(self) -> JsonValue:
        return None if self.network.few_steps else super().shared_start()

    def begin(self, problem: Problem, compute: Compute, rng: RandomStreams) -> Start:
        if not self.network.few_steps:
            return super().begin(problem, compute, rng)
        own = Backbone(network=self.network, pretraining=self.backbone.pretraining)
        return pretrained(own, problem, compute, rng, flips=self.flips, names=self.own_streams, keep=False)

    def policy(
        self, net: nn.Module, event_shape: tuple[int, ...], *, factor: float = 1.0, trainable: bool = True
    ) -> GaussianPolicy:
        """The sampler around the backbone's net, which sees points that are `factor` times as large."""
        policy = self.sampler.policy(
            self.network, net, event_shape=event_shape, num_steps=self.num_steps, trainable=trainable
        )
        return policy if factor == 1.0 else policy.in_units(factor)

    def start_velocity(self, factor: float) -> PerStep | None:
        """Variances that DxMI's s_k^2 begin with, of such points; None for the policy's own std_k^2."""
        velocity = self.sampler.start_velocity(self.network, self.num_steps)
        return None if velocity is None else velocity / factor**2
