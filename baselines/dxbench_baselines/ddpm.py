"""DDPM: denoising diffusion, ancestral sampling (Ho et al. 2020, arXiv:2006.11239).

Loss: their Algorithm 1 (noise prediction, steps uniform). Sampling: their Algorithm 2 with the posterior std.
For points in the plane one model is trained per number of steps, as in Table 1 of DxMI; the last step's std is
`last_std`, not 0, as in SFT-PG and DxMI, so that log pi exists at every step. For images one model of 1,000 steps is
trained, and sampling visits `num_steps` of them (Nichol & Dhariwal 2021, arXiv:2102.09672, section 4); it begins at
`first_level`, because nearer to pure noise a step multiplies what the network errs.
"""

from typing import Annotated, Literal, Protocol, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import nn

from dxbench.api import Compute, Config, Method, Model, Need, Problem, RandomStreams, Training
from dxbench.staged import FromWeights, StagedTraining
from dxmi.backbones.edm import ADMUNet
from dxmi.backbones.images import DDGANGeneratorNet, DDPMUNet
from dxmi.backbones.small import IMAGE_DDPM, DDPMBackbone
from dxmi.backbones.starts import Official
from dxmi.models import PolicySampler
from dxmi.nets.mlp import StepMLP
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.policies import GaussianPolicy
from dxmi.schedules.levels import VPSchedule
from dxmi.training.denoising import DDPMLoss, DenoiserTraining
from dxmi.training.parallel import ONE_PROCESS

SCHEDULES = {"linear": VPSchedule.linear, "cosine": VPSchedule.cosine}


class DDPMConfig(Config):
    """Of a DDPM on points in the plane."""

    needs = frozenset({Need.VECTORS})

    num_steps: PositiveInt = Field(default=10, description="sampling steps T = NFE")
    schedule: Literal["linear", "cosine"] = "linear"
    iterations: PositiveInt = 6000
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 1e-3
    ema_decay: float = Field(default=0.995, ge=0, lt=1)
    hidden: PositiveInt = 128
    depth: PositiveInt = 3
    last_std: PositiveFloat = 1e-3

    def training(self, problem: Problem, compute: Compute, rng: RandomStreams) -> DenoiserTraining:
        (dim,) = problem.event_shape
        net = StepMLP(
            dim_in=dim,
            dim_out=dim,
            num_levels=self.num_steps,
            hidden=self.hidden,
            depth=self.depth,
            generator=rng.torch("init"),
        )
        data_rng = rng.numpy("data")
        return DenoiserTraining(
            net.to(compute.device),
            DDPMLoss(schedule=SCHEDULES[self.schedule](self.num_steps)),
            data=lambda: problem.data.batch(self.batch_size, rng=data_rng).to(compute.device),
            noise=StreamNoise(
                batch_size=self.batch_size,
                event_shape=problem.event_shape,
                generator=rng.torch("noise", device=compute.device),
            ),
            iterations=self.iterations,
            lr=self.lr,
            ema_decay=self.ema_decay,
            parallel=compute.parallel or ONE_PROCESS,
        )

    def sampler(self, net: nn.Module, problem: Problem) -> PolicySampler:
        policy = GaussianPolicy.from_noise_predictor(
            net,
            SCHEDULES[self.schedule](self.num_steps),
            event_shape=problem.event_shape,
            last_std=self.last_std,
            trainable_std=[False] * self.num_steps,
        )
        return PolicySampler(policy=policy)


class DDPMImageConfig(Config):
    """Of a DDPM on small images; the backbone is the one that other methods of the same training seed begin from."""

    needs = frozenset({Need.SMALL_IMAGES})

    num_steps: PositiveInt = Field(default=10, description="sampling steps T = NFE, of the backbone's 1,000")
    first_level: int = Field(default=400, ge=0, description="step of the backbone's chain that sampling begins at")
    backbone: DDPMBackbone = Field(default=IMAGE_DDPM, description="the noise predictor and its training")

    def training(self, problem: Problem, compute: Compute, rng: RandomStreams) -> DenoiserTraining:
        return self.backbone.training(problem, compute, rng.common)

    def sampler(self, net: nn.Module, problem: Problem) -> PolicySampler:
        policy = self.backbone.policy(
            net,
            event_shape=problem.event_shape,
            num_steps=self.num_steps,
            first_level=self.first_level,
            last_std=1.0,  # a sample is the mean of the last step, whose noise is never drawn
            trainable_std=[False] * self.num_steps,
        )
        return PolicySampler(policy=policy, noiseless_last_step=True)


class DDPMUNetConfig(FromWeights):
    """On images of 32 pixels and more: the backbones and samplers that DxMI starts from there."""

    samples_only = True

    num_steps: PositiveInt = Field(default=1000, description="sampling steps T = NFE")
    backbone: Annotated[DDPMUNet | DDGANGeneratorNet | ADMUNet, Field(discriminator="kind")] = DDPMUNet(
        schedule="step_linear"
    )

    @model_validator(mode="after")
    def _sampler_can_be_built(self) -> Self:
        self.backbone.check_steps(self.num_steps)
        return self

    def training(self, problem: Problem, compute: Compute, rng: RandomStreams) -> DenoiserTraining | Official:
        return self.begin(problem, compute, rng.common).training

    def sampler(self, net: nn.Module, problem: Problem) -> PolicySampler:
        policy = self.backbone.policy(net, event_shape=problem.event_shape, num_steps=self.num_steps)
        return PolicySampler(policy=policy)


class DDPMKind(Protocol):
    """What kinds of data do differently."""

    def training(self, problem: Problem, compute: Compute, rng: RandomStreams) -> DenoiserTraining | Official: ...

    def sampler(self, net: nn.Module, problem: Problem) -> PolicySampler: ...


class DDPM(Method):
    """Denoising diffusion with ancestral sampling."""

    name = "ddpm"
    version = 1
    family = "diffusion"
    citation = "Ho et al. 2020, arXiv:2006.11239"
    Config = DDPMConfig
    recipes = ".recipes.ddpm"
    parallel = True

    def start(self, problem: Problem, config: DDPMKind, *, compute: Compute, rng: RandomStreams) -> Training:
        return DDPMTraining(problem, config, compute, rng)


class DDPMTraining(StagedTraining):
    """Adam with cosine decay on the noise-prediction loss; the EMA weights sample."""

    def __init__(self, problem: Problem, config: DDPMKind, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device = problem, config, compute.device
        self.training = config.training(problem, compute, rng)
        super().__init__(self.training)

    def model(self) -> Model:
        sampler = self.config.sampler(self.training.average, self.problem)
        sampler.policy.to(self.device)
        return Model(
            networks=sampler.networks,
            sampler=sampler.sample,
            trajectory_sampler=sampler.trajectory,
            num_classes=self.problem.num_classes,
        )
