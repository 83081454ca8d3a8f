"""Consistency models: distillation (CD) and training (CT) (Song et al. 2023, arXiv:2303.01469).

f(x, sigma), exact at sigma_min, is to give one answer along a path of the probability flow: at neighbouring levels of
a Karras grid, the nearer one by a slow copy of the weights. CD (Algorithm 2) goes to the nearer level by a Heun step of
a frozen EDM teacher; CT (Algorithm 3) takes the same data and noise at both, on a grid that grows finer. Deviations:
distances are l2, pseudo-Huber (arXiv:2310.14189) and, on images with its weights, LPIPS (arXiv:1801.03924). In the
plane and on small images the teacher is trained first; Adam with cosine decay in place of RAdam; an MLP in place of the
UNet; the student starts from the teacher's weights in either variant, as the released CD does; data are scaled to a std
of 0.5.
"""

from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from dxbench.api import Compute, Config, Method, Model, Need, NoTraining, Problem, RandomStreams, Training
from dxbench.staged import FromWeights, StagedTraining, Stateful
from dxmi.backbones.edm import EDM_VE, ADMUNet, EDMUNet
from dxmi.backbones.small import IMAGE_EDM, EDMBackbone
from dxmi.backbones.starts import NetworkData, Start
from dxmi.consistency import (
    WEIGHTS,
    Distance,
    consistency_loss,
    follow,
    growing_decay,
    growing_levels,
    l2,
    pseudo_huber,
)
from dxmi.models import ConsistencySampler, check_jumps
from dxmi.nets.lpips import LPIPS
from dxmi.sampling.denoisers import EDMDenoiser, conditioned, per_sample
from dxmi.sampling.noise import StreamNoise
from dxmi.sampling.samplers import heun_step
from dxmi.schedules.levels import karras_sigmas
from dxmi.training.optimisers import Learner
from dxmi.training.parallel import ONE_PROCESS


class ConsistencyBase(Config):
    """Of a consistency model, whatever the data."""

    clip: ClassVar[bool] = False
    optimiser: ClassVar[dict[str, Any]] = {}

    variant: Literal["distillation", "training"] = "distillation"
    distance: Any
    huber_c: PositiveFloat = Field(default=1e-3, description="where the pseudo-Huber distance turns from l2 to l1")
    weight: Literal["one", "inverse_step"] = Field(
        default="one", description="lambda: 1 (their choice), or 1 / (sigma - sigma') (arXiv:2310.14189, Eq. 8)"
    )
    middle_levels: tuple[PositiveInt, ...] = Field(
        default=(), description="levels of the grid, 0 .. N - 2 from sigma_max on, to go back to between passes"
    )
    num_levels: int = Field(default=18, ge=2, description="N, levels of the grid; at the end, in CT")
    first_levels: int = Field(default=2, ge=2, description="s0, levels of CT's first grid")
    target_decay: float = Field(default=0.95, ge=0, lt=1, description="mu of the slow copy; mu_0 of CT's")
    sigma_min: PositiveFloat = 0.002
    sigma_max: PositiveFloat = 80.0
    rho: PositiveFloat = 7.0
    backbone: Any
    iterations: NonNegativeInt = 12000
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 1e-3
    ema_decay: float = Field(default=0.999, ge=0, lt=1)

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.variant == "distillation" and self.backbone.iterations == 0 and not self.official_weights():
            raise ValueError("distillation needs a teacher: set backbone.iterations above 0, or variant=training")
        last = self.num_levels - 2
        if any(i > last for i in self.middle_levels):
            raise ValueError(f"levels of the grid to jump from are 0 .. {last}, got {self.middle_levels}")
        check_jumps(self.sigmas, sigma_min=self.sigma_min)
        return self

    @property
    def sigmas(self) -> tuple[float, ...]:
        """Levels the sampler jumps from: as many as network passes."""
        grid = karras_sigmas(self.num_levels, sigma_min=self.sigma_min, sigma_max=self.sigma_max, rho=self.rho)
        return tuple(grid[i].item() for i in (0, *self.middle_levels))

    def begin(self, problem: Problem, compute: Compute, streams: RandomStreams) -> Start:
        """The training of teacher and start."""
        return self.backbone.begin(problem, compute, streams)

    def denoiser(self, net: nn.Module) -> EDMDenoiser:
        """f(x, sigma) around what the start trains, exact at sigma_min."""
        return EDMDenoiser(self.backbone.denoiser(net).net, sigma_min=self.sigma_min)

    def distance_of(self, problem: Problem, device: str) -> Distance:
        """d of two answers."""
        between = l2 if self.distance == "l2" else partial(pseudo_huber, c=self.huber_c)
        return lambda a, b: between(a - b)


