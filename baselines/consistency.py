"""Consistency models: distillation (CD) and training (CT) (Song et al. 2023, arXiv:2303.01469).

f(x, sigma), exact at sigma_min, is to give one answer along a path of the probability flow: at neighbouring levels of
a Karras grid, the nearer one by a slow copy of the weights. CD (Algorithm 2) goes to the nearer level by a Heun step of
a frozen EDM teacher; CT (Algorithm 3) takes the same data and noise at both, on a grid that grows finer. Deviations:
the teacher is trained first; Adam with cosine decay in place of RAdam; distances are l2 and pseudo-Huber
(arXiv:2310.14189), LPIPS being one of images; an MLP in place of the UNet; the student starts from the teacher's
weights in either variant, as the released CD does; data are scaled to a std of 0.5.
"""

import math
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Literal, Self

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from dxbench.api import Compute, Config, Method, Need, Problem, RandomStreams, Training
from dxbench.staged import StagedTraining, Stateful
from dxmi.arrays import PerSample, Points
from dxmi.backbones import IMAGE_EDM, EDMBackbone
from dxmi.consistency import TunedConsistencyModel, check_jumps, l2, pseudo_huber
from dxmi.denoisers import EDMDenoiser, per_sample
from dxmi.noise import StreamNoise
from dxmi.optimisers import Learner
from dxmi.protocols import Denoiser
from dxmi.samplers import heun_step
from dxmi.schedules import karras_sigmas


class ConsistencyConfig(Config):
    """Of a consistency model, for points in the plane."""

    needs = frozenset({Need.VECTORS})

    variant: Literal["distillation", "training"] = "distillation"
    distance: Literal["l2", "pseudo_huber"] = "l2"
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
    backbone: EDMBackbone = Field(
        default=EDMBackbone(), description="teacher and start, and its training; of 0 iterations in CT: from scratch"
    )
    iterations: PositiveInt = 12000
    batch_size: PositiveInt = 256
    lr: PositiveFloat = 1e-3
    ema_decay: float = Field(default=0.999, ge=0, lt=1)

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.variant == "distillation" and self.backbone.iterations == 0:
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


class Consistency(Method):
    """Consistency models by distillation (CD) or training (CT): one pass, or a few, draw a sample."""

    name = "consistency"
    version = 1
    family = "consistency"
    citation = "Song et al. 2023, arXiv:2303.01469"
    Config = ConsistencyConfig

    def start(self, problem: Problem, config: ConsistencyConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return ConsistencyTraining(problem, config, compute, rng)


def growing_levels(progress: float, *, first: int, last: int) -> int:
    """N(k) = ceil(sqrt(k/K ((s1 + 1)^2 - s0^2) + s0^2) - 1) + 1 of CT (their App. C), k/K = progress."""
    return math.ceil(math.sqrt(progress * ((last + 1) ** 2 - first**2) + first**2) - 1) + 1


def growing_decay(num_levels: int, *, first: int, decay: float) -> float:
    """mu(k) = exp(s0 ln mu_0 / N(k)) of CT (their App. C)."""
    return decay ** (first / num_levels)


def consistency_loss(
    online: Denoiser,
    target: Denoiser,
    x: Points,
    nearer: Points,
    sigma: PerSample,
    after: PerSample,
    *,
    distance: Callable[[Points], PerSample],
) -> PerSample:
    """d(f(x, sigma), sg f_slow(nearer, after)), the weight lambda left to the caller (Eq. 7 and 10)."""
    with torch.no_grad():
        answer = target(nearer, after)
    return distance(online(x, sigma) - answer)


@torch.no_grad()
def follow(slow: nn.Module, module: nn.Module, *, decay: float) -> None:
    """slow <- decay slow + (1 - decay) module, weight by weight."""
    for old, new in zip(slow.parameters(), module.parameters(), strict=True):
        old.lerp_(new, 1 - decay)


WEIGHTS: dict[str, Callable[[PerSample, PerSample], PerSample]] = {
    "one": lambda sigma, after: torch.ones_like(sigma),
    "inverse_step": lambda sigma, after: 1 / (sigma - after),
}


class ConsistencyTraining(StagedTraining):
    """An EDM denoiser first, then the consistency model; averaged weights sample."""

    def __init__(self, problem: Problem, config: ConsistencyConfig, compute: Compute, rng: RandomStreams) -> None:
        self.problem, self.config, self.device = problem, config, compute.device
        self.scale = config.backbone.scale(problem)
        self.backbone = config.backbone.training(problem, compute, rng.common)
        self.teacher = config.backbone.denoiser(self.backbone.average)
        net = deepcopy(config.backbone.denoiser(self.backbone.net).net)
        self.online = EDMDenoiser(net, sigma_min=config.sigma_min)
        self.student = Learner(self.online, lr=config.lr, iterations=config.iterations, ema_decay=config.ema_decay)
        self.slow = deepcopy(self.online)
        self.distance = l2 if config.distance == "l2" else partial(pseudo_huber, c=config.huber_c)
        self.data_rng = rng.numpy("data")
        self.noise = StreamNoise(
            batch_size=config.batch_size,
            event_shape=problem.event_shape,
            generator=rng.torch("noise", device=self.device),
        )
        super().__init__(self.backbone, iterations=config.iterations)

    def parts(self) -> dict[str, Stateful]:
        return {"student": self.student, "slow": self.slow}

    def begin(self) -> None:
        self.student.begin_from(self.backbone.average.state_dict())
        self.slow.load_state_dict(self.backbone.average.state_dict())

    def advance(self) -> dict[str, float | Tensor]:
        config, training = self.config, self.config.variant == "training"
        data = self.scale * self.problem.data.batch(config.batch_size, rng=self.data_rng).to(self.device)
        num_levels, decay = config.num_levels, config.target_decay
        if training:
            num_levels = growing_levels(
                self.done / config.iterations, first=config.first_levels, last=config.num_levels
            )
            decay = growing_decay(num_levels, first=config.first_levels, decay=decay)
        levels = karras_sigmas(num_levels, sigma_min=config.sigma_min, sigma_max=config.sigma_max, rho=config.rho)
        levels = levels.to(data)
        i = torch.randint(num_levels - 1, (len(data),), generator=self.noise.generator, device=data.device)
        sigma, after, eps = levels[i], levels[i + 1], self.noise.normal(0)
        x = data + per_sample(sigma, data) * eps
        with torch.no_grad():
            nearer = data + per_sample(after, data) * eps if training else heun_step(self.teacher, x, sigma, after)
        loss = consistency_loss(self.online, self.slow, x, nearer, sigma, after, distance=self.distance)
        loss = self.student.descend((WEIGHTS[config.weight](sigma, after) * loss).mean())
        follow(self.slow, self.online, decay=decay)
        return {"consistency_loss": loss}

    def model(self) -> TunedConsistencyModel:
        return TunedConsistencyModel.of(
            self.student.average,
            self.backbone.average,
            sigmas=self.config.sigmas,
            event_shape=self.problem.event_shape,
            scale=self.scale,
        )
