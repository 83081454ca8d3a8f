"""Consistency models: distillation (CD) and training (CT) (Song et al. 2023, arXiv:2303.01469).

f(x, sigma), exact at sigma_min, is to give one answer along a path of the probability flow: at neighbouring levels of
a Karras grid, the nearer one by a slow copy of the weights. CD (Algorithm 2) goes to the nearer level by a Heun step of
a frozen EDM teacher; CT (Algorithm 3) takes the same data and noise at both, on a grid that grows finer. Deviations:
distances are l2, pseudo-Huber (arXiv:2310.14189) and, on images with its weights, LPIPS (arXiv:1801.03924). In the
plane and on small images the teacher is trained first; Adam with cosine decay in place of RAdam; an MLP in place of the
UNet; the student starts from the teacher's weights in either variant, as the released CD does; data are scaled to a std
of 0.5.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Literal, Self

import torch
from pydantic import Field, JsonValue, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from dxbench.api import Compute, Method, Model, NoTraining, Problem, RandomStreams, Training
from dxbench_baselines.starts.backbone import Backbone, prepared
from dxbench_baselines.starts.config import EDMNetwork, StartConfig
from dxbench_baselines.starts.data import NetworkData
from dxbench_baselines.starts.migration import complete, with_start
from dxbench_baselines.starts.models import jumping_model
from dxbench_baselines.starts.presets import POINTS_EDM
from dxbench_baselines.starts.stages import Stateful, Tuning
from dxmi.arrays import per_sample
from dxmi.consistency import (
    WEIGHTS,
    Distance,
    consistency_loss,
    ema_update,
    growing_decay,
    growing_levels,
    l2,
    pseudo_huber,
)
from dxmi.models import check_jumps
from dxmi.nets.lpips import LPIPS
from dxmi.sampling.denoisers import EDMDenoiser, conditioned
from dxmi.sampling.samplers import heun_step
from dxmi.schedules.levels import karras_sigmas
from dxmi.training.optimisers import Learner


class ConsistencyConfig(StartConfig[EDMNetwork]):
    """Settings of a consistency model; with 0 iterations the official weights are a consistency model's."""

    variant: Literal["distillation", "training"] = "distillation"
    distance: Literal["l2", "pseudo_huber", "lpips"] = "l2"
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
    clip: bool = Field(default=False, description="a jump kept in [-1, 1], as released for images")
    backbone: Backbone[EDMNetwork] = Field(
        default=POINTS_EDM, description="teacher and start, and its training; of 0 iterations in CT: from scratch"
    )
    iterations: NonNegativeInt = 12000
    batch_size: PositiveInt = 256
    optimiser: Literal["adam", "radam"] = "adam"
    lr: PositiveFloat = 1e-3
    lr_decay: Literal["cosine", "none"] = "cosine"
    ema_decay: float = Field(default=0.999, ge=0, lt=1)

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        untrained = self.init == "train" and self.backbone.pretraining.iterations == 0
        if self.variant == "distillation" and untrained:
            raise ValueError(
                "distillation needs a teacher: set backbone.pretraining.iterations above 0, or variant=training"
            )
        if self.iterations == 0 and self.init == "train":
            raise ValueError("with iterations=0 official weights are sampled as they are; set init=official")
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

    def denoiser(self, net: nn.Module) -> EDMDenoiser:
        """f(x, sigma) around what the start trains, exact at sigma_min."""
        return EDMDenoiser(self.backbone.network.denoiser(net).net, sigma_min=self.sigma_min)

    def uses_data(self) -> bool:
        return self.iterations > 0

    def official_weights(self) -> tuple[str, ...]:
        lpips = ("vgg16", "lpips") if self.distance == "lpips" and self.iterations > 0 else ()
        return (*super().official_weights(), *lpips)

    def distance_of(self, problem: Problem, device: str) -> Distance:
        """d of two answers."""
        match self.distance:
            case "l2":
                return lambda a, b: l2(a - b)
            case "pseudo_huber":
                return lambda a, b: pseudo_huber(a - b, c=self.huber_c)
            case "lpips":
                if problem.pretrained is None:
                    raise ValueError("the task grants no weights of LPIPS; set distance=l2 or distance=pseudo_huber")
                return LPIPS(problem.pretrained.load("vgg16"), problem.pretrained.load("lpips")).to(device)


class Consistency(Method):
    """Consistency models by distillation (CD) or training (CT): one pass, or a few, draw a sample."""

    name = "consistency"
    version = 1
    family = "consistency"
    citation = "Song et al. 2023, arXiv:2303.01469"
    recipes = ".recipes.consistency"
    Config = ConsistencyConfig
    parallel = True

    @classmethod
    def migrate_config(cls, config: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        settings, images = with_start(config, "edm")
        if images:
            settings |= {"optimiser": "radam", "lr_decay": "none", "clip": True}
        return complete(cls.Config, settings)

    def start(self, problem: Problem, config: ConsistencyConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        if config.iterations == 0:
            return NoTraining(released(problem, config, compute, rng))
        return ConsistencyTraining(problem, config, compute, rng)


def released(problem: Problem, config: ConsistencyConfig, compute: Compute, rng: RandomStreams) -> Model:
    """The model of weights that others have trained."""
    begun = config.begin(problem, compute, rng)
    return sampled(config.denoiser(begun.average), problem, config, begun.data)


def sampled(denoiser: nn.Module, problem: Problem, config: ConsistencyConfig, data: NetworkData) -> Model:
    """A denoiser of such data sampled by the configuration's jumps."""
    return jumping_model(denoiser, problem, data, sigmas=config.sigmas, clip=config.clip)


class ConsistencyTraining(Tuning):
    """An EDM denoiser first, then the consistency model; averaged weights sample."""

    def __init__(self, problem: Problem, config: ConsistencyConfig, compute: Compute, rng: RandomStreams) -> None:
        begun, size = config.begin(problem, compute, rng), config.batch_size
        super().__init__(problem, begun, compute, rng, batch_size=size, iterations=config.iterations)
        self.config = config
        self.teacher = config.backbone.network.denoiser(begun.average)
        self.online = config.denoiser(prepared(config.backbone.network, deepcopy(begun.net), compute))
        self.student = Learner(
            self.online,
            lr=config.lr,
            iterations=config.iterations,
            ema_decay=config.ema_decay,
            kind=config.optimiser,
            lr_decay=config.lr_decay,
            parallel=self.parallel,
        )
        self.slow = deepcopy(self.online)
        self.distance = config.distance_of(problem, compute.device)

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
        loss = self.student.accumulated_step(
            config.batch_size, lambda rows: self._loss(*(values[rows] for values in mine))
        )
        ema_update(self.slow, self.online, decay=decay)
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
            sampled(denoiser, self.problem, self.config, self.begun.data)
            for denoiser in (self.student.average, self.teacher)
        )
        return replace(model, start=start)