class ConsistencyConfig(ConsistencyBase):
    """For points in the plane."""

    needs = frozenset({Need.VECTORS})

    distance: Literal["l2", "pseudo_huber"] = "l2"
    iterations: PositiveInt = 12000
    backbone: EDMBackbone = Field(
        default=EDMBackbone(), description="teacher and start, and its training; of 0 iterations in CT: from scratch"
    )


class ConsistencyImageConfig(ConsistencyConfig):
    """For small images."""

    needs = frozenset({Need.SMALL_IMAGES})

    distance: Literal["l2", "pseudo_huber"] = "pseudo_huber"
    weight: Literal["one", "inverse_step"] = Field(
        default="inverse_step",
        description="lambda: 1 (their choice), or 1 / (sigma - sigma') (arXiv:2310.14189, Eq. 8)",
    )
    target_decay: float = Field(default=0.0, ge=0, lt=1, description="mu of the slow copy; mu_0 of CT's")
    sigma_max: PositiveFloat = 20.0
    iterations: PositiveInt = 6000
    batch_size: PositiveInt = 128
    backbone: EDMBackbone = Field(
        default=IMAGE_EDM, description="teacher and start, and its training; of 0 iterations in CT: from scratch"
    )


class ConsistencyUNetConfig(FromWeights, ConsistencyBase):
    """For images of 32 pixels and more; with 0 iterations the backbone's weights are a consistency model's."""

    clip = True
    optimiser: ClassVar[dict[str, Any]] = {"kind": "radam", "lr_decay": "none"}

    distance: Literal["l2", "pseudo_huber", "lpips"] = "lpips"
    backbone: Annotated[EDMUNet | ADMUNet, Field(discriminator="kind")] = EDM_VE
    iterations: NonNegativeInt = 800_000
    batch_size: PositiveInt = 512
    lr: PositiveFloat = 4e-4
    ema_decay: float = Field(default=0.9999, ge=0, lt=1)
    target_decay: float = Field(default=0.0, ge=0, lt=1, description="mu of the slow copy; mu_0 of CT's")

    def uses_data(self) -> bool:
        return self.iterations > 0

    def official_weights(self) -> tuple[str, ...]:
        lpips = ("vgg16", "lpips") if self.distance == "lpips" and self.iterations > 0 else ()
        return (*super().official_weights(), *lpips)

    def distance_of(self, problem: Problem, device: str) -> Distance:
        if self.distance != "lpips":
            return super().distance_of(problem, device)
        if problem.pretrained is None:
            raise ValueError("the task grants no weights of LPIPS; set distance=l2 or distance=pseudo_huber")
        return LPIPS(problem.pretrained.load("vgg16"), problem.pretrained.load("lpips")).to(device)


class Consistency(Method):
    """Consistency models by distillation (CD) or training (CT): one pass, or a few, draw a sample."""

    name = "consistency"
    version = 1
    family = "consistency"
    citation = "Song et al. 2023, arXiv:2303.01469"
    Config = ConsistencyConfig
    recipes = ".recipes.consistency"
    parallel = True

    def start(self, problem: Problem, config: ConsistencyBase, *, compute: Compute, rng: RandomStreams) -> Training:
        if config.iterations == 0:
            return NoTraining(released(problem, config, compute, rng))
        return ConsistencyTraining(problem, config, compute, rng)


def released(problem: Problem, config: ConsistencyBase, compute: Compute, rng: RandomStreams) -> Model:
    """The model of weights that others have trained."""
    begun = config.begin(problem, compute, rng.common)
    return model_of(config.denoiser(begun.average), problem, config, begun.data)


def model_of(denoiser: nn.Module, problem: Problem, config: ConsistencyBase, data: NetworkData) -> Model:
    """A denoiser of such data sampled by jumps."""
    assert isinstance(denoiser, EDMDenoiser)
    sampler = ConsistencySampler(
        denoiser=denoiser, sigmas=config.sigmas, event_shape=problem.event_shape, scale=data.scale, clip=config.clip
    )
    return Model(networks=sampler.networks, sampler=sampler.sample, num_classes=data.num_classes)


class ConsistencyTraining(StagedTraining):
    """An EDM denoiser first, then the consistency model; averaged weights sample."""

    def __init__(self, problem: Problem, config: ConsistencyBase, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config = problem, config
        self.begun = begun = config.begin(problem, compute, rng.common)
        self.teacher = config.backbone.denoiser(begun.average)
        self.online = config.denoiser(deepcopy(begun.net))
        parallel = compute.parallel or ONE_PROCESS
        self.student = Learner(
            self.online,
            lr=config.lr,
            iterations=config.iterations,
            ema_decay=config.ema_decay,
            parallel=parallel,
            **config.optimiser,
        )
        self.slow = deepcopy(self.online)
        self.distance = config.distance_of(problem, compute.device)
        self.mine = parallel.rows(config.batch_size)
        self.data_rng = rng.numpy("data")
        self.noise = StreamNoise(
            batch_size=config.batch_size,
            event_shape=problem.event_shape,
            generator=rng.torch("noise", device=compute.device),
        )
        super().__init__(begun.training, iterations=config.iterations)

    def parts(self) -> dict[str, Stateful]:
        return {"student": self.student, "slow": self.slow}

    def begin(self) -> None:
        learned = self.teacher.state_dict()
        self.student.begin_from(learned)
        self.slow.load_state_dict(learned)

    def advance(self) -> dict[str, float | Tensor]:
        config, decay = self.config, self.config.target_decay
        num_levels = config.num_levels
        if config.variant == "training":
            num_levels = growing_levels(
                self.done / config.iterations, first=config.first_levels, last=config.num_levels
            )
            decay = growing_decay(num_levels, first=config.first_levels, decay=decay)
        data, *labels = self.begun.data.batch(config.batch_size, rng=self.data_rng)
        levels = karras_sigmas(num_levels, sigma_min=config.sigma_min, sigma_max=config.sigma_max, rho=config.rho)
        levels = levels.to(data)
        i = torch.randint(num_levels - 1, (len(data),), generator=self.noise.generator, device=data.device)
        drawn = (data, levels[i], levels[i + 1], self.noise.normal(0), *labels)
        mine = [values[self.mine] for values in drawn]
        loss = self.student.descend_in_parts(
            config.batch_size, lambda rows: self._loss(*(values[rows] for values in mine))
        )
        follow(self.slow, self.online, decay=decay)
        return {"consistency_loss": loss}

    def _loss(self, data: Tensor, sigma: Tensor, after: Tensor, eps: Tensor, *labels: Tensor) -> Tensor:
        """The mean of lambda d over these rows."""
        x = data + per_sample(sigma, data) * eps
        online, slow, teacher = (conditioned(of, *labels) for of in (self.online, self.slow, self.teacher))
        with torch.no_grad():
            if self.config.variant == "training":
                nearer = data + per_sample(after, data) * eps
            else:
                nearer = heun_step(teacher, x, sigma, after)
        loss = consistency_loss(online, slow, x, nearer, sigma, after, distance=self.distance)
        return (WEIGHTS[self.config.weight](sigma, after) * loss).mean()

    def model(self) -> Model:
        model, start = (
            model_of(denoiser, self.problem, self.config, self.begun.data)
            for denoiser in (self.student.average, self.teacher)
        )
        return replace(model, start=start)
